"""Talking with the process that started this one: JSON lines in and out, and an end when it is gone."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import IO, Any


def send_event(content: dict[str, Any]) -> None:
    """Writes an event to whoever started this process."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def receive_commands(source: IO[str], on_command: Callable[[dict[str, Any]], None]) -> None:
    """Reads commands in a thread of its own, so that their end is noticed while the event loop is busy."""
    threading.Thread(target=_receive_commands, args=(source, on_command), name="supervision", daemon=True).start()


def _receive_commands(source: IO[str], on_command: Callable[[dict[str, Any]], None]) -> None:
    for line in source:
        try:
            command = json.loads(line)
        except ValueError:
            sys.stderr.write(f"not a command: {line!r}\n")
            continue
        if isinstance(command, dict):
            on_command(command)
    os._exit(0)
