"""Figures of the recapitulation as keys of thresholds: held, breached, and without a figure."""

from __future__ import annotations

import pytest

from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import summarise
from harness.judge.results import ThresholdResult
from harness.judge.thresholds.condition import parse_condition
from harness.judge.thresholds.evaluate import evaluate_condition
from harness.judge.thresholds.metrics import unit_of_key
from harness.judge.thresholds.parser import InvalidAssertionError
from tests.support.run_builder import RunBuilder

WITH = {"name": "made", "stations": {"region": "kaliwates"}, "recapitulation": {"panels": 1, "deadline": "1d"}}


def judged(tmp_path, assertion, scenario=WITH) -> ThresholdResult:
    """The result for a run whose two stations in Mangli were complete after 10 h and never; deadline after 40 h."""
    run = RunBuilder(tmp_path / "run", stations=2, scenario=scenario, time_scale=3600.0, deadline_s=40.0)
    run.attempt(0, done_s=10.0)
    folder = run.finish("deadline", at_s=40.0)
    return evaluate_condition(parse_condition(assertion), summarise(folder), RunData(folder, load_rows(folder)))


@pytest.mark.parametrize(
    ("assertion", "passed", "observed"),
    [
        ("recapitulation.ended_s <= 2d", True, 42 * 3600.0),
        ("recapitulation.ended_s <= 36h", False, 42 * 3600.0),
        ("recapitulation.late_s < 30h", False, 31 * 3600.0),
        ("recapitulation.spare_s >= 0", False, -18 * 3600.0),
        ("recapitulation.in_time_ratio == 100%", False, 0.0),
        ("recapitulation.by_hand == 1", True, 1.0),
        ("recapitulation.kecamatan.350919.spare_s >= 0", False, -18 * 3600.0),
        ("recapitulation.kelurahan.3509191001.could_begin_s < 2d", True, 40 * 3600.0),
    ],
)
def test_each_figure_can_be_held_against_a_limit(tmp_path, assertion, passed, observed):
    result = judged(tmp_path, assertion)
    assert result.passed is passed
    assert result.observed == pytest.approx(observed)


def test_without_the_table_a_threshold_has_no_figure_and_fails(tmp_path):
    result = judged(tmp_path, "recapitulation.late_s < 30h", {"name": "made", "stations": {"region": "kaliwates"}})
    assert not result.passed
    assert result.reason == "the scenario has no [recapitulation], or the run was cut short"


def test_a_kelurahan_that_the_run_does_not_have_fails(tmp_path):
    result = judged(tmp_path, "recapitulation.kelurahan.3509191009.late_s < 30h")
    assert (result.passed, result.observed) == (False, None)


def test_the_units_are_those_of_the_names():
    keys = ("late_s", "in_time_ratio", "by_hand", "kecamatan.350919.spare_s", "kelurahan.3509191001.panel")
    assert [unit_of_key(f"recapitulation.{key}") for key in keys] == ["s", "ratio", "", "s", ""]


@pytest.mark.parametrize(
    ("assertion", "said"),
    [
        ("recapitulation.lte_s < 1d", 'there is no "lte_s" in recapitulation; did you mean "late_s"?'),
        ("recapitulation < 1d", "recapitulation is not a figure: it contains t0_s"),
        ("recapitulation.kecamatan < 1d", "name an entry, as in recapitulation.kecamatan.<code>.…"),
    ],
)
def test_a_wrong_key_is_refused_with_what_there_is(assertion, said):
    with pytest.raises(InvalidAssertionError) as caught:
        parse_condition(assertion)
    assert said in str(caught.value)
