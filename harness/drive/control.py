"""The talk with the process that started us: JSON lines over stdin and stdout; end of file on stdin means exit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import gevent
from gevent.os import make_nonblocking, nb_read

_STDIN, _STDOUT = 0, 1


def say(event: str, **content: Any) -> None:
    """Tell the parent something."""
    line = json.dumps({"event": event, **content}).encode() + b"\n"
    while line:
        try:
            line = line[os.write(_STDOUT, line) :]
        except BlockingIOError:
            gevent.sleep(0.01)


def listen(handle: Callable[[dict[str, Any]], None], on_end: Callable[[], None]) -> gevent.Greenlet:
    """Call `handle` for every line that comes, and `on_end` once the parent has gone."""
    make_nonblocking(_STDIN)

    def read() -> None:
        pending = b""
        while data := nb_read(_STDIN, 65_536):
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                handle(json.loads(line))
        on_end()

    return gevent.spawn(read)
