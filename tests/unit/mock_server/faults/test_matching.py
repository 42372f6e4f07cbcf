"""Schedules, random draws and counts of faults."""

import pytest

from mock_server.faults.base import RequestKey
from mock_server.faults.matching import FaultMatcher, Injection
from mock_server.profile_file import Profile


class Scene:
    """Faults at a time that is set by hand."""

    def __init__(self, *faults: dict[str, object], seed: int = 1) -> None:
        self.now: float | None = 0.0
        self.log: list[Injection] = []
        specs = Profile.model_validate({"faults": list(faults)}).faults
        self.faults = FaultMatcher(specs, seed, self.log.append)

    def is_hit(self, key: RequestKey) -> bool:
        hits = self.faults.hits(key, self.now) or self.faults.hits(key, self.now, "rows")
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


@pytest.mark.heavy
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
    counts = [len(scene.faults.hits(about(page), scene.now)) for page in range(4000)]
    shares = [counts.count(n) / 4000 for n in (0, 1, 2)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.04)


def test_count_and_skip_first_bound_the_hits():
    scene = Scene({"kind": "abort", "skip_first": 3, "count": 2})
    assert [scene.is_hit(about(page)) for page in range(8)] == [False, False, False, True, True, False, False, False]
    (state,) = scene.faults.states
    assert (state.matched, state.injected, scene.faults.injected) == (8, 2, {"abort": 2})
    assert [line.key.page for line in scene.log] == [3, 4]


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
    assert scene.faults.capacity_factor(about(), scene.now) == pytest.approx(0.5 * 0.6)
    assert scene.faults.hits(about(), scene.now) == (), "requests are not struck, the work is"


def test_edges_come_once_each_and_in_the_order_of_the_profile():
    scene = Scene({"kind": "down", "start": "2s", "duration": "3s"}, {"kind": "abort", "start": "2s"})
    found = [
        (now_s, edge.state.fault.kind, edge.is_on)
        for now_s in (1.0, 2.0, 2.5, 5.0)
        for edge in scene.faults.edges(now_s)
    ]
    assert found == [(2.0, "down", True), (2.0, "abort", True), (5.0, "down", False)]


def test_what_begins_behind_a_crash_is_not_counted_before_it():
    scene = Scene({"kind": "crash"}, {"kind": "down"})
    assert next(scene.faults.edges(0.0)).state.fault.kind == "crash"
    assert [injection.fault for injection in scene.log] == ["crash"], "the process is killed here"


def test_what_waits_in_a_fault_is_released_once_when_it_is_over():
    scene = Scene({"kind": "timeout", "duration": "3s"})
    (state,) = scene.faults.states
    released = []
    state.on_over[lambda: released.append(state.is_over)] = None
    for now_s in (2.9, 3.0, 3.1):
        scene.faults.finish_elapsed(now_s)
    assert released == [True]
