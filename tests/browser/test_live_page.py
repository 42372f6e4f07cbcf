"""The live page in Chromium while a real run goes on: what it shows, its button, that it becomes the report, and who is kept out."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from harness.base.errors import ExitCode
from harness.live.access import WebAddress
from harness.live.feed import LiveFeed
from harness.live.page_server import PageServer
from tests.browser.conftest import Open
from tests.support.page_server import served_pages
from tests.support.real_runs import HARNESS, PATIENCE_S, environment

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SCENARIO = """
name = "watched"
title = "Forty stations, and a server that refuses for a while"
seed = 5
deadline = "{deadline}"
[stations]
count = 40
[photos]
size = "30KB"
bank = 2
[arrivals]
kind = "constant"
over = "{over}"
[client]
timeout = "4s"
retry = {{ strategy = "full_jitter", base = "100ms", cap = "1s" }}
[server]
workers = 4
service_time = {{ distribution = "lognormal", median = "20ms", sigma = 0.3 }}
[[faults]]
name = "refusals"
kind = "abort"
start = "2s"
duration = "2s"
status = 503
[[thresholds]]
assert = "stations.completed_by_deadline_ratio >= 100%"
[[thresholds]]
assert = "p50(delivery_seconds) < 10s"
[[thresholds]]
assert = 'count(attempts{{outcome="unavailable"}}) <= 2'
"""
EXPERIMENT = """
name = "two"
title = "Which is better?"
base = "watched.toml"
seeds = [1]
[[variants]]
name = "as it was"
[[variants]]
name = "more workers"
set = { "server.workers" = 8 }
"""


@dataclass
class Command:
    """A command with a live page."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def url(self) -> str:
        """The address that it prints."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = await self.read_line()
                found = re.search(r"Live page: (\S+)", line)
                if found:
                    return found[1]
                assert line, "".join(self.lines)

    async def read_line(self) -> str:
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode()
        self.lines.append(line)
        return line

    async def end(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.read_line():
                pass
            return await self.process.wait()


Start = Callable[..., Any]


@pytest_asyncio.fixture(loop_scope="session")
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """A function that starts `harness …` in a folder with the scenario; what still runs at the end is killed."""
    started: list[asyncio.subprocess.Process] = []

    async def run(*arguments: str, over: str = "8s", deadline: str = "20s") -> Command:
        (tmp_path / "watched.toml").write_text(SCENARIO.format(over=over, deadline=deadline), "utf-8")
        (tmp_path / "two.toml").write_text(EXPERIMENT, "utf-8")
        process = await asyncio.create_subprocess_exec(
            *HARNESS, *arguments, cwd=tmp_path, env=environment(HARNESS_EXPERIMENT_REPORT="true"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        started.append(process)
        return Command(process)

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


def messages_of(page: Page) -> list[str]:
    """What the page's console and errors have; grows."""
    written: list[str] = []
    page.on("console", lambda message: written.append(message.text))
    page.on("pageerror", lambda error: written.append(str(error)))
    return written


async def until(page: Page, expression: str) -> None:
    """Wait until a JavaScript expression is true."""
    await page.wait_for_function(f"() => {expression}", timeout=PATIENCE_S * 1000)


async def axe_violations(page: Page) -> list[Any]:
    found = (await Axe().run(page)).response
    return [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found["violations"]]


STICKS_OUT = """() => [...document.querySelectorAll('body *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && !e.closest('svg') && (box.left < -1 || box.right > innerWidth + 1);
}).map(e => e.outerHTML.slice(0, 80))"""
CUT_TEXTS = """() => [...document.querySelectorAll('figure svg text')].filter(t => {
    const text = t.getBoundingClientRect(), box = t.ownerSVGElement.getBoundingClientRect();
    return text.width > 0 && (text.right > box.right + 1 || text.left < box.left - 1 || text.bottom > box.bottom + 2 || text.top < box.top - 1);
}).map(t => t.textContent)"""


async def test_a_run_is_watched_from_its_faults_to_its_report(start: Start, open_page: Open) -> None:
    command = await start("run", "watched.toml", "--out", "run", "--report", "--web", over="16s", deadline="40s")
    url = await command.url()
    page, phone = await open_page("about:blank"), await open_page("about:blank", width=390, color_scheme="dark")
    written = messages_of(page)
    await page.goto(url)
    await phone.goto(url)
    await until(page, "document.querySelectorAll('#thresholds tbody tr').length === 3")
    assert await page.inner_text("#what") == "Forty stations, and a server that refuses for a while"
    await until(page, "/Fault refusals \\(abort\\) begins/.test(document.querySelector('#log').textContent)")
    await until(page, "/can.t pass any more/.test(document.querySelector('#thresholds').textContent)")
    await until(page, "document.querySelector('#verdict').textContent === '✗ Will fail'")
    assert "1 of 3 thresholds can\N{RIGHT SINGLE QUOTATION MARK}t pass any more" in await page.inner_text("#meaning")
    await until(page, "/over/.test(document.querySelector('#faults tbody').textContent)")
    await until(page, "/unavailable/.test(document.querySelector('#figures').textContent)")
    for name in ("way", "rates", "responses", "server", "generator"):
        assert await page.locator(f"#{name} svg path").count() >= 1, name
        assert len(await page.locator(f"#{name} svg").get_attribute("aria-label") or "") > 5
    assert await page.locator("#responses svg rect").count() > 5
    groups = await page.locator("#groups tbody tr").evaluate_all(
        "all => all.map(row => Number(row.cells[3].textContent))"
    )
    assert sum(groups) == 40

    await page.locator("#rates").focus()
    await page.keyboard.press("Home")
    assert (await page.inner_text("#rates + .readout")).startswith("0 s \N{EN DASH} 1 s: offered")
    await page.hover("#server", position={"x": 300, "y": 100})
    assert re.match(r"\d+ s \S \d+ s: \d+ in the queue, \d+ workers busy", await page.inner_text("#server + .readout"))

    assert await axe_violations(page) == []
    assert await axe_violations(phone) == []
    assert await phone.evaluate(STICKS_OUT) == []
    assert await phone.evaluate(CUT_TEXTS) == []
    assert await page.evaluate(CUT_TEXTS) == []
    assert written == []
    for one in (page, phone):
        await one.wait_for_url("**/report/index.html", timeout=PATIENCE_S * 1000)
        assert "FAIL" in await one.inner_text("h1") or "INVALID" in await one.inner_text("h1")
    assert await command.end() in {ExitCode.FAILED, ExitCode.INVALID}


