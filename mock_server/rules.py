"""Which faults hit which request: the schedule, the dice and the counts.

A rule is a fault with what happened to it so far. Whether it hits is decided by a number keyed on (seed, rule, station,
form, page, attempt), so that concurrency does not change who is hit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from mock_server.dice import uniform
from mock_server.faults.base import Fault, Target

Clock = Callable[[], float | None]
"""Seconds since T0; None while T0 is not known yet."""


@dataclass(slots=True)
class Rule:
    """A fault and its counts."""

    fault: Fault
    seen: int = 0
    """Requests that matched while it was on."""
    injected: int = 0
    ended: bool = False


class Hit(NamedTuple):
    """A fault that strikes a request, with the number to draw its details from."""

    fault: Fault
    draw: float


class Injection(NamedTuple):
    """A line of the injection log."""

    time_s: float
    fault: str
    target: Target


class Rules:
    """The rules in force, by name; every question about faults is asked here."""

    def __init__(self, faults: Iterable[Fault], seed: int, clock: Clock, log: Callable[[Injection], None]) -> None:
        self._original = tuple(faults)
        self._seed = seed
        self._clock = clock
        self._log = log
        self._rules = {fault.name: Rule(fault) for fault in self._original}
        self.injected: dict[str, int] = {fault.name: 0 for fault in self._original}
        self.healed = asyncio.Event()
        self.on_change: list[Callable[[], None]] = []

    @property
    def all(self) -> tuple[Rule, ...]:
        """Every rule, on or off."""
        return tuple(self._rules.values())

    def now(self) -> float | None:
        """Seconds since T0, or None before it."""
        return self._clock()

    def strength(self, rule: Rule) -> float:
        """How strong a rule is right now: 0 when off."""
        now = self._clock()
        return 0.0 if now is None or rule.ended else rule.fault.strength(now)

    def hits(self, target: Target) -> tuple[Hit, ...]:
        """The faults that strike this request, in the order of the profile; counts and logs them."""
        if not self._rules:
            return ()
        return tuple(
            Hit(rule.fault, self._uniform(rule.fault, "draw", target))
            for rule in self._rules.values()
            if not rule.fault.is_level and self._strikes(rule, target)
        )

    def capacity_factor(self, target: Target) -> float:
        """What the workers' speed is multiplied with for this upload."""
        factor = 1.0
        for rule in self._rules.values():
            if rule.fault.is_level and self._strikes(rule, target):
                factor *= rule.fault.capacity_factor(self.strength(rule))
        return factor

    def _strikes(self, rule: Rule, target: Target) -> bool:
        strength = self.strength(rule)
        fault = rule.fault
        if strength <= 0 or not fault.match.fits(target):
            return False
        rule.seen += 1
        if rule.seen <= fault.skip_first or (fault.count is not None and rule.injected >= fault.count):
            return False
        chance = fault.probability if fault.is_level else fault.probability * strength
        if chance < 1 and self._uniform(fault, "hit", target) >= chance:
            return False
        rule.injected += 1
        self.injected[fault.name] = self.injected.get(fault.name, 0) + 1
        self._log(Injection(self._clock() or 0.0, fault.name, target))
        return True

    def _uniform(self, fault: Fault, what: str, target: Target) -> float:
        return uniform(self._seed, fault.seed, fault.name, what, *target[:4])

    def heal(self) -> None:
        """Ends every rule now; what is scheduled for later does not come either."""
        for rule in self._rules.values():
            rule.ended = True
        self.healed.set()
        self.healed = asyncio.Event()
        self._changed()

    def put(self, fault: Fault) -> bool:
        """Adds a fault, or changes the one of its name (its counts go on); whether it is new."""
        known = self._rules.get(fault.name)
        self._rules[fault.name] = Rule(fault) if known is None else replace(known, fault=fault, ended=False)
        self.injected.setdefault(fault.name, 0)
        self._changed()
        return known is None

    def remove(self, name: str) -> bool:
        """Takes a rule out; whether there was one."""
        found = self._rules.pop(name, None) is not None
        self._changed()
        return found

    def reset(self) -> None:
        """Back to the profile's faults, their counts at nothing."""
        self._rules = {fault.name: Rule(fault) for fault in self._original}
        self._changed()

    def _changed(self) -> None:
        for callback in self.on_change:
            callback()
