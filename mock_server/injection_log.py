"""injections.jsonl: a line for every request that a fault struck."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from pathlib import Path

from mock_server.rules import Injection

_EVERY_S = 0.25


class InjectionLog:
    """Gathers lines and writes them in a thread, so that the event loop never waits for a disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: deque[Injection] = deque()
        self._lock = threading.Lock()

    def add(self, injection: Injection) -> None:
        """Takes a line."""
        self._waiting.append(injection)

    async def write(self) -> None:
        """Writes every quarter of a second until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            if self._waiting:
                await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Writes what has gathered; what another thread is writing is written too when it returns."""
        with self._lock:
            lines = [_line(self._waiting.popleft()) for _ in range(len(self._waiting))]
            if lines:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write("".join(lines))


def _line(injection: Injection) -> str:
    content = {"time_s": round(injection.time_s, 6), "fault": injection.fault, **injection.target._asdict()}
    return json.dumps(content, separators=(",", ":")) + "\n"
