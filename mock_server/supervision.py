"""Talking with the process that started this one: JSON lines in and out, and an end when it is gone."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import IO, Any


class Supervision:
    """Reads commands from a stream in a thread of its own, so that its end is noticed while the event loop is busy."""

    def __init__(self, source: IO[str], sink: IO[str], on_command: Callable[[dict[str, Any]], None]) -> None:
        self._source = source
        self._sink = sink
        self._on_command = on_command

    def begin(self) -> None:
        """Starts to listen."""
        threading.Thread(target=self._listen, name="supervision", daemon=True).start()

    def say(self, event: str, **content: object) -> None:
        """Writes a line."""
        self._sink.write(json.dumps({"event": event, **content}) + "\n")
        self._sink.flush()

    def _listen(self) -> None:
        for line in self._source:
            try:
                command = json.loads(line)
            except ValueError:
                sys.stderr.write(f"not a command: {line!r}\n")
                continue
            if isinstance(command, dict):
                self._on_command(command)
        os._exit(0)
