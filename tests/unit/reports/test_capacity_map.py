"""A map as text and as a chart."""

import pytest
from matplotlib import rc_context

from harness.analysis.capacity import PlayedSeed
from harness.analysis.capacity_map import MapAxis, MapCell, MapFigures
from reports import palette
from reports.capacity_map import draw_map, map_badge, map_finding, map_markdown, map_rows, render_map
from reports.charts.layout import NARROW, WIDE

STATES = {
    ("immediate", "0.5x"): "recovers", ("immediate", "1x"): "stays_down", ("immediate", "2x"): "overloaded",
    ("outbox", "0.5x"): "recovers", ("outbox", "1x"): "recovers", ("outbox", "2x"): "overloaded",
}  # fmt: skip


def cell(at, state, *measured):
    runs = [
        PlayedSeed(seed=90, met=met, completed_ratio=1.0, complete_95_s=1.0, finish_s=1.0, amplification=1.0)
        for met in measured
    ]
    borne = state != "overloaded"
    return MapCell(
        at=list(at), state=state, bears_met=3 * borne, bears_seeds=3, recovers_met=3 * (state == "recovers"),
        recovers_seeds=3 * borne, completed_ratio=1.0 if state == "recovers" else 0.234, measured=runs,
    )  # fmt: skip


def figures(cells=None, **changes):
    axes = [
        MapAxis(key="client.retry.strategy", values=["immediate", "outbox"]),
        MapAxis(key="load", values=["0.5x", "1x", "2x"]),
    ]
    content = {
        "name": "metastable", "title": "", "axes": axes, "faults": ["trigger"], "goal": ["a >= 1"], "left_out": [], "first_seed": 1,
        "cells": cells or [cell(at, state) for at, state in STATES.items()], "is_complete": True, "exit_code": 0,
    }  # fmt: skip
    return MapFigures.model_validate({**content, **changes})


def test_the_sentence_counts_what_recovers_and_names_what_always_does():
    assert map_finding(figures()) == (
        "Of 6 combinations 3 recover from trigger, 1 bear the load but stay down, and 2 do not even bear the load. "
        "Wherever the load is borne, it recovers with client.retry.strategy = outbox"
    )
    assert map_badge(figures()) == "SIMULATED MAP"


def test_measured_points_are_counted():
    cells = [cell(at, state) for at, state in STATES.items()]
    cells[0], cells[1] = cell(cells[0].at, "recovers", True), cell(cells[1].at, "stays_down", True)
    found = figures(cells)
    assert map_finding(found).endswith(". 1 of 2 measured points at the boundary came out as simulated")
    assert map_badge(found) == "MAP"
    assert [row[-1] for row in map_rows(found)[:3]] == [
        "goal met: as simulated",
        "goal met: not as simulated",
        "",
    ]
    invalid = figures([cell(cells[0].at, "recovers", None), *cells[2:], cells[2]])
    assert map_rows(invalid)[0][-1] == "INVALID"


def test_what_is_not_known_is_said():
    unknown = [cell(at, "unknown" if at[1] == "2x" else state) for at, state in STATES.items()]
    found = figures(unknown, is_complete=False, exit_code=3, why_unknown="its budget was spent")
    assert "; 2 are unknown" in map_finding(found)
    assert map_finding(found).endswith(". Nobody can tell: its budget was spent")
    assert map_badge(found) == "SIMULATED NOBODY CAN TELL"


def by_gid(axes):
    return {artist.get_gid(): artist for artist in [*axes.lines, *axes.patches] if artist.get_gid()}


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_each_cell_has_the_colour_of_its_state_and_a_diamond_that_of_the_run(layout):
    cells = [cell(at, state) for at, state in STATES.items()]
    cells[1] = cell(cells[1].at, "stays_down", True)
    with rc_context(layout.style):
        drawn = by_gid(draw_map(figures(cells), 1).axes[1])
    assert drawn["immediate 1x"].get_facecolor()[:3] == pytest.approx(rgb(palette.VERMILION))
    assert drawn["outbox 2x"].get_facecolor()[:3] == pytest.approx(rgb(palette.RULE))
    assert drawn["measured immediate 1x"].get_markerfacecolor() == palette.BLUE
    assert drawn["measured immediate 1x"].get_ydata().tolist() == [0]


def rgb(colour):
    return [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def test_of_three_keys_the_first_has_a_panel_per_value():
    axes = [*figures().axes, MapAxis(key="faults.trigger.duration", values=["2s", "9s"])]
    cells = [cell((*at, length), state) for at, state in STATES.items() for length in ("2s", "9s")]
    drawn = draw_map(figures(cells, axes=axes), 1)
    assert len(drawn.axes) == 3  # the background, and two panels
    assert [text.get_text() for text in drawn.axes[1].get_yticklabels()] == ["2s", "9s"]
    assert len(drawn.axes[1].patches) == 6


@pytest.mark.heavy
def test_the_page_has_the_sentence_the_chart_and_every_combination(tmp_path):
    text = render_map(tmp_path, figures(), 1).read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "Of 6 combinations 3 recover" in text
    assert 'id="map"' in text
    assert text.count('<th scope="row">outbox</th>') == 3
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"index.html", "map.svg", "map.png"}


def test_markdown_has_a_row_for_each_combination():
    text = map_markdown(figures())
    assert text.startswith("# SIMULATED MAP: metastable\n\nOf 6 combinations")
    assert "| immediate | 1x | stays down | 3 of 3 | 0 of 3 | 23 % |  |" in text
