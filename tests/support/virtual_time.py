"""An event loop whose clock stands still while anything happens, and jumps to the next timer when nothing does.

So a server and its clients in one process wait for hours within milliseconds, and a busy machine changes no duration. The
sockets, files and threads are real: the clock waits for them (`outside_work`), and a moment of real time for the kernel.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple
from unittest import mock

SETTLE_S = 0.003
"""Real time without an event before the clock jumps. The loopback device delivers in microseconds."""
_STEP_S = 1e-6
"""Each turn of the loop takes this long: who waits for a time that a timer missed by a rounding gets there."""
_LONGEST_S = 60.0
"""Nothing that a test waits for outside of its loop takes longer."""
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs the tests with the mark `virtual_time`."""

    def __init__(self) -> None:
        self.now_s = time.monotonic()
        self.outside_work: list[Callable[[], object]] = []
        """Whether threads work for this loop, whose results end waits: true values keep the clock from jumping."""
        self._jobs = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Seconds on the virtual clock."""
        return self.now_s

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As always; the clock stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        future.add_done_callback(self._note_done)
        return future

    def _note_done(self, _: asyncio.Future[Any]) -> None:
        self._jobs -= 1

    @property
    def waits_for_threads(self) -> bool:
        """Whether something outside of the loop is under way for it."""
        return self._jobs > 0 or any(working() for working in self.outside_work)

    def run_forever(self) -> None:
        """As always, with `time.monotonic()` on the virtual clock."""
        with mock.patch.object(time, "monotonic", self.time):
            super().run_forever()


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.now_s += _STEP_S
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        ready = super().select(SETTLE_S)
        if not ready:
            if timeout is None or self._loop.waits_for_threads:
                ready = super().select(_LONGEST_S)
            else:
                self._loop.now_s += timeout
        return ready
