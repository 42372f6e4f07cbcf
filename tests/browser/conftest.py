"""Headless Chromium (the system's own, driven by Playwright): one browser for all tests, a fresh profile for each page."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

Open = Callable[..., Awaitable[Page]]
FLAGS = ["--disable-quic", "--disable-gpu"]
TIMEOUT_MS = 30_000.0
"""For whatever Playwright waits for; it takes a second at most on an idle machine."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if program is None:
        pytest.fail("these tests need headless Chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        # Playwright would otherwise start a browser that it has downloaded itself
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser) -> AsyncIterator[Open]:
    """A function that opens an address in a new profile; takes the viewport and further options of a Playwright context."""
    contexts = []

    async def opened(url: str, width: int = 1000, height: int = 1400, **options: Any) -> Page:
        context = await browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        page = await context.new_page()
        await page.goto(url)
        return page

    yield opened
    for context in contexts:
        await context.close()
