"""Predicted beside measured: errors in points for percentages and relative for anything else."""

import pytest

from harness.analysis.against import Against, FigurePair, RunPair
from harness.analysis.run_figures import FIGURES, RunFigures
from reports.against import against_finding, brief_rows, format_error, pair_rows


def figures(ratio, verdict="fail", **values):
    known = {**dict.fromkeys(FIGURES), "completed_by_deadline_ratio": ratio, **values}
    return RunFigures(
        seed=1, verdict=verdict, safety=True, values=known, by_outcome={"accepted": 100, "refused": 5},
        curve_t_s=[0.0, 5.0, 10.0], curve=[0.0, ratio / 2, ratio],
    )  # fmt: skip


def pair(measured, predicted):
    return RunPair(run="/runs/a", name="kaliwates", seed=1, deadline_s=10.0, measured=measured, predicted=predicted)


def figure(unit, measured, predicted):
    return FigurePair(key="k", title="t", unit=unit, measured=measured, predicted=predicted)


@pytest.mark.parametrize(
    ("unit", "measured", "predicted", "error", "text"),
    [
        ("ratio", 0.20, 0.23, 0.03, "+3.0 points"), ("s", 2.0, 1.8, -0.1, "-10.0 %"), ("", 0, 0, 0.0, "+0.0 %"),
        ("", 0, 5, None, ""), ("s", None, 2.0, None, ""),
    ],
)  # fmt: skip
def test_an_error_is_relative_to_the_measured_value_or_in_points(unit, measured, predicted, error, text):
    one = figure(unit, measured, predicted)
    assert one.error == (None if error is None else pytest.approx(error))
    assert format_error(one) == text


def test_completion_is_compared_at_moments_too_with_the_last_share_known_then():
    one = pair(figures(0.4), figures(0.6))
    assert (one.figure("at_0.5").measured, one.figure("at_0.5").predicted) == (0.2, 0.3)
    assert one.figure("at_0.75").measured == 0.2


def test_attempts_are_compared_by_outcome_also_those_that_one_side_lacks():
    measured = figures(0.4).model_copy(update={"by_outcome": {"accepted": 90, "closed": 3}})
    one = pair(measured, figures(0.4))
    assert (one.figure("by_outcome.closed").measured, one.figure("by_outcome.closed").predicted) == (3, 0)
    assert one.figure("by_outcome.refused").measured == 0


def test_the_table_names_the_verdicts_and_whether_they_differ():
    rows = pair_rows(pair(figures(0.4, delivery_p50_s=1.0), figures(0.4, "pass", delivery_p50_s=1.1)))
    assert rows[-1] == ["verdict", "PASS", "FAIL", "differs"]
    assert ["delivery p50", "1.1 s", "1 s", "+10.0 %"] in rows
    assert not any(row[0] == "shed" for row in rows), "neither side has it"


def test_of_several_runs_the_greatest_error_and_the_verdicts_that_agree_are_named():
    found = Against(pairs=[pair(figures(0.4), figures(0.43)), pair(figures(0.4), figures(0.4, "pass"))])
    assert (
        against_finding(found)
        == "In 2 runs the stations by the deadline are off by at most 3.0 points; 1 of 2 verdicts agree"
    )
    assert [row[-1] for row in brief_rows(found)] == ["FAIL", "pass for fail"]
    assert (
        against_finding(Against(pairs=found.pairs[:1]))
        == "Predicted 43 % of the stations by the deadline, measured 40 %"
    )
