"""The documentation site as people see it: on a phone, in the dark, searched, and without the net."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.devtools import Page, page
from tests.support.documents import ROOT

pytestmark = pytest.mark.browser

WIDE = ["index.html", "scenario.html", "reference/server-keys.html", "tutorial/reading-the-charts.html", "ci.html"]
"""Pages with what is widest: tables of keys, charts, long lines of code."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the site, built and served on the loopback."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder], cwd=ROOT, check=True, capture_output=True)  # fmt: skip

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Page]:
    async with page(tmp_path / "profile") as opened:
        yield opened


async def go(browser: Page, address: str) -> None:
    """Open a page and wait until its script has set it up."""
    await browser.open(address)
    await browser.until(f"location.href.startsWith({address!r}) && document.readyState === 'complete' && !!document.querySelector('article')")  # fmt: skip


async def test_no_page_is_wider_than_a_phone(url: str, browser: Page) -> None:
    await browser.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    for name in WIDE:
        await go(browser, f"{url}/{name}")
        assert await browser.evaluate("document.documentElement.scrollWidth") <= 390, name


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
async def test_the_pages_follow_the_readers_colours(url: str, browser: Page, scheme: str, is_dark: bool) -> None:
    await browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    await go(browser, f"{url}/index.html")
    shown = await browser.until("getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g)")
    assert (sum(map(float, shown[:3])) < 3 * 100) is is_dark


async def test_the_search_finds_a_key_and_nothing_comes_from_elsewhere(url: str, browser: Page) -> None:
    await go(browser, f"{url}/index.html")
    await browser.evaluate("document.querySelector('[data-md-toggle=search]').click()")
    await browser.fill("input.md-search__input", "failure_ratio")
    await browser.evaluate("document.querySelector('input.md-search__input').dispatchEvent(new Event('keyup', {bubbles: true}))")  # fmt: skip
    found = await browser.until("(links => links.length ? links : null)([...document.querySelectorAll('a.md-search-result__link')].map(link => link.href))")  # fmt: skip
    assert any("reference/strategies.html" in link for link in found)
    fetched = await browser.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert fetched
    assert [one for one in fetched if not one.startswith((url, "data:", "blob:"))] == []
