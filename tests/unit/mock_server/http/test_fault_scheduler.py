"""What the server knows of its faults, and when."""

from collections.abc import Iterator

import pytest

from mock_server.faults.base import RequestKey, ServerActions
from mock_server.faults.matching import Injection
from mock_server.http.fault_scheduler import FaultScheduler
from mock_server.profile_file import Profile


class Scene:
    """A scheduler under a clock that is set by hand."""

    def __init__(self, *faults: dict[str, object], seed: int = 1) -> None:
        self.now: float | None = 0.0
        self.log: list[Injection] = []
        specs = Profile.model_validate({"faults": list(faults)}).faults
        self.faults = FaultScheduler(specs, seed, lambda: self.now, self.log.append)

    def is_hit(self, key: RequestKey) -> bool:
        return bool(self.faults.hits(key))


def about() -> RequestKey:
    return RequestKey("3509191001001", "ppwp", 1, 1, "POST", "upload")


class _Server:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def close_port(self) -> None:
        self.calls.append("close")

    def open_port(self) -> None:
        self.calls.append("open")

    def kill(self, restart_after_s: float | None) -> None:
        self.calls.append(f"kill {restart_after_s}")

    def cut_power(self, restart_after_s: float | None, *, torn: bool) -> None:
        self.calls.append(f"cut power {restart_after_s} {torn}")


def calls_of(scene: Scene, times: Iterator[float]) -> list[str]:
    server: ServerActions = _Server()
    scene.now = 0.0
    scene.faults.attach(server)
    for scene.now in times:
        scene.faults.update()
    assert isinstance(server, _Server)
    return server.calls


def test_the_server_is_told_each_edge_once():
    scene = Scene({"kind": "down", "start": "2s", "duration": "3s"})
    assert calls_of(scene, iter([1.0, 2.0, 2.5, 4.0, 5.0, 6.0])) == ["close", "open"]
    assert scene.faults.injected == {"down": 1}


def test_a_closed_port_knows_no_ramp():
    scene = Scene({"kind": "down", "start": "2s", "duration": "3s", "ramp": "2s"})
    assert calls_of(scene, iter([1.0, 2.0])) == ["close"]


@pytest.mark.parametrize("kind", ["down", "crash"])
def test_a_fault_of_the_server_happens_in_a_share_of_the_seeds(kind):
    happened = 0
    for seed in range(400):
        scene = Scene({"kind": kind, "start": "1s", "duration": "1s", "probability": 0.25}, seed=seed)
        happened += bool(calls_of(scene, iter([1.5, 3.0])))
        assert scene.faults.injected == {kind: int(bool(scene.log))}
    assert 65 <= happened <= 135, "100 expected, standard deviation 8.7"


def test_healing_and_removing_open_the_port_again():
    for end in ("heal", "remove"):
        scene = Scene({"kind": "down"})
        server = _Server()
        scene.faults.attach(server)
        scene.faults.heal() if end == "heal" else scene.faults.remove("down")
        assert server.calls == ["close", "open"]


def test_a_crash_that_lies_before_this_process_does_not_happen_again():
    scene = Scene({"kind": "crash", "start": "5s", "restart_after": "1s"})
    assert calls_of(scene, iter([4.0, 5.0, 6.0])) == ["kill 1.0"]
    reborn = Scene({"kind": "crash", "start": "5s"})
    server = _Server()
    reborn.now = 7.0
    reborn.faults.attach(server)
    assert server.calls == []


def test_a_healed_fault_does_not_come_back_by_its_schedule():
    scene = Scene({"kind": "abort", "start": "10s"})
    scene.faults.heal()
    scene.now = 11.0
    assert not scene.is_hit(about())
    scene.faults.reset()
    assert scene.is_hit(about()), "but a reset brings the profile's schedule back"


def test_the_next_edge_is_known():
    scene = Scene({"kind": "down", "start": "2s", "duration": "3s"}, {"kind": "abort", "start": "4s"})
    found = []
    for scene.now in (0.0, 2.0, 4.5, 6.0):
        found.append(scene.faults.update())
    assert found == [2.0, 2.0, 0.5, None]


@pytest.mark.parametrize("phase_s", [0.0002 * number for number in range(20)])
def test_an_edge_is_told_whatever_looks_at_the_clock_it_comes_between(phase_s):
    """Who sleeps may be woken a moment too early, and comes near the edge by small steps."""
    now = 2.5

    def clock() -> float:
        nonlocal now
        now += 0.001
        return now

    faults = FaultScheduler(
        Profile.model_validate({"faults": [{"kind": "down", "start": "2s", "duration": "3s"}]}).faults, 1, clock, print
    )
    server = _Server()
    faults.attach(server)
    now = 4.98 + phase_s
    while faults.update() is not None:
        assert now < 5.1
    assert server.calls == ["close", "open"]


def test_a_reset_does_not_crash_again_what_came_back_from_the_crash():
    scene = Scene({"kind": "crash", "start": "0s"})
    server = _Server()
    scene.now = 7.0
    scene.faults.attach(server)
    scene.faults.reset()
    assert server.calls == []


def test_a_fault_that_replaces_another_ends_it():
    scene = Scene({"kind": "down", "name": "x"})
    server = _Server()
    scene.faults.attach(server)
    (latency,) = Profile.model_validate({"faults": [{"kind": "latency", "name": "x", "delay": "1s"}]}).faults
    assert scene.faults.put(latency) is False
    assert server.calls == ["close", "open"]
    scene.faults.remove("x")
    assert server.calls == ["close", "open"]
