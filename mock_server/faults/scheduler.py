"""Which faults hit which request: the schedule, the dice and the counts.

A rule is a fault with what happened to it so far. Whether it hits is decided by a number keyed on (seed, rule, station,
form, page, attempt), so that concurrency does not change who is hit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mock_server.faults.base import Fault, RequestKey, Scope, ServerActions
from mock_server.faults.keyed_random import keyed_uniform

T0Clock = Callable[[], float | None]
"""Seconds since T0; None while T0 is not known yet."""


@dataclass(slots=True)
class FaultState:
    """A fault and its counts."""

    fault: Fault
    seen: int = 0
    """Requests that matched while it was on."""
    injected: int = 0
    healed: bool = False
    is_on: bool = False
    """Whether its beginning was told to the server, and its end was not yet."""
    late: bool = False
    """Whether it began before this process knew T0: a crash must not happen again after its restart."""
    promised: int = 0
    """Hits that may still act: `count` has to leave room for them."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it ends, is healed, changed or removed: what waits in it goes on."""
    memory: dict[str, Any] = field(default_factory=dict)


class Injection(NamedTuple):
    """A line of the injection log."""

    time_s: float
    fault: str
    target: RequestKey


class Hit:
    """A fault that strikes a request; it is counted and logged if it acts, with the time at which it struck."""

    __slots__ = ("_rule", "_rules", "_settled", "_target", "draw", "fault", "over", "time_s")

    def __init__(self, rules: FaultScheduler, rule: FaultState, target: RequestKey, time_s: float, draw: float) -> None:
        self.fault = rule.fault
        self.draw = draw
        """The number to draw its details from."""
        self.over = rule.over
        self.time_s = time_s
        self._rules, self._rule, self._target = rules, rule, target
        self._settled = False
        rule.promised += 1

    @property
    def injection(self) -> Injection:
        """Its line in the injection log."""
        return Injection(self.time_s, self._rule.fault.name, self._target)

    def act(self, *, is_logged: bool = False) -> None:
        """It does what it is for; telling so again changes nothing. `is_logged`: the store has its line already."""
        if self._settle():
            self._rules.count(self._rule, self.injection, is_logged=is_logged)

    def let_go(self) -> None:
        """It will not act any more."""
        self._settle()

    def _settle(self) -> bool:
        if self._settled:
            return False
        self._settled = True
        self._rule.promised -= 1
        return True


_NO_REQUEST = RequestKey("", "", 0, 0, "", "")
_LATE_GRACE_S = 0.5


