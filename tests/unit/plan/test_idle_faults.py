"""Faults that can hit nothing are named, so that no run passes as if the server had withstood them."""

import pytest

from harness.plan.idle_faults import find_idle_faults, find_idle_outages
from harness.scenario.experiment import load_experiment, shipped_experiments
from harness.scenario.loader import load_scenario, shipped_scenarios

SCENARIO = """
name = "mine"
deadline = "6s"
[stations]
count = 10
[arrivals]
kind = "surge"
over = "1s"
[[faults]]
name = "first"
kind = "capacity"
factor = 0.5
[[faults]]
name = "late"
"""


def idle(tmp_path, fault):
    path = tmp_path / "mine.toml"
    path.write_text(SCENARIO + fault, "utf-8")
    return find_idle_faults(load_scenario(str(path)))


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ('kind = "down"\nstart = "200s"', 'start = "200s" never comes: the run ends at the deadline, "6s"'),
        ('kind = "down"\nstart = "6s"', 'start = "6s" never comes'),
        ('kind = "down"\nduration = "0s"', 'duration = "0s" is over at once'),
        (
            'kind = "abort"\nstatus = 503\nmatch = { form = "pdpr" }',
            'match.form = "pdpr" hits nothing: the stations send ppwp',
        ),
        ('kind = "abort"\nstatus = 503\nmatch = { station = "1101" }', 'match.station = "1101" hits nothing'),
        ('kind = "stale_lock"', 'kind = "stale_lock" hits resumable uploads only: set client.protocol = "tus"'),
    ],
)
def test_a_fault_that_never_happens_is_named_with_what_to_change(tmp_path, fault, why):
    (line,) = idle(tmp_path, fault)
    assert line.startswith(f'faults #2 "late": {why}')


@pytest.mark.parametrize(
    "fault",
    [
        'kind = "down"\nstart = "5s"',
        'kind = "abort"\nstatus = 503\nprobability = 0',  # switched off, as the variants of an experiment do
        'kind = "abort"\nstatus = 503\nmatch = { station = "3509191", form = "ppwp" }',
    ],
)
def test_a_fault_that_may_happen_is_left_alone(tmp_path, fault):
    assert idle(tmp_path, fault) == []


def test_no_scenario_and_no_experiment_that_ships_has_an_idle_fault():
    scenarios = [load_scenario(name) for name in shipped_scenarios()]
    scenarios += [cell.scenario for name in shipped_experiments() for cell in load_experiment(name)[1]]
    assert [line for scenario in scenarios for line in find_idle_faults(scenario)] == []


LINK = 'client.link={{upload="1MB/s",outages={{every={every},lasting="1s"}}}}'


@pytest.mark.parametrize(
    ("every", "never"),
    [
        ('"80s"', True),
        ('{distribution="uniform",low="61s",high="90s"}', True),
        ('"59s"', False),
        ('{distribution="exponential",mean="300s"}', False),
    ],
)
def test_outages_after_the_deadline_are_named(every, never):
    found = find_idle_outages(load_scenario("smoke", ["deadline=60s", LINK.format(every=every)]))
    assert [line.startswith("client.link.outages never happen: the first begins after") for line in found] == [
        True
    ] * never
