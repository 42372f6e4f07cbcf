"""What a plan asks of the server, held against sums that can be done by hand."""

import numpy as np
import pytest

from harness.plan import make_plan
from harness.plan.backlog import Slowdown, StationLoad, WorkerSpeed, earliest_finish, least_capacity, least_whole
from harness.plan.server_demand import estimate_server_demand, find_slowdowns
from harness.scenario.loader import load_scenario

SMALL = ["photos.size=2KB", "photos.bank=1", "stations.count=100"]
ONE_EACH_100_MS = 'arrivals={kind="constant", over="10s"}'
TENTH = 'server.service_time="100ms"'
"""100 stations in 10 s, three pages each, 0.1 s of work per page: 30 worker-seconds."""


def demand(*overrides, scenario="kaliwates", faults="faults=[]"):
    loaded = load_scenario(scenario, [*SMALL, ONE_EACH_100_MS, TENTH, faults, *overrides])
    return estimate_server_demand(loaded, make_plan(loaded))


def brownout(**keys):
    found = {"kind": '"capacity"', "factor": "0.5", **keys}
    return f"faults=[{{{', '.join(f'{key}={value}' for key, value in found.items())}}}]"


def test_work_arriving_late_decides_even_where_there_is_little_of_it():
    load = StationLoad(np.array([0.0, 90.0]), np.array([10.0, 30.0]))
    assert least_capacity(load, 100.0) == 3.0, "30 s of work in the last 10 s, not 40 s in 100 s"
    assert earliest_finish(load, 2.0) == 105.0


def test_work_that_arrives_at_the_deadline_needs_infinitely_many():
    assert least_capacity(StationLoad(np.array([5.0]), np.array([1.0])), 5.0) == np.inf


def test_nothing_to_do_needs_nothing():
    nothing = StationLoad(np.array([]), np.array([]))
    assert (least_capacity(nothing, 10.0), earliest_finish(nothing, 1.0), least_whole(0.0)) == (0.0, 0.0, 1)


def test_a_slowdown_takes_its_share_and_one_job_gets_through_at_the_old_speed():
    speed = WorkerSpeed([Slowdown(10.0, 20.0, 0.1)], longest=0.5)
    # 10 s before, 1 s in the slowdown, 5 s after; and the job that straddles 10 s does at most 0.45 s more
    assert speed.work_between(np.array([0.0]), 25.0)[0] == pytest.approx(16.45)
    assert speed.work_between(np.array([10.0]), 20.0)[0] == pytest.approx(1.0)
    assert speed.earliest_end(np.array([10.0]), np.array([1.5]))[0] == pytest.approx(20.5)


def test_a_slowdown_without_an_end_lasts_for_ever():
    speed = WorkerSpeed([Slowdown(10.0, np.inf, 0.5)])
    assert speed.work_between(np.array([0.0]), 30.0)[0] == pytest.approx(20.0)
    assert speed.earliest_end(np.array([0.0]), np.array([20.0]))[0] == pytest.approx(30.0)


@pytest.mark.heavy
def test_the_fewest_workers_do_all_the_work_by_the_deadline():
    assert demand("deadline=12s").of("workers").needed == 3, "30 s of work in 12 s is 2.5 workers"
    assert demand("deadline=40s").of("workers").needed == 1, "30 s of work in 40 s"


@pytest.mark.heavy
def test_the_mean_of_the_service_time_counts_and_not_its_median():
    found = demand('server.service_time={distribution="lognormal", median="100ms", sigma=0.5}')
    assert found.work_s == pytest.approx(30 * np.exp(0.125))


@pytest.mark.heavy
def test_bytes_and_an_asynchronous_reading_are_work_too():
    found = demand('server.bytes_per_s="20KB/s"', 'server.reading="asynchronous"', 'server.reading_time="1s"')
    assert found.work_s == pytest.approx(300 * (0.1 + 1.0) + found.total_bytes / 20_000)


@pytest.mark.heavy
def test_the_earliest_finish_is_the_last_stations_pages_or_the_backlogs_end():
    assert demand("server.workers=100").earliest_finish_s == pytest.approx(9.9 + 0.3)
    assert demand("server.workers=1").earliest_finish_s == pytest.approx(30.0)


@pytest.mark.heavy
def test_a_capacity_fault_asks_for_more_workers_and_later():
    found = demand("deadline=12s", faults=brownout(start='"2s"', duration='"10s"'))
    assert (found.of("workers").needed, found.workers_without_faults) == (5, 3), "2 s + 10 s at half speed are 7 s"
    assert demand("server.workers=4", faults=brownout()).earliest_finish_s == pytest.approx(15.0)