class FaultScheduler:
    """The rules in force, by name; every question about faults is asked here."""

    def __init__(
        self,
        faults: Iterable[Fault],
        seed: int,
        clock: T0Clock,
        log: Callable[[Injection], None],
        write_log: Callable[[], None] = lambda: None,
    ) -> None:
        self._original = tuple(faults)
        self._seed = seed
        self._clock = clock
        self._log = log
        self._write_log = write_log
        self._rules = {fault.name: FaultState(fault) for fault in self._original}
        self.injected: dict[str, int] = {fault.name: 0 for fault in self._original}
        self.changed = asyncio.Event()
        self._server: ServerActions | None = None

    @property
    def all(self) -> tuple[FaultState, ...]:
        """Every rule, on or off."""
        return tuple(self._rules.values())

    def now(self) -> float | None:
        """Seconds since T0, or None before it."""
        return self._clock()

    def strength(self, rule: FaultState) -> float:
        """How strong a rule is right now: 0 when off."""
        return self._strength_at(self._clock(), rule)

    def _strength_at(self, now: float | None, rule: FaultState) -> float:
        if now is None or rule.healed or not self._comes(rule.fault):
            return 0.0
        return rule.fault.strength(now)

    def _comes(self, fault: Fault) -> bool:
        """Whether a fault of the whole server happens: its dice are thrown once, for nobody in particular."""
        if fault.reach != "server" or fault.probability >= 1:
            return True
        return self._uniform(fault, "hit", _NO_REQUEST) < fault.probability

    def hits(self, target: RequestKey, reach: Scope = "request") -> tuple[Hit, ...]:
        """The faults of this reach that strike now, in the order of the profile; they count once they act."""
        if not self._rules:
            return ()
        now = self._clock() or 0.0
        return tuple(
            Hit(self, rule, target, now, self._uniform(rule.fault, "draw", target))
            for rule in self._rules.values()
            if rule.fault.reach == reach and self._strikes(rule, target)
        )

    def capacity_factor(self, target: RequestKey) -> float:
        """What the workers' speed is multiplied with for this upload."""
        factor = 1.0
        for rule in self._rules.values():
            if rule.fault.reach == "work" and self._strikes(rule, target):
                self.count(rule, Injection(self._clock() or 0.0, rule.fault.name, target))
                factor *= rule.fault.capacity_factor(self.strength(rule))
        return factor

    def _strikes(self, rule: FaultState, target: RequestKey) -> bool:
        strength = self.strength(rule)
        fault = rule.fault
        if strength <= 0 or not fault.match.fits(target) or (rule.late and fault.ends_process):
            return False
        if not fault.applies(target, self._clock() or 0.0, rule.memory):
            return False
        rule.seen += 1
        if rule.seen <= fault.skip_first or (fault.count is not None and rule.injected + rule.promised >= fault.count):
            return False
        chance = fault.probability * (1.0 if fault.reach == "work" else strength)
        return chance >= 1 or self._uniform(fault, "hit", target) < chance

    def count(self, rule: FaultState, injection: Injection, *, is_logged: bool = False) -> None:
        """Counts and logs that a rule acted; if it was changed meanwhile, for what is now in its place."""
        name = injection.fault
        self._rules.get(name, rule).injected += 1
        self.injected[name] = self.injected.get(name, 0) + 1
        if not is_logged:
            self._log(injection)

    async def logged(self) -> None:
        """Returns once every injection so far is in the log."""
        await asyncio.to_thread(self._write_log)

    def _uniform(self, fault: Fault, what: str, target: RequestKey) -> float:
        return keyed_uniform(self._seed, fault.seed, fault.name, what, *target[:4])

    def kill(self, restart_after_s: float | None) -> None:
        """Ends the server's process, if there is one that knows of these rules."""
        if self._server is not None:
            self._server.kill(restart_after_s)

    def attach(self, server: ServerActions, *, again: bool = False) -> None:
        """From now on this server is told what begins and ends; called when T0 is known, `again` after a crash."""
        self._server = server
        self._look_what_is_late(0.0 if again else _LATE_GRACE_S)
        self.tell_edges()

    def _look_what_is_late(self, grace_s: float = _LATE_GRACE_S) -> None:
        now = self._clock() or 0.0
        for rule in self._rules.values():
            rule.late = rule.fault.start < now - grace_s

    def tell_edges(self) -> float | None:
        """Tells the server what began and what ended since it was told last; seconds until the next edge that is known.

        By one look at the clock: an edge that came between two looks would be neither told nor waited for.
        """
        now = self._clock()
        for rule in tuple(self._rules.values()):
            if rule.healed or (now is not None and rule.fault.end is not None and now >= rule.fault.end):
                rule.over.set()
            if self._server is None:
                continue
            is_on = self._strength_at(now, rule) > 0
            if is_on and not rule.is_on:
                rule.is_on = True
                if rule.fault.reach == "server" and not rule.late:
                    self.count(rule, Injection(now or 0.0, rule.fault.name, _NO_REQUEST))
                rule.fault.on_begin(self._server, late=rule.late)
            elif rule.is_on and not is_on:
                rule.is_on = False
                rule.fault.on_end(self._server)
        return self._next_edge_s(now)

    def _next_edge_s(self, now: float | None) -> float | None:
        if now is None:
            return None
        edges = [rule.fault.start for rule in self._rules.values() if not rule.healed]
        edges += [rule.fault.end for rule in self._rules.values() if not rule.healed and rule.fault.end is not None]
        return min((edge - now for edge in edges if edge > now), default=None)

    def heal(self) -> None:
        """Ends every rule now; what is scheduled for later does not come either."""
        for rule in self._rules.values():
            rule.healed = True
        self._look_again()

    def put(self, fault: Fault) -> bool:
        """Adds a fault, or changes the one of its name (its counts go on); whether it is new."""
        known = self._rules.get(fault.name)
        self.injected.setdefault(fault.name, 0)
        if known is None:
            self._rules[fault.name] = FaultState(fault)
            self._look_again()
            return True
        self._rules[fault.name] = FaultState(fault, known.seen, known.injected)
        self._look_again()
        known.over.set()
        if known.is_on and self._server is not None:  # after the beginning of the new one: a port stays closed
            known.fault.on_end(self._server)
        return False

    def remove(self, name: str) -> bool:
        """Takes a rule out; whether there was one."""
        rule = self._rules.get(name)
        if rule is None:
            return False
        rule.healed = True
        self._look_again()
        del self._rules[name]
        return True

    def reset(self) -> None:
        """Back to the profile's faults, their counts at nothing."""
        for name in tuple(self._rules):
            self.remove(name)
        self._rules = {fault.name: FaultState(fault) for fault in self._original}
        self._look_what_is_late()
        self._look_again()

    def _look_again(self) -> None:
        self.tell_edges()
        self.changed.set()

    async def watch(self) -> None:
        """Tells the edges as they come, until cancelled."""
        while True:
            self.changed.clear()
            delay = self.tell_edges()
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self.changed.wait()
