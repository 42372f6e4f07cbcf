"""A headless Chromium that is used as a person would: over its DevTools protocol (a WebSocket on a port of its own)."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.chromium import FLAGS

_LISTENING = re.compile(r"DevTools listening on (ws://\S+)")


class Page:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._socket = socket
        self._session = session
        self._numbers = itertools.count(1)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers to a method of the protocol."""
        number = next(self._numbers)
        said = {"id": number, "sessionId": self._session, "method": method, "params": params}
        await self._socket.send_json(said)
        while True:  # events come in between
            heard = await self._socket.receive_json(timeout=30)
            if heard.get("id") == number and heard.get("sessionId") == self._session:
                assert "error" not in heard, heard
                return dict(heard["result"])

    async def open(self, url: str) -> None:
        """Go to an address."""
        await self.call("Page.enable")
        await self.call("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """The JSON value of a JavaScript expression (a promise is awaited)."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, script: str, timeout_s: float = 20.0) -> Any:
        """Wait until the expression gives something true, and give it back; fails with what the page shows."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            value = await self.evaluate(script)
            if value:
                return value
            await asyncio.sleep(0.1)
        shown = await self.evaluate("document.body.innerText")
        pytest.fail(f"{script} did not come true; the page shows:\n{shown}")

    async def fill(self, selector: str, text: str) -> None:
        """Type into a field, over what stands in it."""
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        await self.call("Input.insertText", text=text)

    async def choose(self, selector: str, value: str) -> None:
        """Choose an entry of a list, as a hand does: the page hears of it."""
        await self.evaluate(f"""(() => {{
            const list = document.querySelector({json.dumps(selector)});
            Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, "value").set.call(list, {json.dumps(value)});
            list.dispatchEvent(new Event("change", {{bubbles: true}}));
        }})()""")

    async def press(self, text: str) -> None:
        """Press the button (or link) that bears this text."""
        find = f"[...document.querySelectorAll('button, a')].find(it => it.innerText.trim() === {json.dumps(text)})"
        await self.until(f"!!{find}")
        await self.evaluate(f"{find}.click()")

    async def screenshot(self) -> bytes:
        """What the page looks like, as a PNG."""
        answer = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["data"])


@asynccontextmanager
async def page(profile: Path, width: int = 1200, height: int = 900) -> AsyncIterator[Page]:
    """A page of a new browser whose profile lies in an empty folder; fails where there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if program is None:
        pytest.fail("these tests need headless Chromium: apt-get install chromium")
    flags = [*FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", f"--window-size={width},{height}"]
    process = await asyncio.create_subprocess_exec(
        program, *flags, "about:blank", stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        address = await asyncio.wait_for(_address(process), 30)
        async with aiohttp.ClientSession() as http, http.ws_connect(address, max_msg_size=0) as socket:
            yield await _attached(socket)
    finally:
        process.terminate()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        match = _LISTENING.search(line.decode())
        if match:
            return match[1]
    pytest.fail("Chromium did not say where its DevTools listen")


async def _attached(socket: aiohttp.ClientWebSocketResponse) -> Page:
    """A page of its own: the first answers of the browser itself carry no session."""
    await socket.send_json({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}})
    target = await _answer(socket, 1)
    params = {"targetId": target["targetId"], "flatten": True}
    await socket.send_json({"id": 2, "method": "Target.attachToTarget", "params": params})
    session = await _answer(socket, 2)
    return Page(socket, str(session["sessionId"]))


async def _answer(socket: aiohttp.ClientWebSocketResponse, number: int) -> dict[str, Any]:
    while True:
        heard = json.loads((await socket.receive()).data)
        if heard.get("id") == number:
            return dict(heard["result"])
