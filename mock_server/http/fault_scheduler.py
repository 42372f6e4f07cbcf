"""The faults in force under the event loop's clock: tells the server what begins and ends, wakes what waits in a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from mock_server.faults.base import Fault, RequestKey, Scope, ServerActions
from mock_server.faults.matching import FaultMatcher, FaultState, Hit, Injection

T0Clock = Callable[[], float | None]
"""Seconds since T0; None while T0 is not known yet."""

_LATE_GRACE_S = 0.5


class FaultScheduler:
    """A `FaultMatcher` with a clock, and with the server that its faults act on.

    `write_log` writes to disk what `log` has gathered; it blocks.
    """

    def __init__(
        self,
        faults: Iterable[Fault],
        seed: int,
        clock: T0Clock,
        log: Callable[[Injection], None],
        write_log: Callable[[], None] = lambda: None,
    ) -> None:
        self._matcher = FaultMatcher(faults, seed, log)
        self._clock = clock
        self._write_log = write_log
        self._changed = asyncio.Event()
        self._server: ServerActions | None = None

    @property
    def states(self) -> tuple[FaultState, ...]:
        """Every fault, on or off."""
        return self._matcher.states

    @property
    def injected(self) -> dict[str, int]:
        """Hits that acted by fault name, those of removed faults too."""
        return self._matcher.injected

    def now(self) -> float | None:
        """Seconds since T0, or None before it."""
        return self._clock()

    def strength(self, state: FaultState) -> float:
        """How strong a fault is right now: 0 when off."""
        return self._matcher.strength(state, self._clock())

    def hits(self, key: RequestKey, scope: Scope = "request") -> tuple[Hit, ...]:
        """The faults of this scope that hit now, in the order of the profile; they count once they act."""
        return self._matcher.hits(key, self._clock(), scope)

    def capacity_factor(self, key: RequestKey) -> float:
        """What the workers' speed is multiplied by for this upload."""
        return self._matcher.capacity_factor(key, self._clock())

    async def logged(self) -> None:
        """Returns once every injection so far is on disk."""
        await asyncio.to_thread(self._write_log)

    def kill(self, restart_after_s: float | None) -> None:
        """Kills the server's process, if the faults are attached to one."""
        if self._server is not None:
            self._server.kill(restart_after_s)

    def attach(self, server: ServerActions, *, again: bool = False) -> None:
        """Tells this server from now on what begins and ends; called when T0 is known, `again` after a crash."""
        self._server = server
        # After a crash nothing may begin late by a grace: the fault that crashed the last process would do so again.
        self._matcher.mark_late(self._clock() or 0.0, 0.0 if again else _LATE_GRACE_S)
        self.update()

    def update(self) -> float | None:
        """Tells the server what began and ended since the last update; seconds until the next known edge.

        Reads the clock once: an edge between two readings would be neither reported nor waited for.
        """
        now = self._clock()
        self._matcher.finish_elapsed(now)
        if self._server is not None:
            for state, is_on in self._matcher.edges(now):
                if is_on:
                    state.fault.on_begin(self._server, late=state.is_late)
                else:
                    state.fault.on_end(self._server)
        return self._matcher.next_edge_s(now)

    def heal(self) -> None:
        """Ends every fault now; what is scheduled for later does not come either."""
        self._matcher.heal()
        self._update_and_wake()

    def put(self, fault: Fault) -> bool:
        """Adds a fault, or replaces the one of its name (its counts go on); True if it is new."""
        replaced = self._matcher.put(fault)
        self._update_and_wake()
        if replaced is None:
            return True
        replaced.finish()
        # Only after the new one has begun: a port that stays closed must not open in between.
        if replaced.is_on and self._server is not None:
            replaced.fault.on_end(self._server)
        return False

    def remove(self, name: str) -> bool:
        """Removes a fault; False if there is none of this name."""
        state = self._matcher.get(name)
        if state is None:
            return False
        state.is_healed = True
        self._update_and_wake()  # while it is still known, so that its end is reported
        self._matcher.discard(name)
        return True

    def reset(self) -> None:
        """Returns to the profile's faults and their schedule, counts at 0."""
        for state in self.states:
            self.remove(state.fault.name)
        self._matcher.restore()
        self._matcher.mark_late(self._clock() or 0.0, _LATE_GRACE_S)
        self._update_and_wake()

    def _update_and_wake(self) -> None:
        self.update()
        self._changed.set()

    async def watch(self) -> None:
        """Tells the server each edge as it comes, until cancelled."""
        while True:
            self._changed.clear()
            delay = self.update()
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._changed.wait()
