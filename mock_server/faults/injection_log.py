"""injections.jsonl: a line for every request that a fault struck."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from mock_server.faults.scheduler import Injection

_WRITE_INTERVAL_S = 0.25
_LONGEST_LINE_BYTES = 4096


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
            await asyncio.sleep(_WRITE_INTERVAL_S)
            if self._waiting:
                await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Writes what has gathered; what another thread is writing is written too when it returns."""
        with self._lock:
            self._append([injection_line(self._waiting.popleft()) for _ in range(len(self._waiting))])

    def publish(self, lines: Sequence[str]) -> None:
        """Writes lines that the store has committed; blocks, so call it in a thread."""
        with self._lock:
            self._append(lines)

    def recover(self, lines: Sequence[str]) -> None:
        """Writes those of a killed process' committed lines that it did not come to write; mends a torn last line."""
        with self._lock:
            if self._path.exists():
                self._drop_torn_line()
                missing = dict.fromkeys(lines)
                with self._path.open(encoding="utf-8") as file:
                    for line in file if missing else ():
                        missing.pop(line.rstrip("\n"), None)
                lines = tuple(missing)
            self._append(lines)

    def _drop_torn_line(self) -> None:
        with self._path.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            begin = file.seek(max(0, size - _LONGEST_LINE_BYTES))
            rest = file.read()
            file.truncate(begin + rest.rfind(b"\n") + 1)

    def _append(self, lines: Sequence[str]) -> None:
        if lines:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))


def injection_line(injection: Injection) -> str:
    """The line of an injection, without its end.

    >>> from mock_server.faults.base import Target
    >>> line_of(Injection(1.5, "misread", Target("3509191001001", "ppwp", 2, 1, "POST", "upload")))[:57]
    '{"time_s":1.5,"fault":"misread","station":"3509191001001"'
    """
    content = {"time_s": round(injection.time_s, 6), "fault": injection.fault, **injection.target._asdict()}
    return json.dumps(content, separators=(",", ":"))