@pytest.mark.parametrize(
    "keys", [{"probability": "0.5"}, {"match": '{form="pdpr"}'}, {"count": "3"}, {"skip_first": "1"}]
)
def test_a_capacity_fault_that_spares_some_uploads_is_not_counted(keys):
    assert find_slowdowns(load_scenario("kaliwates", [brownout(**keys)]).faults) == []


def test_a_ramp_counts_from_its_end_for_a_loss_and_from_its_start_for_a_gain():
    def slowdown(**keys):
        (found,) = find_slowdowns(load_scenario("kaliwates", [brownout(start='"2s"', ramp='"3s"', **keys)]).faults)
        return found

    assert slowdown() == Slowdown(5.0, np.inf, 0.5)
    assert slowdown(duration='"9s"', factor="2.0") == Slowdown(2.0, 11.0, 2.0)


@pytest.mark.heavy
def test_the_resource_of_which_the_greatest_share_is_needed_binds():
    found = demand("deadline=40s", "server.workers=4", "server.max_connections=3")
    assert found.of("workers").used_ratio == pytest.approx(1 / 4)
    assert found.of("connections").needed == 3, "a station takes 0.3 s, and one arrives every 0.1 s"
    assert found.binding == found.of("connections")
    assert found.binding.is_enough


@pytest.mark.heavy
def test_too_few_workers_are_not_enough_and_finish_after_the_deadline():
    found = demand("deadline=12s", "server.workers=2")
    assert not found.of("workers").is_enough
    assert found.earliest_finish_s == pytest.approx(15.0)


@pytest.mark.heavy
def test_stations_that_no_server_could_complete_are_counted_and_left_out():
    found = demand("deadline=5s")
    assert found.too_late == 50 + 2, "50 arrive after it; those of 4.8 s and 4.9 s have less than 0.3 s left"
    assert found.pages == 48 * 3


@pytest.mark.heavy
def test_bytes_and_commits_are_rates_that_have_to_be_sustained():
    found = demand("deadline=12s")
    busiest = max((100 - number) * 3 / (12 - number / 10) for number in range(100))
    assert found.of("commits").needed == pytest.approx(busiest)
    assert found.of("ingress").needed == pytest.approx(busiest * found.total_bytes / 300, rel=0.02)
    assert found.of("ingress").used_ratio is None
    assert found.total_bytes == pytest.approx(300 * 2000, rel=0.2)


@pytest.mark.heavy
def test_a_shared_way_in_that_is_too_narrow_is_named_and_finishes_late():
    found = demand("deadline=12s", "server.ingress=20KB/s")
    ingress = found.of("ingress")
    assert ingress.available == 20_000
    assert (ingress.is_enough, found.binding) == (False, ingress)
    assert found.earliest_finish_s == pytest.approx(found.total_bytes / 20_000, rel=0.02)
    wide = demand("deadline=12s", "server.ingress=1GB/s")
    assert wide.earliest_finish_s == pytest.approx(demand("deadline=12s").earliest_finish_s, abs=1e-4)


@pytest.mark.heavy
def test_a_page_has_to_come_in_before_a_worker_can_take_it():
    found = demand("deadline=15s", "server.ingress=10KB/s", "stations.count=10")
    page_s = found.total_bytes / 30 / 10_000
    assert found.earliest_finish_s == pytest.approx(9.0 + 3 * (page_s + 0.1)), (
        "the last of ten stations, with three pages"
    )
    late = demand("deadline=9800ms", "server.ingress=10KB/s", "stations.count=10")
    assert late.too_late == 1, "it has 0.8 s, and 0.3 s of work, but its pages take longer to come in"


@pytest.mark.heavy
def test_no_more_stations_are_active_at_once_than_there_are_phones():
    closed = 'arrivals={kind="closed", phones=2, think="1ms"}'
    assert demand(closed).of("connections").needed == 2


@pytest.mark.heavy
def test_a_server_that_is_not_the_mock_has_no_known_workers_or_limits():
    loaded = load_scenario("smoke", ["photos.size=2KB", "photos.bank=1", "faults=[]", "thresholds=[]"])
    loaded = loaded.model_copy(update={"target": object()})
    found = estimate_server_demand(loaded, make_plan(loaded))
    assert [one.resource for one in found.resources] == ["ingress", "connections", "commits"]
    assert found.binding is None
    assert all(one.available is None for one in found.resources)
    with pytest.raises(KeyError):
        found.of("workers")
