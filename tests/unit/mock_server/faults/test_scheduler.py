"""Schedules, dice and counts of faults."""

from collections.abc import Iterator

import pytest

from mock_server.faults.base import RequestKey, ServerActions
from mock_server.faults.scheduler import FaultScheduler, Injection
from mock_server.profile.profile import Profile


class Scene:
    """Rules under a clock that is set by hand."""

    def __init__(self, *faults: dict[str, object], seed: int = 1) -> None:
        self.now: float | None = 0.0
        self.log: list[Injection] = []
        specs = Profile.model_validate({"faults": list(faults)}).faults
        self.rules = FaultScheduler(specs, seed, lambda: self.now, self.log.append)

    def is_hit(self, target: RequestKey) -> bool:
        hits = self.rules.hits(target) or self.rules.hits(target, "rows")
        for hit in hits:
            hit.act()
        return bool(hits)

    def hit_pages(self, pages: range) -> set[int]:
        return {page for page in pages if self.is_hit(about(page))}


def about(page: int = 1, attempt: int = 1, **changes: object) -> RequestKey:
    return RequestKey("3509191001001", "ppwp", page, attempt, "POST", "upload")._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("now", "hit"), [(None, False), (1.9, False), (2.0, True), (4.9, True), (5.0, False)])
def test_a_fault_is_on_from_its_start_for_its_duration(now, hit):
    scene = Scene({"kind": "abort", "start": "2s", "duration": "3s"})
    scene.now = now
    assert scene.is_hit(about()) is hit


def test_a_fault_without_a_duration_lasts():
    scene = Scene({"kind": "abort"})
    scene.now = 1e6
    assert scene.is_hit(about())


def test_the_share_that_is_hit_is_the_probability():
    hit = Scene({"kind": "abort", "probability": "30%"}).hit_pages(range(10_000))
    assert len(hit) == pytest.approx(3000, abs=184), "four standard deviations"


def test_the_share_grows_with_the_ramp():
    scene = Scene({"kind": "abort", "ramp": "10s"})
    shares = []
    for second in (1, 5, 10):
        scene.now = float(second)
        shares.append(len(scene.hit_pages(range(second * 10_000, second * 10_000 + 2000))) / 2000)
    assert shares == pytest.approx([0.1, 0.5, 1.0], abs=0.05)


def test_who_is_hit_depends_on_seeds_rule_page_and_attempt_and_on_nothing_else():
    fault: dict[str, object] = {"kind": "abort", "probability": 0.5}
    pages = range(200)
    hit = Scene(fault).hit_pages(pages)
    again = Scene(fault)
    assert {page for page in reversed(pages) if again.is_hit(about(page))} == hit
    assert Scene(fault, seed=2).hit_pages(pages) != hit
    assert Scene({**fault, "seed": 2}).hit_pages(pages) != hit
    assert Scene({**fault, "name": "other"}).hit_pages(pages) != hit
    later = Scene(fault)
    assert {page for page in pages if later.is_hit(about(page, attempt=2))} != hit


def test_two_faults_strike_independently():
    scene = Scene({"kind": "abort", "probability": 0.5}, {"kind": "timeout", "probability": 0.5})
    counts = [len(scene.rules.hits(about(page))) for page in range(4000)]
    shares = [counts.count(n) / 4000 for n in (0, 1, 2)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.04)


def test_count_and_skip_first_bound_the_hits():
    scene = Scene({"kind": "abort", "skip_first": 3, "count": 2})
    assert [scene.is_hit(about(page)) for page in range(8)] == [False, False, False, True, True, False, False, False]
    (rule,) = scene.rules.all
    assert (rule.seen, rule.injected, scene.rules.injected) == (8, 2, {"abort": 2})
    assert [line.target.page for line in scene.log] == [3, 4]


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({"station": "3509191001"}, True),
        ({"station": "3509191001001"}, True),
        ({"station": "3509191002"}, False),
        ({"form": "pdpr"}, False),
        ({"method": "PUT"}, False),
        ({"phase": "login"}, False),
        ({"phase": "upload", "form": "ppwp"}, True),
    ],
)
def test_a_match_narrows_who_is_hit(match, hit):
    assert Scene({"kind": "abort", "match": match}).is_hit(about()) is hit


def test_capacity_is_a_product_over_the_faults_that_are_on():
    scene = Scene(
        {"kind": "capacity", "name": "a", "factor": 0.5},
        {"kind": "capacity", "name": "b", "factor": 0.2, "ramp": "10s"},
        {"kind": "capacity", "name": "c", "factor": 0.1, "start": "1h"},
    )
    scene.now = 5.0
    assert scene.rules.capacity_factor(about()) == pytest.approx(0.5 * 0.6)
    assert scene.rules.hits(about()) == (), "requests are not struck, the work is"


