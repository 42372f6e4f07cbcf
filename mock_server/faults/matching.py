"""Which faults hit which request: schedule, random draws and counts.

Pure: time is an argument and nothing waits, so that the mock server and a simulation in virtual time share it. Whether
a fault hits is decided by a random number keyed on (seed, fault, station, form, page, attempt): the order in which
concurrent requests arrive does not change which of them are hit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mock_server.faults.base import Fault, RequestKey, Scope
from mock_server.profile.keyed_random import keyed_uniform


@dataclass(slots=True, eq=False)
class FaultState:
    """A fault in force, with what happened to it so far."""

    fault: Fault
    matched: int = 0
    """Requests that matched while it was on."""
    injected: int = 0
    """Hits that acted."""
    is_healed: bool = False
    is_on: bool = False
    """Whether `FaultMatcher.edges` has reported its beginning and not yet its end."""
    is_late: bool = False
    """Whether it began before this process knew T0: a crash must not happen again after its restart."""
    pending_hits: int = 0
    """Hits that may still act: `count` has to leave room for them."""
    is_over: bool = False
    """Whether it ended, was healed, changed or removed."""
    on_over: dict[Callable[[], object], None] = field(default_factory=dict)
    """Called once, when it is over, in the order of entry: what waits in the fault goes on."""
    memory: dict[str, Any] = field(default_factory=dict)
    """The kind's own (see `Fault.applies`)."""

    def finish(self) -> None:
        """Marks it as over and releases what waits in it; calling it again changes nothing."""
        self.is_over = True
        waiting, self.on_over = self.on_over, {}
        for call in waiting:
            call()


class Injection(NamedTuple):
    """A line of the injection log."""

    time_s: float
    """Seconds since T0."""
    fault: str
    key: RequestKey


def injection_line(injection: Injection) -> str:
    """The line of an injection, without its newline.

    >>> injection_line(Injection(1.5, "misread", RequestKey("3509191001001", "ppwp", 2, 1, "POST", "upload")))[:57]
    '{"time_s":1.5,"fault":"misread","station":"3509191001001"'
    """
    content = {"time_s": round(injection.time_s, 6), "fault": injection.fault, **injection.key._asdict()}
    if not injection.key.trace_id:
        del content["trace_id"]
    return json.dumps(content, separators=(",", ":"))


class Edge(NamedTuple):
    """A fault that began (`is_on`) or ended."""

    state: FaultState
    is_on: bool


class Hit:
    """A fault that hits a request; counted and logged if it acts, with the time of the hit."""

    __slots__ = ("_is_closed", "_key", "_matcher", "draw", "fault", "state", "time_s")

    def __init__(self, matcher: FaultMatcher, state: FaultState, key: RequestKey, time_s: float, draw: float) -> None:
        self.fault = state.fault
        self.state = state
        self.draw = draw
        """The number to draw the fault's details from."""
        self.time_s = time_s
        self._matcher, self._key = matcher, key
        self._is_closed = False
        state.pending_hits += 1

    @property
    def injection(self) -> Injection:
        """Its line in the injection log."""
        return Injection(self.time_s, self.fault.name, self._key)

    def act(self, *, is_logged: bool = False) -> None:
        """Counts the hit, once, and logs it unless `is_logged`: then the store has its line already."""
        if self._close():
            self._matcher.count(self.state, self.injection, is_logged=is_logged)

    def release(self) -> None:
        """Says that it will not act any more, unless it has."""
        self._close()

    def _close(self) -> bool:
        if self._is_closed:
            return False
        self._is_closed = True
        self.state.pending_hits -= 1
        return True


_NO_REQUEST = RequestKey("", "", 0, 0, "", "")


