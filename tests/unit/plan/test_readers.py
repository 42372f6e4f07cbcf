"""When readers come and what they read."""

from itertools import islice, takewhile

import numpy as np
import pytest
from scipy import stats

from harness.base.model import Station
from harness.plan.readers import count_reads, draw_reads, read_times
from harness.scenario.readers import LEVEL_DIGITS, ReaderOptions

STATIONS = [Station(f"35091910{village:02d}{number:03d}", "x") for village in range(1, 8) for number in range(1, 51)]


def readers(**keys):
    return ReaderOptions.model_validate({"rate": "50/s", **keys})


def until(options, until_s, seed=1, **of):
    return list(takewhile(lambda read: read.due_s < until_s, draw_reads(options, STATIONS, seed, **of)))


def test_reads_are_a_poisson_process_of_the_given_rate():
    times = np.concatenate(list(islice(read_times(readers(), seed=3), 20)))
    gaps = np.diff(times, prepend=0.0)
    assert gaps.mean() == pytest.approx(1 / 50, rel=3 / np.sqrt(len(gaps)))
    assert stats.kstest(gaps, "expon", args=(0, 1 / 50)).pvalue > 0.01


def test_the_same_seed_gives_the_same_reads_and_another_one_others():
    assert until(readers(), 5.0) == until(readers(), 5.0)
    assert until(readers(), 5.0) != until(readers(), 5.0, seed=2)


def test_another_choice_of_what_is_read_keeps_the_times():
    assert [read.due_s for read in until(readers(levels=["station"]), 5.0)] == [
        read.due_s for read in until(readers(), 5.0)
    ]


@pytest.mark.heavy
@pytest.mark.parametrize("workers", [2, 3, 7])
def test_workers_make_every_read_once_between_them(workers):
    shares = [until(readers(), 60.0, rank=rank, workers=workers) for rank in range(workers)]
    assert sorted((read for share in shares for read in share), key=lambda read: read.due_s) == until(readers(), 60.0)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    counts = [count_reads(readers(), 1, 60.0, rank, workers) for rank in range(workers)]
    assert counts == [len(share) for share in shares]


def test_each_level_is_read_equally_often_and_names_a_place_of_the_plan():
    reads = until(readers(), 200.0)
    counts = np.bincount([read.resource for read in reads])
    assert len(counts) == len(LEVEL_DIGITS)
    assert stats.chisquare(counts).pvalue > 0.01
    codes = {station.code[:digits] for station in STATIONS for digits in LEVEL_DIGITS.values()}
    assert {read.path for read in reads if read.resource == 0} == {"/pemilu/hhcw/ppwp.json"}
    for read in reads:
        parts = read.path.removeprefix("/pemilu/hhcw/ppwp").removesuffix(".json").split("/")
        assert len(parts) == read.resource + 1
        assert parts[-1] in codes
        assert all(parts[-1].startswith(part) for part in parts)


def test_paths_are_read_instead_of_levels():
    reads = until(readers(paths=["/a", "/b?c=d"]), 10.0)
    assert {(read.resource, read.path) for read in reads} == {(0, "/a"), (1, "/b?c=d")}


def test_counting_a_long_run_takes_no_longer_than_drawing_it():
    assert count_reads(readers(rate="6000/h"), 1, 3600.0) == pytest.approx(6000, abs=5 * np.sqrt(6000))