class _Server:
    def __init__(self) -> None:
        self.told: list[str] = []

    def close_port(self) -> None:
        self.told.append("close")

    def open_port(self) -> None:
        self.told.append("open")

    def kill(self, restart_after_s: float | None) -> None:
        self.told.append(f"kill {restart_after_s}")


def told(scene: Scene, times: Iterator[float]) -> list[str]:
    server: ServerActions = _Server()
    scene.now = 0.0
    scene.rules.attach(server)
    for scene.now in times:
        scene.rules.tell_edges()
    assert isinstance(server, _Server)
    return server.told


def test_the_server_is_told_each_edge_once():
    scene = Scene({"kind": "down", "start": "2s", "duration": "3s"})
    assert told(scene, iter([1.0, 2.0, 2.5, 4.0, 5.0, 6.0])) == ["close", "open"]
    assert scene.rules.injected == {"down": 1}


def test_a_closed_port_knows_no_ramp():
    scene = Scene({"kind": "down", "start": "2s", "duration": "3s", "ramp": "2s"})
    assert told(scene, iter([1.0, 2.0])) == ["close"]


@pytest.mark.parametrize("kind", ["down", "crash"])
def test_a_fault_of_the_server_happens_in_a_share_of_the_seeds(kind):
    happened = 0
    for seed in range(400):
        scene = Scene({"kind": kind, "start": "1s", "duration": "1s", "probability": 0.25}, seed=seed)
        happened += bool(told(scene, iter([1.5, 3.0])))
        assert scene.rules.injected == {kind: int(bool(scene.log))}
    assert 65 <= happened <= 135, "100 expected, standard deviation 8.7"


def test_healing_and_removing_open_the_port_again():
    for end in ("heal", "remove"):
        scene = Scene({"kind": "down"})
        server = _Server()
        scene.rules.attach(server)
        scene.rules.heal() if end == "heal" else scene.rules.remove("down")
        assert server.told == ["close", "open"]


def test_a_crash_that_lies_before_this_process_does_not_happen_again():
    scene = Scene({"kind": "crash", "start": "5s", "restart_after": "1s"})
    assert told(scene, iter([4.0, 5.0, 6.0])) == ["kill 1.0"]
    reborn = Scene({"kind": "crash", "start": "5s"})
    server = _Server()
    reborn.now = 7.0
    reborn.rules.attach(server)
    assert server.told == []


def test_a_healed_fault_does_not_come_back_by_its_schedule():
    scene = Scene({"kind": "abort", "start": "10s"})
    scene.rules.heal()
    scene.now = 11.0
    assert not scene.is_hit(about())
    scene.rules.reset()
    assert scene.is_hit(about()), "but a reset brings the profile's schedule back"


def test_the_next_edge_is_known():
    scene = Scene({"kind": "down", "start": "2s", "duration": "3s"}, {"kind": "abort", "start": "4s"})
    seen = []
    for scene.now in (0.0, 2.0, 4.5, 6.0):
        seen.append(scene.rules.tell_edges())
    assert seen == [2.0, 2.0, 0.5, None]


@pytest.mark.parametrize("phase_s", [0.0002 * number for number in range(20)])
def test_an_edge_is_told_whatever_looks_at_the_clock_it_comes_between(phase_s):
    """Who sleeps may be woken a moment too early, and comes near the edge by small steps."""
    now = 2.5

    def clock() -> float:
        nonlocal now
        now += 0.001
        return now

    rules = FaultScheduler(
        Profile.model_validate({"faults": [{"kind": "down", "start": "2s", "duration": "3s"}]}).faults, 1, clock, print
    )
    server = _Server()
    rules.attach(server)
    now = 4.98 + phase_s
    while rules.tell_edges() is not None:
        assert now < 5.1
    assert server.told == ["close", "open"]


def test_a_reset_does_not_crash_again_what_came_back_from_the_crash():
    scene = Scene({"kind": "crash", "start": "0s"})
    server = _Server()
    scene.now = 7.0
    scene.rules.attach(server)
    scene.rules.reset()
    assert server.told == []


def test_a_fault_that_replaces_another_ends_it():
    scene = Scene({"kind": "down", "name": "x"})
    server = _Server()
    scene.rules.attach(server)
    (latency,) = Profile.model_validate({"faults": [{"kind": "latency", "name": "x", "delay": "1s"}]}).faults
    assert scene.rules.put(latency) is False
    assert server.told == ["close", "open"]
    scene.rules.remove("x")
    assert server.told == ["close", "open"]
