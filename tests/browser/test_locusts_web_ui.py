"""Locust's own web UI on our locustfile, used as a person uses it: choose a scenario, start, watch, stop, start again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page

from tests.browser.conftest import Open
from tests.support.free_port import free_port
from tests.support.real_runs import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

LOCUSTFILE = Path(__file__).parents[2] / "harness" / "drive" / "locustfile.py"
STATISTICS = "fetch('/stats/requests').then(answer => answer.json())"
UPLOADS = (
    f"{STATISTICS}.then(all => (all.stats.find(one => one.name === 'upload') || {{num_requests: 0}}).num_requests)"
)


def children_of(pid: int) -> list[str]:
    """Command lines of a process's children."""
    listed = subprocess.run(["ps", "--ppid", str(pid), "-o", "args="], capture_output=True, text=True, check=False)
    return [line for line in listed.stdout.splitlines() if "mock_server" in line]


@pytest.fixture(scope="module")
def locust(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """Stock Locust on our locustfile: the address of its web UI, and the process."""
    place = tmp_path_factory.mktemp("locust")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LOCUST_", "HARNESS_"))}
    command = [sys.executable, "-P", "-m", "locust", "-f", str(LOCUSTFILE), "--web-port", str(port)]
    log = (place / "locust.log").open("wb")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place, env=environment)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(listens)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(20)
        log.close()


async def open_ui(open_page: Open, url: str) -> Page:
    page = await open_page(url, width=1200, height=900)
    await page.locator("input[name=userCount]").wait_for()
    return page


async def start(page: Page, **fields: str) -> None:
    for name, text in fields.items():
        await page.fill(f"input[name={name}]", text)
    await page.get_by_role("button", name="Start", exact=True).click()


async def keep_picture(page: Page, path: Path) -> None:
    """Write a screenshot for people (pytest's --basetemp says where). Not Playwright's own `path`: that leaves a thread."""
    path.write_bytes(await page.screenshot())  # noqa: ASYNC240 - some kilobytes


async def until(page: Page, expression: str, timeout_s: float = 30.0) -> Any:
    """Wait until a JavaScript expression, or the promise it is, gives something true; returns that.

    Playwright's own `wait_for_function` takes a promise for true.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = await page.evaluate(expression)
        if value:
            return value
        await page.wait_for_timeout(100)
    pytest.fail(f"{expression} did not become true; the page shows:\n{await page.inner_text('body')}")


async def test_a_host_elsewhere_is_refused_in_the_ui_and_nothing_starts(
    locust: tuple[str, Any], open_page: Open, tmp_path: Path
) -> None:
    page = await open_ui(open_page, locust[0])
    await start(page, host="http://198.51.100.7:80")
    await page.get_by_text("only servers on this machine").wait_for()
    await keep_picture(page, tmp_path / "refused.png")
    assert await page.evaluate(f"{STATISTICS}.then(all => all.state)") == "ready"
    assert children_of(locust[1].pid) == []


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"host": "http://example.org"}, "only servers"),
        ({"scenario": "nix"}, "is not one of"),
        ({"think": "2"}, "--think"),
    ],
)
async def test_a_form_that_can_not_be_is_answered_with_what_is_wrong(
    locust: tuple[str, Any], form: dict[str, str], problem: str
) -> None:
    data = {"user_count": "1", "spawn_rate": "1", **form}
    async with aiohttp.ClientSession() as http, http.post(f"{locust[0]}/swarm", data=data) as answer:
        content = json.loads(await answer.text())
    assert content["success"] is False
    assert problem in content["message"]


async def test_a_scenario_is_chosen_started_watched_stopped_and_started_again(
    locust: tuple[str, Any], open_page: Open, tmp_path: Path
) -> None:
    url, process = locust
    page = await open_ui(open_page, url)
    await page.get_by_role("button", name="Custom parameters").click()
    choices = await page.locator("select[name=scenario] option").evaluate_all("all => all.map(it => it.value)")
    assert {"kaliwates", "kaliwates-incident", "smoke"} <= set(choices)
    await page.locator("input[name=think]").wait_for()
    await keep_picture(page, tmp_path / "form.png")
    await page.select_option("select[name=scenario]", "smoke")
    await start(page, userCount="4", spawnRate="4", think="100ms")

    first = await until(page, f"{UPLOADS}.then(count => count > 20 && count)")
    await until(page, f"{UPLOADS}.then(count => count > {first} + 20)")
    assert await page.evaluate(f"{STATISTICS}.then(all => all.user_count)") == 4
    await until(page, r"/upload\s+\d\d+/.test(document.body.innerText)")  # the table that a person sees
    await keep_picture(page, tmp_path / "running.png")
    assert len(children_of(process.pid)) == 1

    await page.get_by_role("button", name="Stop", exact=True).click()
    await until(page, f"{STATISTICS}.then(all => all.state === 'stopped' && all.user_count === 0)")
    wait_for(lambda: children_of(process.pid) == [])  # its server has gone with all that it stored
    stopped = await page.evaluate(UPLOADS)
    assert stopped > first + 20
    await page.wait_for_timeout(1000)
    assert await page.evaluate(UPLOADS) == stopped

    await page.get_by_role("button", name="New", exact=True).click()
    await start(page, userCount="2", spawnRate="2")
    await until(page, f"{UPLOADS}.then(count => count > 10 && count < {stopped})")
    failures = await page.evaluate(f"{STATISTICS}.then(all => all.errors.map(one => one.error))")
    assert set(failures) <= {"unavailable"}, failures  # the scenario's own fault; nothing was refused or cut
    await until(page, r"/RUNNING[^]*upload\s+\d\d/.test(document.body.innerText)")
    await page.get_by_role("button", name="Stop", exact=True).click()
    await until(page, f"{STATISTICS}.then(all => all.state === 'stopped')")
