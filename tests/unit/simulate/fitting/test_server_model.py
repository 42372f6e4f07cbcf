"""A model of a server is recovered from what its clients measured: the truth was planted in a mock server."""

from __future__ import annotations

from typing import Any

import pytest

from harness.base.errors import UsageError
from harness.scenario.scenario import Scenario
from harness.simulate.fitting.server_model import ServerFit, fit_server
from tests.support.fitted_runs import measured
from tests.support.simulations import FREE, scenario

pytestmark = pytest.mark.heavy
LOADS = {"light": (100, "110s"), "medium": (362, "12s"), "heavy": (362, "4s")}


def loaded(load: str, server: dict[str, Any], **tables: Any) -> Scenario:
    """A run of the server at one of the loads."""
    count, over = LOADS[load]
    base: dict[str, Any] = {
        "deadline": "120s",
        "stations": {"region": "kaliwates", "count": count},
        "photos": {"size": {"distribution": "lognormal", "median": "1.6MB", "sigma": 0.3}, "bank": 8},
        "arrivals": {"kind": "poisson", "over": over},
        "client": {"timeout": "10s", "retry": {"strategy": "full_jitter", "base": "1s", "cap": "8s"}},
        "server": server,
    }
    return scenario(**{**base, **tables})


def fitted(server: dict[str, Any], loads: tuple[str, ...] = tuple(LOADS), **tables: Any) -> ServerFit:
    """The model fitted to runs at these loads."""
    return fit_server([measured(loaded(load, server, **tables)) for load in loads])


LOGNORMAL = {"distribution": "lognormal", "median": "120ms", "sigma": 0.5}


@pytest.fixture(scope="module")
def usual() -> ServerFit:
    return fitted({"workers": 12, "queue_capacity": 24, "service_time": LOGNORMAL})


def test_workers_and_queue_are_recovered_exactly(usual: ServerFit) -> None:
    assert (usual.server.workers, usual.server.shed, usual.server.queue_capacity) == (12, "queue_full", 24)
    assert usual.server.contention_knee is None


def test_the_service_time_is_recovered_with_its_shape(usual: ServerFit) -> None:
    law = usual.server.service_time
    assert law.distribution == "lognormal"
    assert law.median == pytest.approx(0.120, rel=0.08)
    assert law.sigma == pytest.approx(0.5, rel=0.1)
    assert usual.law.distance < 0.05


def test_the_models_throughput_is_the_measured_one(usual: ServerFit) -> None:
    assert usual.saturation_per_s == pytest.approx(12 / 0.136, rel=0.05)
    assert usual.capacity.rate_per_s(usual.law.mean_s) == pytest.approx(usual.saturation_per_s, rel=0.05)


def test_the_range_that_was_shown_is_written_down(usual: ServerFit) -> None:
    shown = usual.simulate.fitted
    assert shown is not None
    assert usual.saturation_per_s is not None
    assert (shown.runs, shown.in_server) == (3, 36)
    assert shown.attempts_per_s > usual.saturation_per_s


@pytest.mark.parametrize("workers", [1, 2, 4, 32])
def test_any_number_of_workers_is_recovered(workers: int) -> None:
    service = {"distribution": "lognormal", "median": f"{workers * 10}ms", "sigma": 0.4}
    found = fitted({"workers": workers, "queue_capacity": 3 * workers, "service_time": service})
    assert found.server.workers == workers
    assert found.server.queue_capacity == 3 * workers


def test_contention_is_recovered_from_how_service_grows() -> None:
    found = fitted({
        "workers": 16, "queue_capacity": 40, "contention_knee": 6, "contention_slope": 0.1,
        "service_time": {"distribution": "lognormal", "median": "80ms", "sigma": 0.3},
    }).server  # fmt: skip
    assert found.workers == pytest.approx(16, abs=2)
    assert found.contention_knee == pytest.approx(6, abs=2)
    assert found.contention_slope == pytest.approx(0.1, rel=0.35)


@pytest.mark.parametrize(
    "law",
    [
        {"distribution": "fixed", "value": "50ms"},
        {"distribution": "exponential", "mean": "50ms"},
        {"distribution": "uniform", "low": "20ms", "high": "80ms"},
    ],
)
def test_the_kind_of_distribution_is_recovered(law: dict[str, str]) -> None:
    assert (
        fitted({"workers": 4, "queue_capacity": 12, "service_time": law}).server.service_time.distribution
        == law["distribution"]
    )