class FaultMatcher:
    """The faults in force, by name.

    `now_s` is seconds since T0, or None before T0 is known, when no fault is on. `log` gets every injection that the
    store does not log itself.
    """

    def __init__(self, faults: Iterable[Fault], seed: int, log: Callable[[Injection], None]) -> None:
        self._original = tuple(faults)
        self._seed = seed
        self._log = log
        self._states = {fault.name: FaultState(fault) for fault in self._original}
        self.injected: dict[str, int] = {fault.name: 0 for fault in self._original}
        """Hits that acted by fault name, those of removed faults too."""

    @property
    def states(self) -> tuple[FaultState, ...]:
        """Every fault, on or off."""
        return tuple(self._states.values())

    def strength(self, state: FaultState, now_s: float | None) -> float:
        """How strong a fault is at a time: 0 when off."""
        if now_s is None or state.is_healed or not self._happens(state.fault):
            return 0.0
        return state.fault.strength(now_s)

    def _happens(self, fault: Fault) -> bool:
        # A fault of the whole server has no request to draw for: one draw decides about all of it.
        if fault.scope != "server" or fault.probability >= 1:
            return True
        return self._uniform(fault, "hit", _NO_REQUEST) < fault.probability

    def hits(self, key: RequestKey, now_s: float | None, scope: Scope = "request") -> tuple[Hit, ...]:
        """The faults of this scope that hit now, in the order of the profile; they count once they act."""
        if not self._states:
            return ()
        return tuple(
            Hit(self, state, key, now_s or 0.0, self._uniform(state.fault, "draw", key))
            for state in self._states.values()
            if state.fault.scope == scope and self._hits(state, key, now_s)
        )

    def capacity_factor(self, key: RequestKey, now_s: float | None) -> float:
        """What the workers' speed is multiplied by for this upload."""
        factor = 1.0
        for state in self._states.values():
            if state.fault.scope == "work" and self._hits(state, key, now_s):
                self.count(state, Injection(now_s or 0.0, state.fault.name, key))
                factor *= state.fault.capacity_factor(self.strength(state, now_s))
        return factor

    def _hits(self, state: FaultState, key: RequestKey, now_s: float | None) -> bool:
        strength = self.strength(state, now_s)
        fault = state.fault
        if strength <= 0 or not fault.match.matches(key) or (state.is_late and fault.kills_process):
            return False
        if not fault.applies(key, now_s or 0.0, state.memory):
            return False
        state.matched += 1
        if state.matched <= fault.skip_first:
            return False
        # Pending hits may still act: without them, concurrent requests would exceed `count`.
        if fault.count is not None and state.injected + state.pending_hits >= fault.count:
            return False
        # The strength of a capacity fault scales its factor; every other fault's scales its probability.
        chance = fault.probability * (1.0 if fault.scope == "work" else strength)
        return chance >= 1 or self._uniform(fault, "hit", key) < chance

    def count(self, state: FaultState, injection: Injection, *, is_logged: bool = False) -> None:
        """Counts and logs that a fault acted; if it was replaced meanwhile, its successor has the count."""
        name = injection.fault
        self._states.get(name, state).injected += 1
        self.injected[name] = self.injected.get(name, 0) + 1
        if not is_logged:
            self._log(injection)

    def _uniform(self, fault: Fault, purpose: str, key: RequestKey) -> float:
        return keyed_uniform(self._seed, fault.seed, fault.name, purpose, *key[:4])

    def mark_late(self, now_s: float, grace_s: float) -> None:
        """Marks the faults that began more than `grace_s` ago as late (see `FaultState.is_late`)."""
        for state in self._states.values():
            state.is_late = state.fault.start < now_s - grace_s

    def finish_elapsed(self, now_s: float | None) -> None:
        """Marks what is healed or has reached its end as over."""
        for state in self.states:
            has_ended = now_s is not None and state.fault.end is not None and now_s >= state.fault.end
            if state.is_healed or has_ended:
                state.finish()

    def edges(self, now_s: float | None) -> Iterator[Edge]:
        """What began and what ended since the last call.

        Lazy on purpose: a crash that begins kills the process before what begins after it is counted.
        """
        for state in self.states:
            is_on = self.strength(state, now_s) > 0
            if is_on == state.is_on:
                continue
            state.is_on = is_on
            if is_on and state.fault.scope == "server" and not state.is_late:
                self.count(state, Injection(now_s or 0.0, state.fault.name, _NO_REQUEST))
            yield Edge(state, is_on)

    def next_edge_s(self, now_s: float | None) -> float | None:
        """Seconds until the next beginning or end that is known, or None."""
        if now_s is None:
            return None
        faults = [state.fault for state in self._states.values() if not state.is_healed]
        edges = [fault.start for fault in faults] + [fault.end for fault in faults if fault.end is not None]
        return min((edge - now_s for edge in edges if edge > now_s), default=None)

    def heal(self) -> None:
        """Ends every fault now; what is scheduled for later does not come either."""
        for state in self._states.values():
            state.is_healed = True

    def put(self, fault: Fault) -> FaultState | None:
        """Adds a fault, or replaces the one of its name, whose counts go on; the one replaced, if any."""
        known = self._states.get(fault.name)
        self.injected.setdefault(fault.name, 0)
        counts = (0, 0) if known is None else (known.matched, known.injected)
        self._states[fault.name] = FaultState(fault, *counts)
        return known

    def get(self, name: str) -> FaultState | None:
        """The fault of this name, if there is one."""
        return self._states.get(name)

    def discard(self, name: str) -> None:
        """Removes a fault."""
        self._states.pop(name, None)

    def restore(self) -> None:
        """Puts the original faults in force again, their counts at 0; the others must have been removed."""
        self._states = {fault.name: FaultState(fault) for fault in self._original}
