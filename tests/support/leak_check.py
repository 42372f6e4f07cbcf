"""Finds what a test leaves behind in its process, where it would disturb the tests after it."""

from __future__ import annotations

import functools
import gc
import os
import resource
import signal
import sys
import threading
import time
import weakref
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

GRACE_S = 5.0
"""Time for threads and greenlets that are about to end."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD, signal.SIGALRM)
_spawned: weakref.WeakSet[Any] = weakref.WeakSet()
_timeout_queues: weakref.WeakSet[Any] = weakref.WeakSet()


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _settings() -> dict[str, Any]:
    """Process-wide settings, by name."""
    environment = dict(os.environ)
    environment.pop("PYTEST_CURRENT_TEST", None)
    return {
        "environment": environment, "current folder": Path.cwd(), "sys.path": list(sys.path),
        "signal handlers": [signal.getsignal(number) for number in SIGNALS],
        "limit of descriptors": resource.getrlimit(resource.RLIMIT_NOFILE),
        "garbage collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
    }  # fmt: skip


class Before:
    """The state of the process before a test."""

    def __init__(self) -> None:
        _note_greenlets()
        self._threads = set(threading.enumerate())
        self._children = _has_children()
        self._settings = _settings()

    def left(self) -> list[str]:
        """Descriptions of what was added or changed since then; empty if nothing was."""
        now = _settings()
        found = [f"another {name}" for name, value in self._settings.items() if now[name] != value]
        if not self._children and _has_children():
            # multiprocessing keeps this one to the end of the process, to remove what killed processes leave behind
            getattr(resource_tracker._resource_tracker, "_stop")()  # noqa: B009 - unknown to the type stubs
        if not self._children and _has_children():
            found.append("a child process")
        found += [f"the thread {thread.name}" for thread in self._running()]
        return [*found, *_waiting_greenlets(), *_pending_timeouts()]

    def _running(self) -> list[threading.Thread]:
        until = time.monotonic() + GRACE_S
        while threads := [one for one in threading.enumerate() if one not in self._threads]:
            if time.monotonic() > until:
                return threads
            threads[0].join(0.05)
        return []


def _note_greenlets() -> None:
    """Record every greenlet and every queue of attempt timeouts from now on.

    Called before each test, because gevent and the client may be imported only by then.
    """
    if "gevent" in sys.modules and not hasattr(_note_greenlets, "done"):
        sys.modules["gevent"].Greenlet.add_spawn_callback(_spawned.add)
        _note_greenlets.done = True  # type: ignore[attr-defined]
    queues = getattr(sys.modules.get("harness.drive.client.uploader"), "TimeoutQueue", None)
    if queues is not None and not hasattr(queues._start_timer, "__wrapped__"):
        start_timer = queues._start_timer

        @functools.wraps(start_timer)
        def noted(self: Any, seconds: float) -> None:
            _timeout_queues.add(self)
            start_timer(self, seconds)

        queues._start_timer = noted


def end_greenlets() -> None:
    """End the greenlets that a test has spawned: some objects live as long as their process and cannot be closed."""
    if _spawned:
        sys.modules["gevent"].killall([one for one in _spawned if not one.ready()], timeout=GRACE_S)


def _waiting_greenlets() -> list[str]:
    """Greenlets that have not ended, and would go on whenever a later test waits. Ends them."""
    if not _spawned:
        return []
    gevent = sys.modules["gevent"]
    until = time.monotonic() + GRACE_S
    while any(not one.ready() for one in _spawned) and time.monotonic() < until:
        gevent.sleep(0.01)
    waiting = [repr(one) for one in _spawned if not one.ready()]
    end_greenlets()
    _spawned.clear()
    return [f"the greenlet {one}" for one in waiting]


def _pending_timeouts() -> list[str]:
    """Attempt timeouts that would interrupt whatever this process does later. Cancels them."""
    pending = [one for made in _timeout_queues for one in made._queue if one.greenlet is not None]
    _timeout_queues.clear()
    for one in pending:
        one.cancel()
    return ["an attempt timeout that was not cancelled"] * bool(pending)