def test_contention_that_does_not_show_is_modelled_as_fewer_workers_that_are_as_fast() -> None:
    found = fitted({
        "workers": 12, "queue_capacity": 40, "contention_knee": 4, "contention_slope": 0.05,
        "service_time": {"distribution": "lognormal", "median": "100ms", "sigma": 0.4},
    })  # fmt: skip
    assert found.server.contention_knee is None
    assert found.server.workers < 12
    assert found.capacity.rate_per_s(found.law.mean_s) == pytest.approx(found.saturation_per_s, rel=0.06)


def test_a_rate_that_adds_the_photos_size_is_recovered() -> None:
    server = {"workers": 16, "queue_capacity": 64, "service_time": "20ms", "bytes_per_s": "20MB/s"}
    assert fitted(server).server.bytes_per_s == pytest.approx(20e6, rel=0.05)


def test_time_in_which_no_worker_is_busy_is_separated_from_service() -> None:
    server = {"workers": 2, "queue_capacity": 8, "service_time": "20ms"}
    found = fitted(server, simulate={**FREE, "commit": "5ms"})
    assert found.server.workers == 2
    assert found.simulate.commit.quantile(0.5) == pytest.approx(0.005, abs=0.0015)
    assert found.server.service_time.quantile(0.5) == pytest.approx(0.020, abs=0.0015)


def test_phones_on_links_do_not_change_the_model() -> None:
    link = {"upload": "100Mbit/s", "rtt": "40ms"}
    client = {"timeout": "10s", "retry": {"strategy": "full_jitter", "base": "1s", "cap": "8s"}, "link": link}
    found = fitted({"workers": 6, "queue_capacity": 12, "service_time": LOGNORMAL}, client=client)
    assert (found.server.workers, found.server.queue_capacity) == (6, 12)


def test_without_refusals_the_queue_has_no_bound_and_a_warning_says_so() -> None:
    found = fitted({"workers": 12, "queue_capacity": 1000, "service_time": LOGNORMAL})
    assert found.server.shed == "none"
    assert any("modelled without a bound" in warning for warning in found.warnings)


def test_a_server_that_was_never_full_gives_a_lower_bound_and_a_warning() -> None:
    found = fitted({"workers": 64, "queue_capacity": 64, "service_time": LOGNORMAL}, loads=("light", "medium"))
    assert found.server.workers < 64
    assert any("never seen full" in warning for warning in found.warnings)
    assert not found.capacity.saturated


def test_refusals_that_do_not_come_from_a_full_queue_are_named() -> None:
    codel = {"shed": "codel", "codel_target": "100ms", "codel_interval": "500ms", "queue_capacity": 400}
    found = fitted({"workers": 8, "service_time": LOGNORMAL, **codel})
    assert any("does not refuse because of a full queue alone" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"retry_after": "none"}, ("none", None)),
        ({"retry_after": "fixed", "retry_after_time": "4s"}, ("fixed", 4.0)),
        ({"retry_after": "jittered", "retry_after_time": "4s"}, ("jittered", 5.0)),
    ],
)
def test_retry_after_is_recovered(asked: dict[str, str], expected: tuple[str, float | None]) -> None:
    server = fitted({"workers": 4, "queue_capacity": 8, "service_time": "100ms", **asked}).server
    assert server.retry_after == expected[0]
    if expected[1] is not None:
        assert server.retry_after_time == expected[1]


def test_work_for_clients_that_gave_up_does_not_bias_the_model() -> None:
    client = {"timeout": "1s", "retry": {"strategy": "full_jitter", "base": "1s", "cap": "8s"}}
    found = fitted({"workers": 6, "queue_capacity": 200, "service_time": LOGNORMAL}, client=client)
    assert found.server.workers == pytest.approx(6, abs=1)


def test_without_a_light_load_it_is_refused_with_what_to_do() -> None:
    server = {"workers": 2, "queue_capacity": 8, "service_time": "400ms"}
    with pytest.raises(
        UsageError, match=r"uploads found the server empty, and 50 are needed; add a run .* at a lower load"
    ):
        fitted(server, loads=("heavy",))


def test_a_target_without_logins_is_simulated_without() -> None:
    found = fitted({"workers": 4, "queue_capacity": 8, "service_time": "100ms"}, simulate={**FREE, "logins": False})
    assert not found.simulate.logins
