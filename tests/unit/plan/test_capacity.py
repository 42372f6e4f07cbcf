"""Whether a plan fits a machine: each limit on both sides, and the arithmetic in the refusal."""

from dataclasses import replace

import pytest

from harness.base.host import RESERVED_DESCRIPTORS, RESERVED_PORTS, HostLimits, read_host_limits
from harness.plan import make_plan
from harness.plan.capacity import (
    WorkerShare,
    estimate_port_usage,
    find_capacity_problems,
    find_leader_problems,
    find_share_problems,
)
from harness.scenario.loader import load_scenario

ROOMY = HostLimits(
    descriptors=1_000_000, first_port=32_768, last_port=60_999, reserved_ports=0, tw_reuse=2, timestamps=1
)  # fmt: skip
SMALL = ["photos.size=2KB", "photos.bank=1", "stations.count=300", 'arrivals={kind="constant", over="30s"}']
ELSEWHERE = "10.0.0.5"


def ports(number):
    """Limits of a machine that has so many ports for connections."""
    return replace(ROOMY, last_port=ROOMY.first_port + number + RESERVED_PORTS - 1)


def descriptors(number):
    return replace(ROOMY, descriptors=number + RESERVED_DESCRIPTORS)


def problems(*overrides, limits=ROOMY, workers=1, address=None):
    scenario = load_scenario("kaliwates", [*SMALL, *overrides])
    return find_capacity_problems(scenario, make_plan(scenario), workers, address, limits)


def only_problem(*overrides, **machine):
    (problem,) = problems(*overrides, **machine)
    return problem


def test_an_ordinary_plan_fits_an_ordinary_machine():
    assert problems() == []


def test_every_station_at_once_needs_a_port_if_the_server_hangs():
    assert problems(limits=ports(300)) == []
    told = only_problem(limits=ports(299))
    assert "300 stations at once (if the server hangs) need as many ports; there are 299 ports" in told
    assert "client.source_addresses = 2" in told
    assert "client.max_in_flight = 299" in told


def test_what_the_refusal_says_would_fit_does_fit():
    assert problems("client.source_addresses=2", limits=ports(299)) == []
    assert problems("client.max_in_flight=299", limits=ports(299)) == []


WITHOUT_REUSE = ('client.retry={strategy="none"}', 'client.timeout="100ms"')
"""Few at once, so that connections made are what counts."""


@pytest.mark.heavy
@pytest.mark.parametrize(("connection", "needed"), [("new", 300), ("each", 900)])
def test_connections_made_within_time_wait_need_a_port_each(connection, needed):
    mode = [f"client.connection={connection}", *WITHOUT_REUSE]
    assert problems(*mode, limits=replace(ports(needed), tw_reuse=0)) == []
    told = only_problem(*mode, limits=replace(ports(needed - 1), tw_reuse=0))
    for said in (
        f"{needed} connections fall due within 60 s, {needed // 30} in the busiest second",
        f'client.connection = "{connection}"',
        f"one per {'attempt' if connection == 'each' else 'station'}, not counting retries",
        "keeps its port for 60 s after it was closed (TIME_WAIT; net.ipv4.tcp_tw_reuse = 0)",
        f"there are {needed - 1} ports",
        f"net.ipv4.ip_local_port_range 32768 {ports(needed - 1).last_port}",
        "client.source_addresses = 2",
        'client.connection = "reuse"',
        "sysctl -w net.ipv4.tcp_tw_reuse=2",
    ):
        assert said in told


@pytest.mark.heavy
def test_a_pool_makes_no_connection_anew():
    assert problems("client.connection=reuse", *WITHOUT_REUSE, limits=replace(ports(30), tw_reuse=0)) == []


@pytest.mark.heavy
def test_time_wait_that_may_be_taken_over_is_a_second_long():
    mode = ["client.connection=each", *WITHOUT_REUSE]
    assert problems(*mode, limits=ports(30)) == []
    assert "30 connections fall due within 1 s" in only_problem(*mode, limits=ports(29))


