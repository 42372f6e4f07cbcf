"""The page as people see it: light, dark, narrow, printed, without styles, and under a strict policy."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.run_folder.layout import RunFolder
from reports import palette
from reports.charts import CHARTS
from reports.render import render_run
from tests.support import made_up_run
from tests.support.chromium import Site, evaluate, run, screenshot, site
from tests.support.made_up_audits import unsafe

pytestmark = pytest.mark.browser

JENKINS = {"Content-Security-Policy": "sandbox; default-src 'none'; img-src 'self'; style-src 'self';"}
DARK = "--blink-settings=preferredColorScheme=0"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("run") / "run")
    folder.create()
    folder.write_run(made_up_run.record())
    render_run(folder, made_up_run.summary(), made_up_run.series(), made_up_run.verdict("fail"), unsafe())
    return folder.page


@pytest.fixture(scope="module")
def html(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture
def served() -> Iterator[Site]:
    with site() as running:
        yield running


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def most_frequent(picture: Image.Image) -> tuple[int, ...]:
    colours, counts = np.unique(np.asarray(picture).reshape(-1, 3), axis=0, return_counts=True)
    return tuple(int(part) for part in colours[counts.argmax()])


def holds(picture: Image.Image, colour: str) -> bool:
    """Whether a good many pixels have just this colour."""
    return int((np.asarray(picture) == rgb(colour)).all(axis=2).sum()) > 50


def test_from_a_file_it_is_dark_ink_on_light_paper(page: Path, tmp_path: Path) -> None:
    picture = screenshot(page.as_uri(), tmp_path / "light.png", height=2000)
    assert most_frequent(picture) == rgb(palette.PAPER)
    assert holds(picture, palette.GOODPUT)


def test_in_dark_mode_paper_and_every_colour_of_a_chart_change(page: Path, tmp_path: Path) -> None:
    picture = screenshot(page.as_uri(), tmp_path / "dark.png", DARK, height=2000)
    assert most_frequent(picture) == rgb(palette.DARK[palette.PAPER])
    assert holds(picture, palette.DARK[palette.GOODPUT])
    assert not holds(picture, palette.GOODPUT)
    assert not holds(picture, palette.PAPER)


def test_under_jenkins_policy_the_charts_are_drawn_in_their_colours(html: str, served: Site, tmp_path: Path) -> None:
    picture = screenshot(served.serve("/report", html, JENKINS), tmp_path / "csp.png", height=9000)
    for colour in (palette.GOODPUT, palette.VERMILION, palette.SHADE, palette.HEAT[-1], palette.INK):
        assert holds(picture, colour), colour


def test_it_asks_for_nothing_else(html: str, served: Site, tmp_path: Path) -> None:
    screenshot(served.serve("/report", html), tmp_path / "any.png")
    assert set(served.asked) <= {"/report", "/favicon.ico"}


def test_it_writes_nothing_to_the_console(page: Path) -> None:
    assert "CONSOLE" not in run(page.as_uri(), "--enable-logging=stderr", "--dump-dom")


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_nothing_sticks_out_at_any_width(html: str, served: Site, width: int) -> None:
    size = evaluate(served, html, "d => [d.documentElement.scrollWidth, d.documentElement.clientWidth]", width=width)
    assert size[0] <= size[1]


def test_at_800_pixels_the_smallest_text_of_a_chart_is_at_least_ten_pixels_high(html: str, served: Site) -> None:
    script = """d => [...d.querySelectorAll('figure svg text')].map(t => {
        const svg = t.ownerSVGElement, scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
        return parseFloat(getComputedStyle(t).fontSize) * scale;
    })"""
    sizes = evaluate(served, html, script, width=800)
    assert len(sizes) > 100
    assert min(sizes) >= 9.5


def test_no_text_of_a_chart_is_cut_off_by_its_edge(html: str, served: Site) -> None:
    script = """d => [...d.querySelectorAll('figure svg text')].filter(t => {
        const text = t.getBoundingClientRect(), box = t.ownerSVGElement.getBoundingClientRect();
        return text.right > box.right + 1 || text.left < box.left - 1 || text.bottom > box.bottom + 1 || text.top < box.top - 1;
    }).map(t => t.textContent)"""
    assert evaluate(served, html, script) == []


def test_without_styles_it_reads_in_the_order_of_importance(html: str, served: Site) -> None:
    bare = html.replace(html[html.index("<style>") : html.index("</style>") + 8], "")
    script = """d => [...d.querySelectorAll('h1, h2, figure svg')].map(e => e.tagName == 'svg' ?
        e.getAttribute('aria-label') : e.innerText.trim())"""
    order = evaluate(served, bare, script)
    findings = [chart.finding(made_up_run.series(), made_up_run.summary()) for chart in CHARTS]
    assert order == [
        "✗ FAIL",
        "Thresholds",
        "Is anything lost?",
        "Pages that are not safe",
        "What happened",
        "Key figures",
        "Charts",
        *findings,
        *order[7 + len(findings) :],
    ]
    assert order[-1] == "How to run it again"


def test_without_styles_the_charts_keep_their_size(html: str, served: Site) -> None:
    bare = html.replace(html[html.index("<style>") : html.index("</style>") + 8], "")
    boxes = evaluate(
        served,
        bare,
        "d => [...d.querySelectorAll('figure svg')].map(e => [e.getBoundingClientRect().width, e.getBoundingClientRect().height])",
        width=900,
    )
    assert len(boxes) == len(CHARTS)
    for width, height in boxes:
        assert 700 < width <= 900
        assert 0.2 < height / width < 1.5


def test_every_part_can_be_reached_by_the_keyboard(html: str, served: Site) -> None:
    script = """d => {
        d.querySelectorAll('details').forEach(e => { e.open = true; });
        const stops = [...d.querySelectorAll('a[href], summary, [tabindex]')];
        return stops.filter(e => { e.focus(); return d.activeElement !== e; }).map(e => e.outerHTML.slice(0, 80));
    }"""
    assert evaluate(served, html, script) == []


@pytest.mark.parametrize("flags", [(), (DARK,)], ids=["light", "dark"])
def test_axe_finds_nothing_that_keeps_anyone_out(html: str, served: Site, flags: tuple[str, ...]) -> None:
    served.serve("/axe.js", (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
    script = """async (d, w) => {
        const axe = d.createElement('script');
        const loaded = new Promise(done => { axe.onload = done; });
        axe.src = '/axe.js';
        d.head.append(axe);
        await loaded;
        const found = await w.axe.run(d);
        return [found.passes.length, found.violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 120))])];
    }"""
    passes, violations = evaluate(served, html, script, *flags)
    assert violations == []
    assert passes > 25


def test_a_table_is_sorted_by_its_header_first_upwards_then_downwards(html: str, served: Site) -> None:
    script = """d => {
        const table = d.querySelector('section[aria-labelledby=kelurahan] table');
        const column = number => [...table.tBodies[0].rows].map(r => r.cells[number].textContent);
        const [name, stations] = [0, 2].map(n => table.tHead.rows[0].cells[n]);
        name.querySelector('button').click();
        const byName = column(0);
        stations.querySelector('button').click();
        stations.querySelector('button').click();
        return [byName, column(2), name.getAttribute('aria-sort'), stations.getAttribute('aria-sort')];
    }"""
    by_name, by_stations, name_sort, stations_sort = evaluate(served, html, script)
    assert by_name == sorted(by_name)
    assert [int(number) for number in by_stations] == [102, 61, 50, 50, 44, 33, 22]
    assert (name_sort, stations_sort) == (None, "descending")


def test_where_scripts_may_not_run_a_table_has_no_dead_buttons(html: str, served: Site, tmp_path: Path) -> None:
    served.serve("/report", html, JENKINS)
    assert "<button" not in run(f"{served.url}/report", "--dump-dom")


def test_it_prints_to_pdf(page: Path, tmp_path: Path) -> None:
    run(page.as_uri(), f"--print-to-pdf={tmp_path / 'page.pdf'}")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
