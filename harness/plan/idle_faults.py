"""Faults and outages of a scenario that never happen: a run would pass as if the server had withstood them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.plan.plan import select_stations
from harness.scenario.client import resolve_link
from harness.scenario.scenario import Scenario
from mock_server.faults.base import Fault
from mock_server.profile.validation_messages import describe_item

_EARLIEST_SHARE = 1e-6
"""The quantile that counts as the earliest outage: there are at most about a million stations."""


def find_idle_faults(scenario: Scenario) -> list[str]:
    """One line for each fault that never happens: which one, why, and what to change.

    A probability of 0 is not one: experiments switch a fault off by it.
    """
    found = []
    for number, fault in enumerate(scenario.faults):
        which = describe_item("faults", number, fault.name)
        found += [f"{which}: {why}" for why in _why_idle(fault, scenario)]
    return found


def find_idle_outages(scenario: Scenario) -> list[str]:
    """One line for each kind of link whose outages begin after the deadline, at every station."""
    link = resolve_link(scenario.client.link)
    found = []
    for name, quality in (("", link), ("poor.", None if link is None else link.poor)):
        outages = None if quality is None else quality.outages
        first_s = math.inf if outages is None else outages.every.quantile(_EARLIEST_SHARE)
        if outages is not None and first_s >= scenario.deadline:
            found.append(
                f"client.link.{name}outages never happen: the first begins after {first_s:g} s at the earliest "
                f"(outages.every), and the run ends at the deadline, {scenario.deadline:g} s"
            )
    return found


def _why_idle(fault: Fault, scenario: Scenario) -> Iterator[str]:
    if fault.start >= scenario.deadline:
        start, deadline = f"{fault.start:g}s", f"{scenario.deadline:g}s"
        yield f'start = "{start}" never comes: the run ends at the deadline, "{deadline}"; begin earlier, or extend the deadline'
    if fault.duration == 0:
        yield 'duration = "0s" is over at once: leave it out to last until the end'
    if fault.scope == "resumable" and not scenario.client.resumes:
        yield f'kind = "{fault.kind}" hits resumable uploads only: set client.protocol = "tus" or "resumable"'
    form, station = fault.match.form, fault.match.station
    if form is not None and form not in scenario.stations.forms:
        yield f'match.form = "{form}" hits nothing: the stations send {", ".join(scenario.stations.forms)}'
    if station is not None and not any(one.code.startswith(station) for one in select_stations(scenario)):
        yield f'match.station = "{station}" hits nothing: no station of the plan has a code that begins like this'