@pytest.mark.parametrize(
    ("tw_reuse", "timestamps", "address", "kept_s"),
    [(2, 1, "127.0.0.1", 1.0), (2, 1, "::1", 1.0), (2, 1, ELSEWHERE, 60.0), (1, 1, ELSEWHERE, 1.0), (0, 1, "127.0.0.1", 60.0), (2, 0, "127.0.0.1", 60.0)],
)  # fmt: skip
def test_how_long_a_port_is_kept_follows_the_kernels_settings(tw_reuse, timestamps, address, kept_s):
    assert replace(ROOMY, tw_reuse=tw_reuse, timestamps=timestamps).port_kept_s(address) == kept_s


@pytest.mark.heavy
def test_to_another_machine_there_is_one_source_address_and_more_machines_help():
    assert "this machine has one: leave it out" in only_problem("client.source_addresses=2", address=ELSEWHERE)
    told = only_problem("client.connection=each", *WITHOUT_REUSE, address=ELSEWHERE, limits=ports(500))
    assert "900 connections fall due within 60 s" in told
    assert "2 machines" in told
    assert "source_addresses =" not in told


@pytest.mark.heavy
def test_the_mock_is_one_process_and_needs_a_descriptor_for_every_connection():
    assert problems(workers=2, limits=descriptors(300)) == []
    told = only_problem(workers=2, limits=descriptors(299))
    assert "need 300 descriptors in the mock server, one process, and the hard limit of 499 leaves 299" in told
    assert "ulimit -Hn 500" in told
    assert "client.max_in_flight = 149" in told


def test_workers_share_the_descriptors_where_the_server_is_not_ours():
    assert problems(workers=2, limits=descriptors(150), address="127.0.0.1") == []
    told = only_problem(workers=2, limits=descriptors(149), address="127.0.0.1")
    assert "need 150 descriptors in each of 2 worker(s)" in told
    assert "--workers 3" in told


def test_max_in_flight_bounds_what_a_hanging_server_can_hold():
    assert problems("client.max_in_flight=50", limits=descriptors(50)) == []


def test_what_is_left_for_retries_is_told_as_connections_a_second():
    scenario = load_scenario("kaliwates", [*SMALL, "client.connection=each", *WITHOUT_REUSE])
    room = estimate_port_usage(scenario, make_plan(scenario), 1, None, replace(ports(960), tw_reuse=0))
    assert (room.needed, room.available, room.kept_s, room.spare_per_s) == (900, 960, 60.0, 1.0)


def test_this_machines_limits_are_read_from_the_kernel():
    content = {
        "/proc/sys/net/ipv4/ip_local_port_range": "10000\t19999\n", "/proc/sys/net/ipv4/ip_local_reserved_ports": "9999-10008,20000\n",
        "/proc/sys/net/ipv4/tcp_tw_reuse": "1\n", "/proc/sys/net/ipv4/tcp_timestamps": "1\n",
    }  # fmt: skip
    found = read_host_limits(lambda path: content.get(path, ""))
    assert (found.first_port, found.last_port, found.reserved_ports, found.tw_reuse) == (10_000, 19_999, 9, 1)
    assert found.ports_per_source == 10_000 - 9 - RESERVED_PORTS
    assert read_host_limits(lambda _: "").last_port == 60_999  # where /proc is not available: Linux's own default


def share_problems(*overrides, limits, here=1, of=3, address=ELSEWHERE):
    scenario = load_scenario("kaliwates", [*SMALL, *overrides])
    return find_share_problems(scenario, make_plan(scenario), WorkerShare(here, of), address, limits)


