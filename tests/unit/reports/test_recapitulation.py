"""The recapitulation on the page, in the chart, on the terminal and in Markdown; and not in runs without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from harness.analysis.summary import Summary
from reports import palette
from reports.charts import recapitulation
from reports.key_figures import list_key_figures
from reports.markdown import metrics_text, summary_markdown
from reports.render import draw_charts
from reports.tables import recapitulation_table
from tests.support import made_up_run
from tests.support.drawn_charts import draw, texts

DAY_S = 86_400.0


def summary(**changed: Any) -> Summary:
    """The made-up run's figures with other figures of the recapitulation."""
    return made_up_run.summary(recapitulation=changed)


def bars(figure: Figure) -> dict[str, Rectangle]:
    return {
        str(bar.get_gid()): bar
        for axes in figure.axes
        for bar in axes.patches
        if isinstance(bar, Rectangle)
        if bar.get_gid()
    }


def test_the_finding_says_when_it_ends_how_late_and_how_long_before_its_deadline() -> None:
    assert recapitulation.finding(made_up_run.summary()) == (
        "The recapitulation ends on day 13 at 06:00, 2 d 5 h later than with all uploads there at once, "
        "4 d 7 h before its deadline; 27 stations (7.5 %) are entered by hand"
    )


def test_the_finding_says_that_nothing_is_late_and_that_a_deadline_is_missed() -> None:
    found = recapitulation.finding(summary(late_s=0.0, spare_s=-7200.0, by_hand=0))
    assert found.endswith("no later than with all uploads there at once, 2 h after its deadline")


def test_each_kelurahan_has_a_bar_of_its_work_an_outline_of_what_it_would_have_been_and_a_line_until_it_could_begin() -> (
    None
):
    drawn, figures = bars(draw("recapitulation")), made_up_run.summary().recapitulation
    assert figures is not None
    for place in figures.kelurahan:
        for what, from_s, to_s in (
            ("waiting", 0.0, place.could_begin_s),
            ("work", place.began_s, place.ended_s),
            ("undelayed", place.undelayed_began_s, place.undelayed_ended_s),
        ):
            bar = drawn[f"{what} {place.code}"]
            assert bar.get_x() * DAY_S == pytest.approx(from_s + figures.t0_s)
            assert bar.get_width() * DAY_S == pytest.approx(to_s - from_s)


def test_the_one_that_ends_last_stands_at_the_foot_with_how_late_it_is() -> None:
    figure = draw("recapitulation")
    labels = [text for text in texts(figure) if ": " in text and text.endswith(" late")]
    assert labels[-1] == "Tegalbesar: 2 d 5 h late"
    assert labels[0] == "Kebonagung: not late"


def test_its_own_deadline_is_marked_on_the_day_it_falls() -> None:
    (due,) = (line for axes in draw("recapitulation").axes for line in axes.lines if line.get_gid() == "due")
    assert np.asarray(due.get_xdata()) == pytest.approx(np.full(2, (408 + 13) / 24))


def test_a_kelurahan_that_ends_after_the_deadline_has_the_colour_of_failures() -> None:
    drawn = bars(draw("recapitulation", summary=summary(deadline_s=260 * 3600.0)))
    assert to_hex(drawn["work 3509191007"].get_facecolor()) == palette.VERMILION
    assert to_hex(drawn["work 3509191001"].get_facecolor()) == palette.GOODPUT


@pytest.mark.heavy
def test_of_very_many_kelurahan_those_that_end_last_are_drawn() -> None:
    made = made_up_run.summary().recapitulation
    assert made is not None
    place = made.kelurahan[0].model_dump()
    many = [{**place, "code": f"35092{number:05d}", "ended_s": place["ended_s"] + number} for number in range(90)]
    figure = draw("recapitulation", summary=summary(kelurahan=many))
    assert {name for name in bars(figure) if name.startswith("work")} == {
        f"work 35092{number:05d}" for number in range(50, 90)
    }
    assert any(text.startswith("the 40 of 90 kelurahan that end last; ") for text in texts(figure))


@pytest.mark.heavy
def test_a_long_name_is_written_where_there_is_room_or_cut() -> None:
    made = made_up_run.summary().recapitulation
    assert made is not None
    name = "Kecamatan Kaliwates (synthetic 12)"
    places = [place.model_dump() | {"name": name} for place in made.kelurahan]
    places[0] |= {"began_s": 290 * 3600.0, "undelayed_began_s": 290 * 3600.0, "ended_s": 300 * 3600.0}
    figure = draw("recapitulation", summary=summary(kelurahan=places, deadline_s=200 * 3600.0))
    figure.draw_without_rendering()
    labels = [text for axes in figure.axes for text in axes.texts if text.get_text().startswith("Kecamatan")]
    assert len(labels) == 7
    for label in labels:
        box = label.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert [label.get_text() for label in labels if label.get_horizontalalignment() == "right"] == [f"{name}: not late"]
    assert any("…: 2 d 5 h late" in label.get_text() for label in labels), "cut where there is no room on either side"


@pytest.mark.heavy
def test_a_run_without_a_recapitulation_has_no_such_chart_table_or_figure(tmp_path: Path) -> None:
    without = made_up_run.summary(recapitulation=None)
    assert recapitulation.finding(without) == "No recapitulation follows from this run"
    assert "recapitulation" not in [chart.name for chart in draw_charts(tmp_path, made_up_run.series(), without)]
    assert not list(tmp_path.glob("recapitulation*"))
    assert recapitulation_table(without).rows == []
    assert not [figure for figure in list_key_figures(without) if figure.name.startswith("Recapitulation")]


def test_the_key_figure_is_one_line_for_the_terminal_and_markdown() -> None:
    (figure,) = (figure for figure in list_key_figures(made_up_run.summary()) if figure.name == "Recapitulation ends")
    assert figure.value == "day 13 at 06:00"
    assert figure.note == (
        "2 d 5 h later than with all uploads there at once; 4 d 7 h before its deadline; 27 stations entered by hand"
    )
    assert "| Recapitulation ends | day 13 at 06:00 |" in summary_markdown(made_up_run.summary(), None, [])


def test_the_table_has_the_latest_kelurahan_first_and_counts_days_from_the_day_of_the_start() -> None:
    table = recapitulation_table(made_up_run.summary())
    assert [cell.text for cell in table.rows[0]] == [
        "Tegalbesar", "3509191007", "102", "27", "day 3 at 13:00", "day 3 at 14:00", "day 13 at 06:00", "2 d 5 h",
    ]  # fmt: skip
    assert {row[-1].text for row in table.rows[1:]} == {"not late"}


def test_every_figure_is_a_metric_with_the_place_as_its_label() -> None:
    text = metrics_text(made_up_run.summary(), None)
    assert "recapitulation_ended_s 1098000.0\n" in text
    assert 'recapitulation_kelurahan_late_s{kelurahan="3509191007"} 190800.0\n' in text
    assert 'recapitulation_kecamatan_late_s{kecamatan="350919"} 190800.0\n' in text
