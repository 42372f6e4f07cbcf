"""The talk with the process that started us: JSON lines over stdin and stdout; end of file on stdin means exit."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from typing import Any

import gevent
import gevent.monkey
from gevent.os import make_nonblocking, nb_read

from harness.base.errors import RESOURCE_ERRNOS, describe_exhaustion

_STDIN, _STDOUT = 0, 1


def send_event(event: str, **content: Any) -> None:
    """Tell the parent something."""
    line = json.dumps({"event": event, **content}).encode() + b"\n"
    while line:
        try:
            line = line[os.write(_STDOUT, line) :]
        except BlockingIOError:
            gevent.sleep(0.01)


def preparation_failure(error: OSError, metrics_port: int) -> tuple[str, str]:
    """The event and the reason that tell the parent why a worker could not prepare.

    A port that another has taken is for the user to change, a machine without room is nobody's mistake.
    """
    if error.errno in RESOURCE_ERRNOS:
        return "starved", describe_exhaustion(error)
    if error.errno in {errno.EADDRINUSE, errno.EACCES} and metrics_port:
        return "refused", f"--metrics-port: port {metrics_port} can't be had: {os.strerror(error.errno)}"
    return "failed", f"a worker could not prepare: {error}"


def start_receiving(handle: Callable[[dict[str, Any]], None], on_end: Callable[[], None]) -> gevent.Greenlet:
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


def exit_with_parent(grace_s: float = 2.0) -> None:
    """End this process if the parent goes, also while nobody listens (or the loop is stuck): from a native thread.

    `start_receiving` has `grace_s` to write down what is known; this is for the times before and besides it. Watches for the hang-up
    of stdin without reading from it.
    """
    poll = gevent.monkey.get_original("select", "poll")()
    sleep = gevent.monkey.get_original("time", "sleep")
    start_thread = gevent.monkey.get_original("_thread", "start_new_thread")
    poll.register(_STDIN, 0)

    def watch() -> None:
        poll.poll()
        sleep(grace_s)
        os._exit(1)

    start_thread(watch, ())
