"""What a chart shows, read back from its figure for the page's script."""

from __future__ import annotations

import json
import re
from html import unescape

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from reports import palette, svg
from reports.chart_values import read_values
from reports.charts import CHARTS
from reports.charts.layout import NARROW, WIDE
from tests.support import made_up_run


def values_of(chart, data=None):
    data, summary = data or made_up_run.series(), made_up_run.summary()
    with rc_context(WIDE.style):
        wide = chart.draw(data, summary)
    with rc_context(NARROW.style):
        narrow = chart.draw(data, summary)
    text = read_values(wide, narrow)
    return json.loads(text) if text else None


def named(name):
    return next(chart for chart in CHARTS if chart.name == name)


def series(values):
    return {one["name"]: one for panel in values["panels"] for one in panel["series"]}


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_every_chart_of_a_run_can_be_read(chart):
    found = values_of(chart)
    if not chart.applies(made_up_run.summary()):
        return
    assert found is not None
    for panel in found["panels"]:
        assert panel["series"] or panel["bars"] or panel["cells"]
        for place in (panel["place"], panel["narrow"]):
            left, top, width, height = place
            assert 0 <= left < left + width <= 1
            assert 0 <= top < top + height <= 1
        for one in panel["series"]:
            assert len(one["y"]) == len(found["grids"][one["grid"]])
            assert one["colour"] in palette.DARK
    assert {panel["x"]["kind"] for panel in found["panels"]} == {"time"} or not chart.over_time


def test_the_values_are_those_of_the_run():
    data = made_up_run.series()
    found = values_of(named("throughput"))
    goodput = series(found)["goodput"]
    assert found["grids"][goodput["grid"]][:3] == pytest.approx(data.rates.goodput.t_s[:3].tolist(), rel=1e-4)
    expected = [value if np.isfinite(value) else None for value in data.rates.goodput.value[:3].tolist()]
    assert goodput["y"][:3] == pytest.approx(expected, rel=1e-3)


def test_units_are_those_of_the_axis():
    units = {
        name: [panel["y"]["unit"] for panel in values_of(named(name))["panels"]]
        for name in ("completion", "responses", "generator")
    }
    assert set(units["completion"]) == {"ratio"}
    assert set(units["responses"]) == {"s"}
    assert {"s", "ratio", "B"} <= set(units["generator"])


@pytest.mark.heavy
def test_the_cells_of_the_heat_map_count_every_response():
    data = made_up_run.series()
    (cells,) = [panel["cells"] for panel in values_of(named("responses"))["panels"] if panel["cells"]]
    assert sum(map(sum, cells["counts"])) == int(data.responses.counts.sum())
    assert (len(cells["x"]), len(cells["y"])) == (len(cells["counts"][0]) + 1, len(cells["counts"]) + 1)


def test_stacked_parts_have_their_own_height():
    found = values_of(named("timespent"))
    parts = [one["y"] for one in found["panels"][1]["series"]]
    totals = [sum(values) for values in zip(*parts, strict=True) if None not in values]
    assert totals
    assert totals == pytest.approx([1.0] * len(totals), abs=0.01)


def test_limits_and_marks_are_no_series():
    for name in ("server", "generator"):
        assert "limit" not in series(values_of(named(name)))


def test_a_chart_without_data_has_no_values():
    assert read_values(Figure()) == ""


def test_in_the_page_a_name_stays_text():
    evil = """</svg><script>alert("x")</script>'"""
    text = json.dumps({"panels": [], "grids": [], "name": evil})
    inline = svg.inline_svg('<svg viewBox="0 0 1 1"></svg>', "x", "finding", "wide", text)
    assert "<script" not in inline
    found = re.search(r'data-values="([^"]*)"', inline)
    assert found is not None
    assert json.loads(unescape(found[1]))["name"] == evil
