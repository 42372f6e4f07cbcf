"""What several commands check before they start."""

import pytest

from harness.base.errors import ConfigurationError
from harness.cli.options import check_scenario, warnings_of
from harness.plan import make_plan
from harness.scenario.loader import load_scenario

LIGHT = ["photos.size=40KB", "photos.bank=1"]


def test_the_faults_of_the_mock_server_are_said_not_to_happen_at_another_target():
    loaded = load_scenario("smoke", LIGHT)
    plan = make_plan(loaded)
    assert warnings_of(loaded, plan) == []
    assert warnings_of(loaded, plan, external=True) == [
        "Warning: [[faults]] are the mock server's and do not happen with --target: hiccup"
    ]


def test_every_problem_of_a_scenario_is_said_at_once():
    loaded = load_scenario("smoke", [*LIGHT, "faults.hiccup.start=99s", "thresholds.1.assert=audit.lost < 0"])
    with pytest.raises(ConfigurationError) as caught:
        check_scenario("mine.toml", loaded)
    first, second = caught.value.problems
    assert first.startswith('faults #1 "hiccup": start = "99s" never comes')
    assert second.startswith("thresholds #2: can't pass: no value meets it")
    check_scenario("mine.toml", load_scenario("smoke", LIGHT))
