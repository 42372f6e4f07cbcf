"""The documentation site as people see it: on a phone, in the dark, searched, and without the net."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.async_api import Page

from tests.browser.conftest import Open
from tests.support.documents import ROOT
from tests.support.page_server import served_folder

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

WIDE = [
    "index.html",
    "reference/scenario.html",
    "reference/server-keys.html",
    "tutorial/reading-the-charts.html",
    "how-to/ci.html",
]
"""Pages with what is widest: tables of keys, charts, long lines of code."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the site, built and served on the loopback."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder], cwd=ROOT, check=True, capture_output=True)  # fmt: skip

    with served_folder(folder) as address:
        yield address


async def go(page: Page, address: str) -> None:
    """Open a page and wait until its script has set it up."""
    response = await page.goto(address)
    assert response is not None
    assert response.ok, address
    await page.locator("article").first.wait_for()


async def test_no_page_is_wider_than_a_phone(url: str, open_page: Open) -> None:
    page = await open_page("about:blank", width=390, height=800, device_scale_factor=1, is_mobile=True)
    for name in WIDE:
        await go(page, f"{url}/{name}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, name


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
async def test_the_pages_follow_the_readers_colours(url: str, open_page: Open, scheme: str, is_dark: bool) -> None:
    page = await open_page("about:blank", color_scheme=scheme)
    await go(page, f"{url}/index.html")
    shown = await page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g)")
    assert (sum(map(float, shown[:3])) < 3 * 100) is is_dark


async def test_the_search_finds_a_key_and_nothing_comes_from_elsewhere(url: str, open_page: Open) -> None:
    page = await open_page("about:blank")
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    await go(page, f"{url}/index.html")
    await page.locator("[data-md-toggle=search]").evaluate("toggle => toggle.click()")
    await page.locator("input.md-search__input").press_sequentially("failure_ratio")
    results = page.locator("a.md-search-result__link")
    await results.first.wait_for()
    found = await results.evaluate_all("links => links.map(link => link.href)")
    assert any("reference/strategies.html" in link for link in found)
    assert requested
    assert [one for one in requested if not one.startswith((url, "data:", "blob:"))] == []
