"""The charts and the page of a capacity search."""

import numpy as np
import pytest
from matplotlib import rc_context

from harness.analysis.capacity import CapacityBracket, PlayedSeed
from reports.capacity_charts import CAPACITY_CHARTS
from reports.capacity_charts.axes import tried_values
from reports.capacity_charts.conditions import conditions_finding, draw_conditions
from reports.capacity_charts.demand import draw_demand
from reports.capacity_charts.levels import draw_finish, draw_probability, finish_finding
from reports.capacity_charts.measured import draw_measured, measured_finding
from reports.capacity_charts.resources import binds_finding, draw_binds
from reports.capacity_page import render_capacity
from reports.charts.layout import NARROW, WIDE
from tests.support.capacity_figures import condition, demand, figures, level

LOADS = (demand(0.5, least=2), demand(1.0, least=4), demand(2.0, least=8))
BOTH = figures(condition("bears", *LOADS), condition("recovers", demand(0.5, least=3), demand(1.0, least=6), demand(2.0, least=32, found=False)), exit_code=99)  # fmt: skip


def by_gid(axes):
    return {artist.get_gid(): artist for artist in [*axes.lines, *axes.patches] if artist.get_gid()}


def test_the_staircase_stands_over_the_arithmetics_bound():
    drawn = by_gid(draw_demand(BOTH).axes[1])
    assert drawn["bears"].get_data().values.tolist() == [2, 4, 8]
    assert drawn["arithmetic"].get_data().values.tolist() == [1, 3, 7]
    recovers = drawn["recovers"].get_data().values
    assert recovers[:2].tolist() == [3, 6]
    assert np.isnan(recovers[2])  # nothing in the range: a mark at its end, not a step


def test_the_probability_of_each_level_is_a_point_with_its_bounds():
    drawn = by_gid(draw_probability(BOTH).axes[1])
    assert drawn["bears 3"].get_ydata().tolist() == [0.0]
    assert drawn["recovers 6"].get_ydata().tolist() == [1.0]
    assert list(drawn["wanted"].get_ydata()) == [0.95, 0.95]
    assert tried_values(BOTH) == ["3", "4", "5", "6", "8", "12"]


def test_the_time_of_completion_is_the_median_of_the_seeds_and_never_at_the_top():
    drawn = by_gid(draw_finish(figures()).axes[1])
    assert drawn["bears 4"].get_ydata().tolist() == [53.0]
    assert drawn["bears 3"].get_ydata().tolist() == [pytest.approx(72 * 1.15)]
    assert drawn["bears 3"].get_marker() == "^"


def test_measured_runs_stand_beside_the_simulated_ones():
    runs = [
        PlayedSeed(
            seed=500 + number, met=number > 0, completed_ratio=1.0, complete_95_s=50.0, finish_s=60.0, amplification=1.5
        )
        for number in range(3)
    ]
    found = figures(
        condition("bears", demand(levels=[level(3, 0, 2, "fails"), level(4, 59, 0, "passes", measured=runs)]))
    )
    drawn = by_gid(draw_probability(found).axes[1])
    assert drawn["measured bears 4"].get_ydata().tolist() == [pytest.approx(2 / 3)]
    assert "measured bears 3" not in drawn


def test_values_of_a_descending_range_stay_in_its_order():
    vary = figures().vary.model_copy(update={"weakest": "64", "strongest": "1"})
    assert tried_values(figures(vary=vary)) == ["8", "4", "3"]


@pytest.mark.heavy
@pytest.mark.parametrize("layout", [WIDE, NARROW])
@pytest.mark.parametrize("chart", CAPACITY_CHARTS, ids=lambda chart: chart.name)
def test_every_chart_is_drawn_of_a_search_that_found_nothing(chart, layout):
    empty = demand(
        bracket=CapacityBracket(passes=None, fails=None, is_complete=False), levels=[], least_by_arithmetic=None
    )
    unknown = demand(
        bracket=CapacityBracket(passes=None, fails=None, is_complete=True), levels=[level(4, 0, 0, "undecided")]
    )
    for one in (empty, unknown):
        both = condition("bears", one), condition("recovers", one)
        found = figures(*both, exit_code=3, why_unknown="nothing was played")
        with rc_context(layout.style):
            assert chart.draw(found).axes
        assert chart.finding(found)


