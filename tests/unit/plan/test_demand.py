"""What a plan demands: connections, and worker processes."""

import math

import numpy as np
import pytest

from harness.base.errors import UsageError
from harness.plan import make_plan
from harness.plan.demand import (
    CPU_S_PER_BYTE,
    CPU_S_PER_CONNECTION,
    CPU_S_PER_UPLOAD,
    MAX_WORKERS,
    TARGET_CORE_RATIO,
    choose_worker_count,
    estimate_connections,
    parse_worker_count,
)
from harness.scenario.loader import load_scenario

SMALL = ["photos.size=2KB", "photos.bank=1", "stations.count=100"]
ONE_EACH_100_MS = 'arrivals={kind="constant", over="10s"}'


def demand(*overrides, arrivals=ONE_EACH_100_MS):
    scenario = load_scenario("kaliwates", [*SMALL, arrivals, *overrides])
    return estimate_connections(make_plan(scenario), scenario.client, scenario.deadline)


@pytest.mark.heavy
@pytest.mark.parametrize(("connection", "made"), [("new", 20), ("each", 60), ("reuse", 0)])
def test_the_connection_mode_says_how_many_a_station_makes(connection, made):
    assert demand(f"client.connection={connection}").made_within(2.0) == made


@pytest.mark.heavy
def test_the_busiest_stretch_counts_and_not_the_mean():
    surge = 'arrivals={kind="steps", rates=[["0s", 1.0], ["10s", 9.0], ["11s", 1.0], ["20s", 0.0]]}'
    found = demand(arrivals=surge)
    most = max(int(((found.arrivals_s >= t) & (found.arrivals_s < t + 1)).sum()) for t in found.arrivals_s)
    assert found.made_within(1.0) == most > 3 * len(found.arrivals_s) / 20


@pytest.mark.heavy
def test_stations_that_may_try_again_are_all_at_it_while_the_server_hangs():
    assert demand('client.retry={strategy="full_jitter"}', 'client.timeout="1s"').stations_at_once == 100


@pytest.mark.heavy
@pytest.mark.parametrize("retry", ['{strategy="none"}', '{strategy="immediate", max_attempts=1}'])
def test_stations_that_try_once_are_at_it_for_a_timeout_a_page(retry):
    assert demand(f"client.retry={retry}", 'client.timeout="1s"').stations_at_once == 30  # three pages, ten a second


@pytest.mark.heavy
def test_closed_arrivals_have_as_many_at_once_as_phones():
    closed = 'arrivals={kind="closed", phones=7, think="1s"}'
    assert demand(arrivals=closed).stations_at_once == 7


@pytest.mark.heavy
def test_stations_after_the_deadline_need_nothing():
    found = demand("deadline=5s", 'client.retry={strategy="full_jitter"}')
    assert found.stations_at_once == len(found.arrivals_s) == 50
    assert np.all(found.arrivals_s < 5.0)


PAGES = 3


def crew(stations_per_s, *overrides, cores=64, size="1KB"):
    arrivals = f'arrivals={{kind="constant", over="{300 / stations_per_s:g}s"}}'
    scenario = load_scenario(
        "kaliwates", ["stations.count=300", f"photos.size={size}", "photos.bank=1", arrivals, *overrides]
    )
    return choose_worker_count(scenario, make_plan(scenario), cores)


@pytest.mark.heavy
def test_a_small_plan_needs_one_worker_and_says_from_what():
    found = crew(10)
    assert found.workers == 1
    assert str(found).startswith("--workers auto: 1 (the plan's busiest second has 30 uploads, 0.0 MB: about 0.0")
    assert str(found).endswith("64 cores here)")


@pytest.mark.heavy
@pytest.mark.parametrize(("connection", "opened"), [("reuse", 0), ("new", 1), ("each", PAGES)])
def test_what_the_busiest_second_costs_is_the_uploads_the_connections_and_the_bytes(connection, opened):
    found = crew(300, f"client.connection={connection}", size="500KB")
    photo_bytes = found.peak.total_bytes / found.peak.pages
    expected_s = 300 * (PAGES * (CPU_S_PER_UPLOAD + photo_bytes * CPU_S_PER_BYTE) + opened * CPU_S_PER_CONNECTION)
    assert found.cpu_s == pytest.approx(expected_s)
    assert found.workers == found.needed == max(1, math.ceil(expected_s / TARGET_CORE_RATIO))


@pytest.mark.heavy
def test_one_core_is_left_to_the_server_and_to_the_harness_and_the_shortfall_is_said():
    overrides = (
        "client.connection=each",
        "stations.region=jember",
        "stations.count=6000",
        'arrivals={kind="constant", over="1s"}',
    )
    wants = crew(300, *overrides)
    assert wants.workers == wants.needed > 2
    short = crew(300, *overrides, cores=3)
    assert (short.workers, short.needed) == (2, wants.needed)
    assert f"The plan needs {wants.needed}: expect INVALID, or add other machines (--remote-workers {wants.needed})" in str(short)  # fmt: skip
    assert [crew(300, *overrides, cores=cores).workers for cores in (1, 2)] == [1, 1]


@pytest.mark.heavy
def test_readers_cost_the_workers_as_much_as_small_uploads():
    without, with_readers = crew(10), crew(10, "readers.rate=10000/s")
    assert with_readers.cpu_s == pytest.approx(without.cpu_s + 10_000 * CPU_S_PER_UPLOAD)
    assert with_readers.workers == math.ceil(with_readers.cpu_s / TARGET_CORE_RATIO) > 1
    assert "uploads, 0.0 MB, 10,000 reads: about" in str(with_readers)


@pytest.mark.parametrize("text", ["0", str(MAX_WORKERS + 1), "-1", "1.5", "two", "Auto", "", "\u0663"])
def test_what_is_no_number_of_workers_is_refused_with_what_is_allowed(text):
    with pytest.raises(UsageError, match=f"should be a number from 1 to {MAX_WORKERS}, or auto"):
        parse_worker_count(text)
