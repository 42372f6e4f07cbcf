"""The page as people see it: light, dark, narrow, printed, without styles, and under a strict policy."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.async_playwright import Axe
from PIL import Image
from playwright.async_api import Page

from harness.analysis.chart_types import StationProgress
from harness.run_folder.layout import RunFolder
from reports import palette
from reports.charts import CHARTS
from reports.render import render_run
from tests.browser.conftest import Open
from tests.support import made_up_run
from tests.support.made_up_audits import unsafe
from tests.support.page_server import Site, served_pages

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

JENKINS = {"Content-Security-Policy": "sandbox; default-src 'none'; img-src 'self'; style-src 'self';"}


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
    with served_pages() as site:
        yield site


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


async def picture_of(page: Page, *, full_page: bool = False) -> Image.Image:
    return Image.open(io.BytesIO(await page.screenshot(full_page=full_page))).convert("RGB")


async def evaluate(page: Page, script: str) -> Any:
    """The JSON value of a JavaScript function of (document, window)."""
    return await page.evaluate(f"() => ({script})(document, window)")


def most_frequent(picture: Image.Image) -> tuple[int, ...]:
    colours, counts = np.unique(np.asarray(picture).reshape(-1, 3), axis=0, return_counts=True)
    return tuple(int(part) for part in colours[counts.argmax()])


def holds(picture: Image.Image, colour: str) -> bool:
    """Whether a good many pixels have just this colour."""
    return int((np.asarray(picture) == rgb(colour)).all(axis=2).sum()) > 50


async def test_from_a_file_it_is_dark_ink_on_light_paper(page: Path, open_page: Open) -> None:
    picture = await picture_of(await open_page(page.as_uri(), height=2000))
    assert most_frequent(picture) == rgb(palette.PAPER)
    assert holds(picture, palette.GOODPUT)


async def test_in_dark_mode_paper_and_every_colour_of_a_chart_change(page: Path, open_page: Open) -> None:
    picture = await picture_of(await open_page(page.as_uri(), height=2000, color_scheme="dark"))
    assert most_frequent(picture) == rgb(palette.DARK[palette.PAPER])
    assert holds(picture, palette.DARK[palette.GOODPUT])
    assert not holds(picture, palette.GOODPUT)
    assert not holds(picture, palette.PAPER)


async def test_under_jenkins_policy_the_charts_are_drawn_in_their_colours(
    html: str, served: Site, open_page: Open
) -> None:
    picture = await picture_of(await open_page(served.serve("/report", html, JENKINS)), full_page=True)
    for colour in (palette.GOODPUT, palette.VERMILION, palette.SHADE, palette.HEAT[-1], palette.INK):
        assert holds(picture, colour), colour


async def test_it_requests_nothing_else(html: str, served: Site, open_page: Open) -> None:
    page = await open_page("about:blank")
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    await page.goto(served.serve("/report", html), wait_until="networkidle")
    assert requested == [f"{served.url}/report"]
    assert set(served.requested) <= {"/report", "/favicon.ico"}


async def test_it_writes_nothing_to_the_console(page: Path, open_page: Open) -> None:
    opened = await open_page("about:blank")
    written: list[str] = []
    opened.on("console", lambda message: written.append(message.text))
    opened.on("pageerror", lambda error: written.append(str(error)))
    await opened.goto(page.as_uri())
    await opened.evaluate("console.log('this is noticed')")
    assert written == ["this is noticed"]


@pytest.mark.parametrize("width", [360, 800, 1400])
async def test_nothing_sticks_out_at_any_width(html: str, served: Site, open_page: Open, width: int) -> None:
    page = await open_page(served.serve("/report", html), width=width)
    size = await evaluate(page, "d => [d.documentElement.scrollWidth, d.documentElement.clientWidth]")
    assert size[0] <= size[1]


SHOWN_TEXTS = "[...d.querySelectorAll('figure svg text')].filter(t => t.getBoundingClientRect().width > 0)"
SIZES = f"""d => {SHOWN_TEXTS}.map(t => {{
    const svg = t.ownerSVGElement, scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return parseFloat(getComputedStyle(t).fontSize) * scale;
}})"""


@pytest.mark.parametrize(("width", "least_px"), [(390, 9.5), (360, 9), (768, 9), (769, 9), (800, 9.5), (1400, 9.5)])
async def test_the_smallest_text_of_a_chart_is_legible_at_any_width(
    html: str, served: Site, open_page: Open, width: int, least_px: float
) -> None:
    sizes = await evaluate(await open_page(served.serve("/report", html), width=width), SIZES)
    assert len(sizes) > 100
    assert min(sizes) >= least_px


@pytest.mark.parametrize("width", [390, 1000])
async def test_no_text_of_a_chart_is_cut_off_by_its_edge(html: str, served: Site, open_page: Open, width: int) -> None:
    script = f"""d => {SHOWN_TEXTS}.filter(t => {{
        const text = t.getBoundingClientRect(), box = t.ownerSVGElement.getBoundingClientRect();
        return text.right > box.right + 1 || text.left < box.left - 1 || text.bottom > box.bottom + 1 || text.top < box.top - 1;
    }}).map(t => t.textContent)"""
    assert await evaluate(await open_page(served.serve("/report", html), width=width), script) == []


@pytest.mark.parametrize(("width", "shown"), [(390, "narrow-chart"), (1000, "wide-chart")])
async def test_of_a_charts_two_drawings_the_one_that_fits_is_shown(
    html: str, served: Site, open_page: Open, width: int, shown: str
) -> None:
    script = """d => [...d.querySelectorAll('figure svg')].filter(e => e.getBoundingClientRect().width > 0)
        .map(e => e.getAttribute('class'))"""
    page = await open_page(served.serve("/report", html), width=width)
    assert await evaluate(page, script) == [shown] * len(CHARTS)


async def test_on_a_phone_no_cell_of_a_table_is_cut_and_each_says_what_it_is(
    html: str, served: Site, open_page: Open
) -> None:
    page = await open_page(served.serve("/report", html), width=390)
    script = """d => [...d.querySelectorAll('table th, table td')].filter(c => {
        const box = c.getBoundingClientRect();
        return box.width > 0 && (box.left < 0 || box.right > 390);
    }).map(c => c.textContent)"""
    assert await evaluate(page, script) == []
    script = """(d, w) => [...d.querySelectorAll('section[aria-labelledby=kelurahan] tbody tr:first-child td')]
        .map(c => w.getComputedStyle(c, '::before').content + c.textContent)"""
    assert await evaluate(page, script) == [
        '"Code "3509191007', '"Stations "102', '"Complete by the deadline "88', '"Share "86\u00a0%'
    ]  # fmt: skip


async def test_readers_choose_the_stations_of_one_kelurahan(html: str, served: Site, open_page: Open) -> None:
    page = await open_page(served.serve("/report", html))
    script = """d => [...d.querySelectorAll('section[aria-labelledby=stations] tbody tr')]
        .filter(r => r.getBoundingClientRect().height > 0).map(r => r.cells[0].textContent)"""
    assert await evaluate(page, script) == ["3509191007044", "3509191003002"]
    await page.get_by_label("Kelurahan:").select_option("Kebonagung")
    assert await evaluate(page, script) == ["3509191003002"]
    await page.get_by_label("Kelurahan:").select_option("all")
    assert len(await evaluate(page, script)) == 2


async def test_without_styles_it_reads_in_the_order_of_importance(html: str, served: Site, open_page: Open) -> None:
    bare = html.replace(html[html.index("<style>") : html.index("</style>") + 8], "")
    script = """d => [...d.querySelectorAll('h1, h2, figure svg:not([display=none])')].map(e => e.tagName == 'svg' ?
        e.getAttribute('aria-label') : e.innerText.trim())"""
    order = await evaluate(await open_page(served.serve("/report", bare)), script)
    findings = [chart.finding(made_up_run.series(), made_up_run.summary()) for chart in CHARTS]
    assert order == [
        "✗ FAIL",
        "Thresholds",
        "What to try first",
        "Is anything lost?",
        "Unsafe pages",
        "What happened",
        "Key figures",
        "Charts",
        *findings,
        *order[8 + len(findings) :],
    ]
    assert order[-1] == "How to run it again"


async def test_without_styles_the_charts_keep_their_size(html: str, served: Site, open_page: Open) -> None:
    bare = html.replace(html[html.index("<style>") : html.index("</style>") + 8], "")
    script = """d => [...d.querySelectorAll('figure svg')].map(e => e.getBoundingClientRect())
        .filter(box => box.width > 0).map(box => [box.width, box.height])"""
    boxes = await evaluate(await open_page(served.serve("/report", bare), width=900), script)
    assert len(boxes) == len(CHARTS)
    for width, height in boxes:
        assert 700 < width <= 900
        assert 0.2 < height / width < 1.5


async def test_every_part_can_be_reached_by_the_keyboard(html: str, served: Site, open_page: Open) -> None:
    script = """d => {
        d.querySelectorAll('details').forEach(e => { e.open = true; });
        const stops = [...d.querySelectorAll('a[href], summary, [tabindex]')];
        return stops.filter(e => { e.focus(); return d.activeElement !== e; }).map(e => e.outerHTML.slice(0, 80));
    }"""
    assert await evaluate(await open_page(served.serve("/report", html)), script) == []


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_axe_finds_no_barrier(html: str, served: Site, open_page: Open, color_scheme: str) -> None:
    page = await open_page(served.serve("/report", html), color_scheme=color_scheme)
    found = (await Axe().run(page)).response
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found["violations"]] == []
    assert len(found["passes"]) > 25


async def test_a_table_is_sorted_by_its_header_first_upwards_then_downwards(
    html: str, served: Site, open_page: Open
) -> None:
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
    by_name, by_stations, name_sort, stations_sort = await evaluate(
        await open_page(served.serve("/report", html)), script
    )
    assert by_name == sorted(by_name)
    assert [int(number) for number in by_stations] == [102, 61, 50, 50, 44, 33, 22]
    assert (name_sort, stations_sort) == (None, "descending")


async def test_where_scripts_may_not_run_a_table_has_no_dead_buttons(html: str, served: Site, open_page: Open) -> None:
    page = await open_page(served.serve("/report", html, JENKINS))
    assert "<table" in await page.content()
    assert "<button" not in await page.content()


async def test_it_prints_on_a_few_pages(page: Path, open_page: Open) -> None:
    printed = await (await open_page(page.as_uri())).pdf(format="A4", prefer_css_page_size=True)
    assert 3 <= printed_pages(printed) <= 8


async def test_a_run_that_failed_hundreds_of_stations_prints_on_a_few_pages(tmp_path: Path, open_page: Open) -> None:
    worst = [
        StationProgress(f"3509191007{n:03d}", "TEGALBESAR", 1.0, None, 3, 0, 9, 71.0, "deadline") for n in range(350)
    ]
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_run(made_up_run.record())
    render_run(folder, made_up_run.summary(), made_up_run.series(worst=worst), made_up_run.verdict("fail"), unsafe())
    opened = await open_page(folder.page.as_uri())
    assert printed_pages(await opened.pdf(format="A4", prefer_css_page_size=True)) <= 8
    script = "d => [...d.querySelectorAll('.printed')].map(e => e.innerText)"
    await opened.emulate_media(media="print")
    assert (await evaluate(opened, script))[-1] == "Printed: the first 20 of 350 rows."
    rows = "d => [...d.querySelectorAll('section[aria-labelledby=stations] tbody tr')].filter(r => r.getBoundingClientRect().height > 0).length"
    assert await evaluate(opened, rows) == 20


def printed_pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))