@pytest.mark.heavy
@pytest.mark.parametrize(("here", "of", "needed"), [(1, 3, 100), (2, 3, 200), (3, 3, 300), (1, 7, 43)])
def test_a_machine_of_several_needs_what_its_workers_have_of_the_plan(here, of, needed):
    assert share_problems(limits=ports(needed), here=here, of=of) == []
    (told,) = share_problems(limits=ports(needed - 1), here=here, of=of)
    assert f"{needed} stations at once (if the server hangs) need as many ports; there are {needed - 1} ports" in told


@pytest.mark.heavy
def test_a_machine_with_too_few_ports_is_told_how_many_machines_would_do():
    (told,) = share_problems(limits=ports(50))
    assert told.endswith("What fits: client.max_in_flight = 50, or 6 machines")
    assert share_problems(limits=ports(50), of=6) == []


@pytest.mark.heavy
def test_connections_made_are_shared_among_the_machines_too():
    mode = ("client.connection=each", *WITHOUT_REUSE)
    assert share_problems(*mode, limits=replace(ports(300), tw_reuse=0)) == []
    (told,) = share_problems(*mode, limits=replace(ports(299), tw_reuse=0))
    assert "300 connections fall due within 60 s, 10 in the busiest second" in told


@pytest.mark.heavy
def test_a_worker_elsewhere_needs_a_descriptor_for_each_of_its_own_stations():
    assert share_problems(limits=descriptors(100)) == []
    (told,) = share_problems(limits=descriptors(99))
    assert "need 100 descriptors in each of 1 worker(s)" in told
    assert "start 2 workers there" in told
    assert share_problems(limits=descriptors(50), here=2, of=6) == []


def test_only_where_the_target_is_on_its_loopback_has_a_worker_elsewhere_several_source_addresses():
    assert share_problems("client.source_addresses=4", limits=ROOMY, address="127.0.0.1") == []
    (told,) = share_problems("client.source_addresses=4", limits=ROOMY)
    assert "to 10.0.0.5 this machine has one" in told


def test_who_leads_workers_elsewhere_needs_descriptors_for_its_own_server_alone():
    scenario = load_scenario("kaliwates", SMALL)
    plan = make_plan(scenario)
    assert find_leader_problems(scenario, plan, 3, limits=replace(descriptors(300), last_port=ROOMY.first_port)) == []
    (told,) = find_leader_problems(scenario, plan, 3, limits=descriptors(299))
    assert "need 300 descriptors in the mock server, one process" in told
    assert find_leader_problems(scenario, plan, 3, ELSEWHERE, descriptors(0)) == []


def test_more_phones_than_the_workers_may_hold_are_refused_before_anybody_joins():
    overrides = [*SMALL[:3], 'arrivals={kind="closed", phones=30, think={distribution="fixed", value="1s"}}']
    scenario = load_scenario("kaliwates", [*overrides, "client.max_in_flight=9"])
    (told,) = find_leader_problems(scenario, make_plan(scenario), 3, ELSEWHERE, ROOMY)
    assert "30 phones are more than client.max_in_flight (9) allows 3 worker(s)" in told


def test_reads_in_flight_while_the_server_hangs_need_ports_and_descriptors_too():
    reading = ("readers.rate=10/s", "readers.timeout=5s")
    assert problems(*reading, limits=ports(350)) == []
    told = only_problem(*reading, limits=ports(349))
    assert "300 stations and 50 reads at once (if the server hangs) need as many ports; there are 349 ports" in told
    assert "client.max_in_flight = 299" in told
    assert problems(*reading, "client.max_in_flight=299", limits=ports(349)) == []
    assert problems(*reading, limits=descriptors(350)) == []
    told = only_problem(*reading, limits=descriptors(349))
    assert "300 stations and 50 reads at once (if the server hangs) need 350 descriptors" in told


def test_a_worker_has_a_bounded_number_of_reads_in_flight():
    assert problems("readers.rate=100000/s", "readers.timeout=1h", limits=ports(5300)) == []
    assert len(problems("readers.rate=100000/s", "readers.timeout=1h", limits=ports(5299))) == 1
