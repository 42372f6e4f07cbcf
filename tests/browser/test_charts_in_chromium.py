"""The report's charts under the hand, in Chromium: pointing, hiding, zooming, the values as a table and as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page

from harness.run_folder.layout import RunFolder
from reports import palette
from reports.render import render_run
from tests.browser.conftest import Open
from tests.support import made_up_run

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = RunFolder(tmp_path_factory.mktemp("run") / "run")
    folder.create()
    folder.write_run(made_up_run.record())
    render_run(folder, made_up_run.summary(), made_up_run.series(), made_up_run.verdict("fail"))
    return folder.page.as_uri()


def section(page: Page, chart: str) -> Locator:
    return page.locator(f"section[aria-labelledby={chart}]")


async def point(page: Page, chart: str, across: float, down: float) -> str:
    """Point at a place of a chart, in parts of its size; what is read there."""
    figure = section(page, chart).locator("figure")
    await figure.scroll_into_view_if_needed()
    box = await figure.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
    return await section(page, chart).locator(".readout").inner_text()


async def visible(page: Page, chart: str, colour: str) -> int:
    """How many shapes and texts of a colour the shown drawing has."""
    script = """([chart, colour]) => [...document.querySelectorAll(`section[aria-labelledby=${chart}] figure > svg`)]
        .filter(svg => svg.getBoundingClientRect().width > 0)
        .flatMap(svg => [...svg.querySelectorAll(`[stroke="${colour}"], [fill="${colour}"]`)])
        .filter(one => getComputedStyle(one).visibility === 'visible').length"""
    found: int = await page.evaluate(script, [chart, colour])
    return found


@pytest.mark.parametrize("width", [1000, 390])
async def test_pointing_at_a_chart_reads_its_values(report: str, open_page: Open, width: int) -> None:
    page = await open_page(report, width=width)
    text = await point(page, "throughput", 0.4, 0.45)
    assert all(name in text for name in (" s: ", "offered", "goodput", "backlog"))
    assert await page.locator("section[aria-labelledby=throughput] .mark").count() >= 2
    texts = [await point(page, "responses", 0.3, down / 100) for down in range(60, 92, 4)]
    assert any("responses of" in one for one in texts), texts
    await page.mouse.move(1, 1)
    assert await section(page, "throughput").locator(".readout").inner_text() == ""


async def test_the_keyboard_reads_the_values_too(report: str, open_page: Open) -> None:
    page = await open_page(report)
    await section(page, "throughput").locator("figure").focus()
    await page.keyboard.press("Home")
    first = await section(page, "throughput").locator(".readout").inner_text()
    data = made_up_run.series()
    assert first.startswith("0")
    assert f"goodput {data.rates.goodput.value[0]:.3g}"[:10] in first
    await page.keyboard.press("ArrowRight")
    assert await section(page, "throughput").locator(".readout").inner_text() != first


async def test_a_click_on_a_name_hides_its_series_and_another_shows_it(report: str, open_page: Open) -> None:
    page = await open_page(report)
    before = await visible(page, "throughput", palette.GOODPUT)
    assert before >= 2  # the line and its label
    key = section(page, "throughput").get_by_role("button", name="goodput")
    await key.click()
    assert await key.get_attribute("aria-pressed") == "false"
    assert await visible(page, "throughput", palette.GOODPUT) == 0
    assert await visible(page, "throughput", palette.OFFERED) > 0
    assert "goodput" not in await point(page, "throughput", 0.4, 0.45)
    await key.click()
    assert await visible(page, "throughput", palette.GOODPUT) == before


TICKS = """chart => [...document.querySelectorAll(`section[aria-labelledby=${chart}] figure > svg`)]
    .filter(svg => svg.getBoundingClientRect().width > 0)
    .flatMap(svg => [...svg.querySelectorAll('.zoomed-tick, [data-id^=xtick_] text')])
    .filter(one => getComputedStyle(one).visibility === 'visible').map(one => parseFloat(one.textContent))"""


WIDTH = """() => Math.max(...[...document.querySelectorAll('section[aria-labelledby=throughput] [data-id=goodput] path')]
    .map(path => path.getBoundingClientRect().width))"""


@pytest.mark.parametrize("width", [1000, 390])
async def test_dragging_zooms_and_the_button_shows_all_again(report: str, open_page: Open, width: int) -> None:
    page = await open_page(report, width=width)
    whole, wide = await page.evaluate(TICKS, "throughput"), await page.evaluate(WIDTH)
    await point(page, "throughput", 0.3, 0.45)
    await page.mouse.down()
    await point(page, "throughput", 0.5, 0.45)
    assert await page.locator("section[aria-labelledby=throughput] .chosen").count() >= 1
    await page.mouse.up()
    zoomed = await page.evaluate(TICKS, "throughput")
    assert zoomed
    assert max(zoomed) - min(zoomed) < 0.5 * (max(whole) - min(whole))
    assert await page.evaluate(WIDTH) > 2 * wide  # the line is stretched, and cut at the panel's edges
    left = float((await point(page, "throughput", 0.2, 0.45)).split(" s")[0])
    right = float((await point(page, "throughput", 0.6, 0.45)).split(" s")[0])
    assert min(zoomed) - 6 < left < right < max(zoomed) + 6
    button = section(page, "throughput").get_by_role("button", name="Whole chart")
    await button.click()
    assert await page.evaluate(TICKS, "throughput") == whole
    assert await page.evaluate(WIDTH) == pytest.approx(wide)
    assert not await button.is_visible()


async def test_the_values_open_as_a_table_and_are_saved_as_csv(report: str, open_page: Open) -> None:
    page = await open_page(report)
    button = section(page, "throughput").get_by_role("button", name="Values")
    await button.click()
    rows = section(page, "throughput").locator(".values tbody tr")
    shown = await rows.count()
    assert shown > 100
    async with page.expect_download() as download:
        await section(page, "throughput").get_by_role("link", name="Save as CSV").click()
    saved = await download.value
    assert saved.suggested_filename == "throughput.csv"
    content = list(csv.DictReader(io.StringIO(Path(await saved.path()).read_text("utf-8"))))  # noqa: ASYNC240 - some kilobytes
    assert len(content) == shown
    assert set(content[0]) == {"panel", "series", "seconds", "value"}
    goodput = [float(row["value"]) for row in content if row["series"] == "goodput"]
    assert goodput == pytest.approx(made_up_run.series().rates.goodput.value.tolist(), rel=1e-3, abs=1e-3)
    await button.click()
    assert await rows.count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_barrier_in_the_tools(report: str, open_page: Open, scheme: str) -> None:
    page = await open_page(report, color_scheme=scheme)
    for button in await page.get_by_role("button", name="Values").all():
        await button.click()
    found: dict[str, Any] = (await Axe().run(page)).response
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found["violations"]] == []


async def test_none_of_it_is_printed(report: str, open_page: Open) -> None:
    page = await open_page(report)
    await page.emulate_media(media="print")
    for name in (".chart-tools", ".readout"):
        assert not await page.locator(name).first.is_visible()
