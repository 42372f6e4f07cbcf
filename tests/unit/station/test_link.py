"""A station's line: rates, round trips and outages, as pure arithmetic and as draws."""

import itertools
import math
import random

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from harness.drive.client.shaped_connection import CHUNK_BYTES, split_into_chunks
from harness.scenario.client import PHONE_LINK, LinkChoice
from harness.station.link import LinkModel, draw_link_model, generate_outages

STATIONS = [f"3509{number:09d}" for number in range(2000)]
MBIT = 125_000


def choice(value):
    return TypeAdapter(LinkChoice).validate_python(value)


def lines(value, seed=1):
    """Every station's line."""
    table = choice(value)
    return [line for code in STATIONS if (line := draw_link_model(table, seed, code)) is not None]


def test_bytes_take_their_size_by_the_rate():
    assert LinkModel(1_000_000).transfer_end_s(250_000, 3.0) == 3.25


def test_steps_follow_each_other_from_moment_to_moment_whatever_the_clock_shows():
    line, moment = LinkModel(100_000), 0.0
    for _ in range(10):
        moment = line.transfer_end_s(16_384, moment)
    assert moment == pytest.approx(1.6384)


def test_in_an_outage_nothing_moves():
    line = LinkModel(100, outages=iter([(2.0, 5.0), (6.0, 7.0)]))
    assert line.transfer_end_s(100, 0.0) == 1.0
    assert line.transfer_end_s(100, 1.5) == 5.5  # half before, half after
    assert line.transfer_end_s(300, 1.0) == 8.0  # one before, one between, one after both
    assert line.transfer_end_s(100, 3.0) == 6.0
    assert line.transfer_end_s(100, 0.0) == 1.0  # an earlier moment may be asked for again
    assert line.transfer_end_s(100, 7.0) == 8.0


def test_a_signal_waits_for_the_outage_s_end_too():
    line = LinkModel(100, rtt_s=0.4, outages=iter([(2.0, 5.0)]))
    assert line.signal_end_s(0.5, 1.0) == 1.2
    assert line.signal_end_s(1.0, 2.5) == 5.4
    assert LinkModel(100).signal_end_s(1.0, 2.5) == 2.5


def test_unlimited_is_no_line_at_all():
    assert draw_link_model("unlimited", 1, STATIONS[0]) is None


def test_phones_upload_lognormally_but_for_one_in_twenty():
    phones = lines("phone")
    drawn, rtt = np.array([(line.upload_bytes_per_s, line.rtt_s) for line in phones]).T
    assert (rtt == 0.3).mean() == pytest.approx(0.05, abs=0.015)  # 3 standard errors
    good = drawn[rtt != 0.3]
    assert stats.kstest(np.log(good / (8 * MBIT)), stats.norm(0, 1).cdf).pvalue > 0.01
    assert stats.kstest(drawn[rtt == 0.3] / MBIT, stats.uniform(0.2, 0.3).cdf).pvalue > 0.01
    assert stats.kstest(np.log(rtt[rtt != 0.3] / 0.05), stats.norm(0, 0.6).cdf).pvalue > 0.01


def test_only_poor_phones_have_outages():
    phones = lines("phone")
    assert [next(line._coming, None) is not None for line in phones] == [line.rtt_s == 0.3 for line in phones]


def test_outages_come_and_last_as_distributed_and_never_overlap():
    assert PHONE_LINK.poor is not None
    assert PHONE_LINK.poor.outages is not None
    times = list(itertools.islice(generate_outages(PHONE_LINK.poor.outages, random.Random(3)), 3000))
    gaps = np.diff([0.0, *(moment for outage in times for moment in outage)])
    assert (gaps > 0).all()
    assert stats.kstest(gaps[0::2], stats.expon(scale=60).cdf).pvalue > 0.01
    assert stats.kstest(gaps[1::2], stats.expon(scale=10).cdf).pvalue > 0.01


def test_the_same_seed_and_station_draw_the_same_line_and_others_another():
    again = [(a.upload_bytes_per_s, a.rtt_s) for a in lines("phone")]
    assert again == [(b.upload_bytes_per_s, b.rtt_s) for b in lines("phone")]
    assert len(set(again)) > 1990
    assert again[0][0] != lines("phone", seed=2)[0].upload_bytes_per_s


def test_stations_keep_their_rank_when_the_table_changes():
    """Common random numbers: a faster network is faster for everyone, and the slowest stays the slowest."""
    slow = lines({"upload": {"distribution": "lognormal", "median": "1Mbit/s", "sigma": 1.0}})
    fast = lines({"upload": {"distribution": "uniform", "low": "1Mbit/s", "high": "9Mbit/s"}, "rtt": "80ms"})
    assert np.argsort([line.upload_bytes_per_s for line in slow]).tolist() == (
        np.argsort([line.upload_bytes_per_s for line in fast]).tolist()
    )


def test_no_draw_is_the_end_of_a_distribution():
    assert all(0 < line.upload_bytes_per_s < math.inf for line in lines("phone"))


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"upload": "0Mbit/s"}, "nothing would ever arrive"),
        ({"upload": {"distribution": "uniform", "low": "0B/s", "high": "0B/s"}}, "nothing would ever arrive"),
        ({"upload": "1Mbit/s", "poor_share": 0.1}, "belong together"),
        ({"upload": "1Mbit/s", "poor": {"upload": "1Mbit/s"}}, "belong together"),
        ({"upload": "1Mbit/s", "outages": {"every": "0s", "lasting": "1s"}}, "nothing would ever arrive"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table, problem):
    with pytest.raises(ValidationError, match=problem):
        choice(table)


def test_steps_are_16_kib_across_the_buffers_borders_and_nothing_is_copied_or_lost():
    body = bytes(range(256)) * 200
    buffers: list[bytes | memoryview] = [b"head" * 10, memoryview(body), b"", b"tail"]
    taken = list(split_into_chunks(buffers))
    sizes = [sum(map(len, step)) for step in taken]
    assert sizes == [CHUNK_BYTES] * 3 + [sum(map(len, buffers)) - 3 * CHUNK_BYTES]
    assert b"".join(bytes(part) for step in taken for part in step) == b"".join(map(bytes, buffers))
    assert taken[0][1].obj is body
    assert list(split_into_chunks([b""])) == []