@pytest.mark.heavy
def test_the_page_has_the_sentence_its_charts_and_every_level(tmp_path):
    page = render_capacity(tmp_path, BOTH)
    text = page.read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "For 362 stations within 3 d four workers suffice" in text
    assert "SIMULATED" in text
    for name in ("probability", "finish", "demand", "bears-0", "recovers-2"):
        assert f'id="{name}"' in text
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "index.html", *(f"{chart.name}.{kind}" for chart in CAPACITY_CHARTS if chart.applies(BOTH) for kind in ("svg", "png"))
    }  # fmt: skip


@pytest.mark.heavy
def test_a_page_has_only_the_charts_that_apply(tmp_path):
    text = render_capacity(tmp_path, figures()).read_text()
    assert [chart.name for chart in CAPACITY_CHARTS if f'id="{chart.name}"' in text] == [
        "demand",
        "probability",
        "finish",
        "binds",
    ]


def test_one_load_is_one_step():
    drawn = by_gid(draw_demand(figures()).axes[1])
    assert (drawn["bears"].get_data().values.tolist(), drawn["arithmetic"].get_data().values.tolist()) == ([4], [3])


def test_a_goal_of_all_stations_counts_the_last_one():
    every = figures(condition(goal=["stations.completed_by_deadline_ratio >= 100%"]))
    assert by_gid(draw_finish(every).axes[1])["bears 4"].get_ydata().tolist() == [64.0]
    assert finish_finding(every) == (
        "With four workers all stations are complete after 64 s in the median run; the deadline is 72 s"
    )


def test_what_bears_stands_beside_what_recovers():
    drawn = by_gid(draw_conditions(BOTH).axes[1])
    assert drawn["between 1x"].get_xdata().tolist() == [4.0, 6.0]
    assert drawn["recovers 2x"].get_marker() == ">"
    assert conditions_finding(BOTH) == (
        "Four workers bear the load; with brownout it takes six: what lies between stays down after the fault"
    )
    same = figures(condition(), condition("recovers"))
    assert conditions_finding(same) == "Four workers bear the load, also with brownout"
    never = figures(condition(), condition("recovers", demand(least=64, found=False)))
    assert conditions_finding(never) == "Four workers bear the load; nothing that was tried recovers from brownout"
    none = figures(
        condition("bears", demand(least=64, found=False)), condition("recovers", demand(least=64, found=False))
    )
    assert conditions_finding(none) == "Nothing that was tried up to 64 workers bears the load, even without brownout"


def test_measured_runs_are_held_against_the_times_of_the_simulated_ones():
    runs = [
        PlayedSeed(seed=500, met=True, completed_ratio=1.0, complete_95_s=52.0, finish_s=60.0, amplification=1.5),
        PlayedSeed(seed=501, met=False, completed_ratio=0.9, complete_95_s=None, finish_s=None, amplification=1.5),
        PlayedSeed(seed=502, met=None, completed_ratio=0.1, complete_95_s=1.0, finish_s=1.0, amplification=1.5),
    ]
    found = figures(
        condition("bears", demand(levels=[level(3, 0, 2, "fails"), level(4, 59, 0, "passes", measured=runs)]))
    )
    assert (
        measured_finding(found)
        == "1 of 2 measured runs have 95 % of the stations complete within the times of the simulated ones"
    )
    finishes, ratios = (by_gid(axes)["measured bears 4"].get_ydata().tolist() for axes in draw_measured(found).axes[1:])
    assert finishes == [52.0, pytest.approx(72 * 1.15)]  # never: at the top
    assert ratios == [1.0, 0.9]


def test_what_binds_is_the_share_of_each_resource_at_each_level():
    levels = [
        level(3, 0, 2, "fails", used={"workers": 1.0, "connections": 0.2}),
        level(4, 59, 0, "passes", used={"workers": 0.75, "connections": 0.2}),
    ]
    found = figures(condition("bears", demand(levels=levels)))
    drawn = by_gid(draw_binds(found).axes[1])
    assert (drawn["workers"].get_ydata().tolist(), drawn["connections"].get_ydata().tolist()) == (
        [1.0, 0.75],
        [0.2, 0.2],
    )
    assert (
        binds_finding(found)
        == "With four workers the plan alone needs 75 % of the workers, more than of any other resource"
    )
