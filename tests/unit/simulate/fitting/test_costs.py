"""The constants of [simulate] are recovered from the attempts of runs in which they were planted."""

from __future__ import annotations

from typing import Any

import pytest

from harness.scenario.scenario import Scenario
from harness.scenario.simulation import SimulationCosts
from harness.simulate.fitting.cost_table import FittedCosts, fit_costs
from tests.support.fitted_runs import measured
from tests.support.simulations import scenario

PLANTED = {
    "connect": "1.2ms", "login": "7ms", "send": "200MB/s", "parse": "1ms", "commit": "5ms", "answer": "600us", "restart": "1.5s",
}  # fmt: skip
LINK = {"upload": "8Mbit/s", "rtt": "50ms"}


def planted(**tables: Any) -> Scenario:
    """Sixty stations with photos of several sizes, and costs to be recovered."""
    base: dict[str, Any] = {
        "stations": {"region": "kaliwates", "count": 60},
        "photos": {"size": {"distribution": "lognormal", "median": "1.6MB", "sigma": 0.3}, "bank": 8},
        "arrivals": {"kind": "poisson", "over": "20s"},
        "server": {"workers": 8, "service_time": {"distribution": "lognormal", "median": "80ms", "sigma": 0.5}},
        "simulate": PLANTED,
    }
    return scenario(**{**base, **tables})


def fitted(**tables: Any) -> FittedCosts:
    """The costs of one planted run."""
    return fit_costs([measured(planted(**tables))], SimulationCosts())


def medians(costs: FittedCosts) -> dict[str, float]:
    """Each estimate's median by name."""
    return {one.name: one.median for one in costs.estimates}


@pytest.fixture(scope="module")
def usual() -> FittedCosts:
    return fitted()


@pytest.mark.parametrize(("name", "value"), [("connect", 0.0012), ("login", 0.007), ("commit", 0.005), ("send", 200e6)])
def test_a_planted_constant_is_recovered(usual: FittedCosts, name: str, value: float) -> None:
    assert medians(usual)[name] == pytest.approx(value, rel=0.001)


def test_the_sum_of_parse_and_answer_is_recovered_and_divided_as_the_defaults_are(usual: FittedCosts) -> None:
    found, defaults = medians(usual), SimulationCosts()
    assert found["parse"] + found["answer"] == pytest.approx(0.0016, rel=0.001)
    ratio = defaults.parse.quantile(0.5) / defaults.answer.quantile(0.5)
    assert found["parse"] / found["answer"] == pytest.approx(ratio)


def test_what_was_not_measured_keeps_its_value_and_says_why(usual: FittedCosts) -> None:
    table = usual.table(SimulationCosts.model_validate({"restart": "2.5s"}))
    assert table.restart == 2.5
    assert usual.kept == {"restart": "no run has a crash with a restart"}


def test_the_table_has_the_medians_as_constants(usual: FittedCosts) -> None:
    table = usual.table(SimulationCosts())
    assert (table.commit.quantile(0.01), table.commit.quantile(0.99)) == (0.005, 0.005)
    assert table.send == pytest.approx(200e6, rel=0.001)
    assert table.receive == table.send, "photos that come at once share what one alone gets"
    assert usual.table(SimulationCosts(receive="unlimited")).receive == "unlimited"


def test_with_distributions_the_spread_of_a_cost_is_recovered_too() -> None:
    commit = {"distribution": "lognormal", "median": "5ms", "sigma": 0.4}
    table = fitted(simulate={**PLANTED, "commit": commit}).table(SimulationCosts(), distributions=True)
    assert table.commit.quantile(0.5) == pytest.approx(0.005, rel=0.1)
    assert table.commit.sigma == pytest.approx(0.4, rel=0.2)


def test_a_phones_link_is_subtracted() -> None:
    found = medians(fitted(client={"timeout": "20s", "link": LINK}, deadline="90s"))
    assert found["connect"] == pytest.approx(0.0012, rel=0.001)
    assert found["login"] == pytest.approx(0.007, rel=0.001)
    assert found["answer"] == pytest.approx(0.0006, rel=0.01)


def test_on_links_the_costs_that_they_hide_are_kept() -> None:
    kept = fitted(client={"timeout": "20s", "link": LINK}, deadline="90s").kept
    assert kept["send"] == kept["parse"] == "every run has phones on links, which hide it"


def test_attempts_during_a_fault_do_not_count() -> None:
    latency = {"name": "slow", "kind": "latency", "start": "0s", "duration": "6s", "delay": "300ms"}
    found = medians(fitted(faults=[latency]))
    assert found["login"] == pytest.approx(0.007, rel=0.001)
    assert found["parse"] + found["answer"] == pytest.approx(0.0016, rel=0.01)


def test_connections_of_a_shared_pool_show_no_cost_of_connecting() -> None:
    costs = fitted(client={"timeout": "5s", "connection": "reuse"})
    assert "connect" not in medians(costs)
    assert costs.kept["connect"].startswith("no attempt certainly opened a connection")


def test_asynchronous_reading_shows_no_commit() -> None:
    server = {"workers": 8, "service_time": "80ms", "reading": "asynchronous", "reading_time": "100ms"}
    assert "commit" in fitted(server=server).kept


def test_photos_of_one_size_show_no_rate_and_leave_the_rest_right() -> None:
    costs = fitted(photos={"size": "1MB", "bank": 1})
    found = medians(costs)
    assert costs.kept["send"] == "the photos are too much alike to show what a byte costs"
    assert found["parse"] + found["answer"] == pytest.approx(
        0.0016 + 1e6 / 200e6 - 1e6 / SimulationCosts().send, rel=0.01
    )


def test_a_restart_is_recovered_to_within_the_gap_between_attempts() -> None:
    crash = {"name": "crash", "kind": "crash", "start": "8s", "restart_after": "2s"}
    costs = fitted(faults=[crash], client={"timeout": "5s", "retry": {"strategy": "fixed", "base": "100ms"}})
    assert medians(costs)["restart"] == pytest.approx(1.5, abs=0.1)


def test_too_few_attempts_give_no_estimate() -> None:
    costs = fitted(stations={"region": "kaliwates", "count": 3})
    assert costs.estimates == []
    assert set(costs.kept) == {"connect", "login", "commit", "send", "parse", "answer", "restart"}