async def test_the_button_stops_the_run_after_a_question(start: Start, open_page: Open) -> None:
    command = await start("run", "watched.toml", "--out", "run", "--report", "--web", over="60s", deadline="90s")
    page = await open_page(await command.url())
    await until(page, "/\\d s of 90 s/.test(document.querySelector('#when').textContent)")
    await page.get_by_role("button", name="Stop …").click()
    assert "exit code is 130" in await page.inner_text("dialog")
    assert await axe_violations(page) == []
    await page.get_by_role("button", name="Go on").click()
    assert not await page.locator("dialog").is_visible()
    await page.get_by_role("button", name="Stop …").click()
    await page.keyboard.press("Escape")
    assert command.process.returncode is None
    await page.get_by_role("button", name="Stop …").click()
    await page.get_by_role("button", name="Stop", exact=True).click()
    await page.wait_for_url("**/report/index.html", timeout=PATIENCE_S * 1000)
    assert "interrupted" in await page.inner_text("header")
    assert await command.end() == ExitCode.INTERRUPTED
    assert "Stopped by the button" not in "".join(command.lines)  # the terminal has its own line
    assert "SIGINT: stopping" in "".join(command.lines)


async def test_an_experiment_shows_its_cells_and_the_run_that_goes_on(start: Start, open_page: Open) -> None:
    command = await start("experiment", "two.toml", "--out", "two", "--web", over="3s", deadline="15s")
    page = await open_page(await command.url())
    await until(page, "/cell 1 of 2: as it was/.test(document.querySelector('#known').textContent)")
    await until(page, "/Now: as it was, seed 1/.test(document.querySelector('#current-title').textContent)")
    await until(page, "/Now: more workers, seed 1/.test(document.querySelector('#current-title').textContent)")
    assert await page.inner_text("#count") == "1 of 2 runs finished."
    row = page.locator("#runs tbody tr")
    assert "as it was, seed 1" in await row.inner_text()
    assert re.search("FAIL|PASS|INVALID", await row.inner_text())
    assert await axe_violations(page) == []
    link = await row.get_by_role("link").get_attribute("href")
    report = await page.context.new_page()
    await report.goto(page.url + str(link))
    assert await report.locator("#thresholds").count() == 1
    await page.wait_for_url("**/report/index.html", timeout=PATIENCE_S * 1000)
    assert "Which is better?" in await page.inner_text("h1")
    await command.end()


async def test_a_capacity_search_shows_what_is_known(start: Start, open_page: Open) -> None:
    arguments = (
        "--vary",
        "server.workers=1..8",
        "--probability",
        "50%",
        "--confidence",
        "80%",
        "--goal",
        "p50(delivery_seconds) < 1s",
        "--simulate-only",
    )
    command = await start("capacity", "watched.toml", *arguments, "--out", "found", "--web", over="30s", deadline="60s")
    page = await open_page(await command.url())
    await until(page, "/so far|Simulat|SIMULAT/.test(document.body.textContent)")
    await page.wait_for_url("**/report/index.html", timeout=PATIENCE_S * 1000)
    assert "workers" in await page.inner_text("header")
    await command.end()


async def test_a_web_page_elsewhere_can_neither_read_it_nor_press_its_button(open_page: Open, tmp_path: Path) -> None:
    pressed: list[int] = []
    feed = LiveFeed("run", "smoke", tmp_path)
    attack = """async (url) => {
        const read = await fetch(url).then(answer => answer.text()).catch(error => 'refused');
        const events = await new Promise(done => {
            const source = new EventSource(url + 'events');
            source.onmessage = event => done(event.data);
            source.onerror = () => { source.close(); done('refused'); };
        });
        await fetch(url + 'stop', {method: 'POST', mode: 'no-cors'}).catch(error => 'refused');
        const form = document.createElement('form');
        form.method = 'POST';
        form.action = url + 'stop';
        document.body.append(form);
        const frame = document.createElement('iframe');
        frame.name = form.target = 'inside';
        document.body.append(frame);
        form.submit();
        await new Promise(done => { frame.onload = done; setTimeout(done, 2000); });
        return [read, events];
    }"""
    with PageServer(feed, WebAddress("127.0.0.1", 0), lambda: pressed.append(1)) as server, served_pages() as site:
        page = await open_page(site.serve("/evil", "<!DOCTYPE html><title>evil</title>"))
        assert await page.evaluate(attack, server.url) == ["refused", "refused"]
        assert pressed == []
        own = await open_page(server.url)
        await own.get_by_role("button", name="Stop …").click()
        await own.get_by_role("button", name="Stop", exact=True).click()
        await until(own, "document.querySelector('#stop').textContent === 'Stopping'")
        assert pressed == [1]
        feed.finish(None, "stopped")
        with contextlib.suppress(AssertionError):
            await until(own, "document.querySelector('#link').textContent === 'ended'")
