"""The page's structure: one file that needs nothing else, is read in order, and is not large; how it looks in a browser is in tests/browser/."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from harness.analysis.chart_types import ChartLine, RateLines, ResponseCharts, ServerHealth
from reports.charts import CHARTS
from reports.html import render_page
from reports.render import draw_charts
from tests.support import made_up_run
from tests.support.drawn_page import Outline, read

# All of them read pages with every chart drawn.
pytestmark = pytest.mark.heavy


def test_the_page_is_one_file_that_fetches_nothing() -> None:
    html = read(made_up_run.verdict())
    for tag, attributes in Outline(html).tags:
        assert tag not in {"link", "img", "iframe"}
        assert not str(attributes.get("src", "")).strip()
        assert "@import" not in html
        assert str(attributes.get("href", "#")).startswith("#")
    assert "url(http" not in html


def test_the_page_needs_no_inline_styles_nor_scripts_to_be_read() -> None:
    for tag, attributes in Outline(read(made_up_run.verdict())).tags:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag


def test_the_page_stays_well_below_two_megabytes() -> None:
    assert len(read(made_up_run.verdict())) < 600_000


def test_the_page_of_a_run_of_two_hours_stays_below_two_megabytes(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    t = np.arange(7200) + 0.5

    def noise(name: str) -> ChartLine:
        return made_up_run.line(name, random.poisson(90, 7200), t)

    outcomes = [noise(name) for name in ("accepted", "unavailable", "timeout_response", "reset", "refused", "closed")]
    usual = made_up_run.series()
    long = made_up_run.series(
        rates=RateLines(noise("offered"), noise("goodput"), noise("throughput"), outcomes),
        server=ServerHealth(*(noise(name) for name in ("queue", "busy", "open", "shed", "wasted"))),
        responses=ResponseCharts(
            usual.responses.percentiles,
            usual.responses.failed,
            24 * np.arange(301, dtype=np.float64),
            np.logspace(-3, 1, 33).astype(np.float64),
            random.poisson(2, (32, 300)),
        ),
        deadline_s=7200.0,
        end_s=7200.0,
    )
    made = draw_charts(tmp_path, long, made_up_run.summary())
    assert len(render_page(made_up_run.record(), made_up_run.summary(), long, made_up_run.verdict(), made)) < 1_700_000


def test_headings_descend_one_step_at_a_time_from_a_single_h1() -> None:
    levels = Outline(read(made_up_run.verdict())).headings
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_ids_are_unique_and_every_link_has_its_target() -> None:
    outline = Outline(read(made_up_run.verdict()))
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.targets
    assert set(outline.targets) <= set(outline.ids)


def test_every_chart_is_an_image_named_by_its_finding() -> None:
    tags = Outline(read(made_up_run.verdict())).tags
    images = [attributes for tag, attributes in tags if tag == "svg" and attributes.get("role") == "img"]
    findings = [chart.finding(made_up_run.series(), made_up_run.summary()) for chart in CHARTS]
    assert [image["aria-label"] for image in images] == [finding for finding in findings for _ in ("wide", "narrow")]
    # without CSS, and so under a strict policy, only the wide one is there
    assert [image.get("display") for image in images] == [None, "none"] * len(CHARTS)


def test_every_reference_inside_a_chart_finds_its_shape() -> None:
    html = read(made_up_run.verdict())
    ids = set(Outline(html).ids)
    used = set(re.findall(r'(?:url\(#|<use href="#)([^)"]+)', html))
    assert used
    assert used <= ids


def test_every_table_header_has_a_scope() -> None:
    headers = [attributes for tag, attributes in Outline(read(made_up_run.verdict())).tags if tag == "th"]
    assert len(headers) > 30
    assert {header.get("scope") for header in headers} == {"col", "row"}


def test_the_page_names_its_language_and_its_run() -> None:
    html = read(made_up_run.verdict())
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "<title>FAIL: kaliwates, 20240214T120000Z-kaliwates-1a2b</title>" in html
    assert "14 February 2024, 12:00:00 UTC" in html
