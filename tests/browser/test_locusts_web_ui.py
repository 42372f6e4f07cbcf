"""Locust's own web UI on our locustfile, used as a person uses it: choose a scenario, start, watch, stop, start again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.conftest import wait_for
from tests.support.devtools import Page, page
from tests.support.free_port import free_port

pytestmark = pytest.mark.browser

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


@pytest.fixture
async def shown(locust: tuple[str, Any], tmp_path: Path) -> AsyncIterator[Page]:
    """The web UI in a browser."""
    async with page(tmp_path / "profile") as opened:
        await opened.open(locust[0])
        await opened.until("document.querySelector('input[name=userCount]') !== null")
        yield opened


def save(into: Path, picture: bytes) -> None:
    """Keep what the page looked like, for people (pytest's --basetemp says where)."""
    into.write_bytes(picture)


async def start(shown: Page, **fields: str) -> None:
    for name, text in fields.items():
        await shown.fill(f"input[name={name}]", text)
    await shown.press("START")


async def test_a_host_elsewhere_is_refused_in_the_ui_and_nothing_starts(
    locust: tuple[str, Any], shown: Page, tmp_path: Path
) -> None:
    await start(shown, host="http://198.51.100.7:80")
    await shown.until("document.body.innerText.includes('only servers on this machine')")
    save(tmp_path / "refused.png", await shown.screenshot())
    assert await shown.evaluate(f"{STATISTICS}.then(all => all.state)") == "ready"
    assert children_of(locust[1].pid) == []


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"host": "http://example.org"}, "only servers"),
        ({"scenario": "nix"}, "is none of"),
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
    locust: tuple[str, Any], shown: Page, tmp_path: Path
) -> None:
    _, process = locust
    await shown.press("Custom parameters")
    choices = await shown.evaluate("[...document.querySelector('select[name=scenario]').options].map(it => it.value)")
    assert {"kaliwates", "kaliwates-incident", "smoke"} <= set(choices)
    await shown.until("document.querySelector('input[name=think]').getBoundingClientRect().height > 20")  # it unfolds
    save(tmp_path / "form.png", await shown.screenshot())
    await shown.choose("select[name=scenario]", "smoke")
    await start(shown, userCount="4", spawnRate="4", think="100ms")

    first = await shown.until(f"{UPLOADS}.then(count => count > 20 && count)")
    await shown.until(f"{UPLOADS}.then(count => count > {first} + 20)")
    assert await shown.evaluate(f"{STATISTICS}.then(all => all.user_count)") == 4
    await shown.until(r"/upload\s+\d\d+/.test(document.body.innerText)")  # the table that a person sees
    save(tmp_path / "running.png", await shown.screenshot())
    assert len(children_of(process.pid)) == 1

    await shown.press("STOP")
    await shown.until(f"{STATISTICS}.then(all => all.state === 'stopped' && all.user_count === 0)")
    wait_for(lambda: children_of(process.pid) == [])  # its server has gone with all that it stored
    stopped = await shown.evaluate(UPLOADS)
    assert stopped > first + 20
    await shown.evaluate("new Promise(done => setTimeout(done, 1000))")
    assert await shown.evaluate(UPLOADS) == stopped

    await shown.press("NEW")
    await shown.until("document.querySelector('input[name=userCount]') !== null")
    await start(shown, userCount="2", spawnRate="2")
    await shown.until(f"{UPLOADS}.then(count => count > 10 && count < {stopped})")
    failures = await shown.evaluate(f"{STATISTICS}.then(all => all.errors.map(one => one.error))")
    assert set(failures) <= {"unavailable"}, failures  # the scenario's own fault; nothing was refused or cut
    await shown.until(r"/RUNNING[^]*upload\s+\d\d/.test(document.body.innerText)")
    await shown.press("STOP")
    await shown.until(f"{STATISTICS}.then(all => all.state === 'stopped')")
