"""Events to and from the parent process: JSON lines over stdin and stdout; end of file on stdin means exit."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from typing import Any

import gevent
import gevent.monkey
from gevent.os import make_nonblocking, nb_read

from harness.base.errors import describe_shortage

_STDIN, _STDOUT = 0, 1


def send_event(event: str, **content: Any) -> None:
    """Send an event to the parent process, a line of JSON."""
    line = json.dumps({"event": event, **content}).encode() + b"\n"
    while line:
        try:
            line = line[os.write(_STDOUT, line) :]
        except BlockingIOError:
            # start_receiving makes stdin nonblocking, and stdout with it where both are one open file (a socket, a terminal)
            gevent.sleep(0.01)


def preparation_failure(error: OSError, metrics_port: int) -> tuple[str, str]:
    """The event and the reason to send to the parent if a worker could not prepare.

    They decide on the exit code: a port that is taken is for the user to change (`refused`), a machine that lacks
    resources makes the run invalid (`starved`), anything else is a bug (`failed`).
    """
    if shortage := describe_shortage(error):
        return "starved", shortage
    if error.errno in {errno.EADDRINUSE, errno.EACCES} and metrics_port:
        return "refused", f"--metrics-port: port {metrics_port} is not available: {os.strerror(error.errno)}"
    return "failed", f"a worker could not prepare: {error}"


def start_receiving(handle: Callable[[dict[str, Any]], None], on_end: Callable[[], None]) -> gevent.Greenlet:
    """Call `handle` with every event that the parent sends, and `on_end` once it has gone; returns at once."""
    make_nonblocking(_STDIN)

    def receive() -> None:
        pending = b""
        while data := nb_read(_STDIN, 65_536):
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                handle(json.loads(line))
        on_end()

    return gevent.spawn(receive)


def exit_with_parent(grace_s: float = 2.0) -> None:
    """Exit this process when the parent has gone, even while nothing receives or the event loop is stuck.

    A native thread waits for the hang-up of stdin, without reading from it. `start_receiving` gets `grace_s` to call
    `on_end` first, so that what is known can be written.
    """
    poll = gevent.monkey.get_original("select", "poll")()
    sleep = gevent.monkey.get_original("time", "sleep")
    start_thread = gevent.monkey.get_original("_thread", "start_new_thread")
    # 0: only the hang-up, which is always reported; POLLIN would end the process at the parent's first event.
    poll.register(_STDIN, 0)

    def wait_for_hang_up() -> None:
        poll.poll()
        sleep(grace_s)
        os._exit(1)

    start_thread(wait_for_hang_up, ())
