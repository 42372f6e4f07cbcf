"""How many connections this machine can hold and make, and whether a plan fits: the check before a run, with its arithmetic.

A connection takes a descriptor while it is open. It takes a local port, of those that there are for each pair of source
address and destination, while it is open and then as long as it is in TIME_WAIT: 60 s, which Linux has as a constant, or one
second where `net.ipv4.tcp_tw_reuse` lets a new connection take it over (measured on Linux 6.18; see docs/reference/doctor.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.base.address import is_loopback
from harness.base.host_limits import RESERVED_DESCRIPTORS, TIME_WAIT_S, HostLimits, read_host_limits
from harness.plan import Plan
from harness.plan.connection_demand import ConnectionDemand, estimate_connections
from harness.scenario.scenario import Scenario

MAX_SOURCE_ADDRESSES = 250
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class WorkerShare:
    """What one of several machines has of a run's workers."""

    here: int
    of: int


def find_capacity_problems(
    scenario: Scenario, plan: Plan, workers: int, address: str | None = None, limits: HostLimits | None = None
) -> list[str]:
    """Why this machine can't carry the plan, each with its arithmetic; empty if it can.

    `address` is the target's (None: our own mock, on loopback), `limits` are this machine's if left out.
    """
    check = _CapacityCheck(scenario, plan, workers, address, limits or read_host_limits())
    return [problem for problem in (check.phones(), check.sources(), check.descriptors(), check.ports()) if problem]


def find_share_problems(
    scenario: Scenario, plan: Plan, share: WorkerShare, address: str, limits: HostLimits
) -> list[str]:
    """Why a machine with these limits can't carry its share of the plan, as `find_capacity_problems` says it.

    `address` is where the target is, seen from there; a mock server at it is a process of another machine.
    """
    check = _CapacityCheck(scenario, plan, share.here, address, limits, share)
    return [problem for problem in (check.sources(), check.descriptors(), check.ports()) if problem]


def find_leader_problems(
    scenario: Scenario, plan: Plan, workers: int, address: str | None = None, limits: HostLimits | None = None
) -> list[str]:
    """Why a run whose workers are all on other machines doesn't fit: what this machine's own part of it lacks.

    Ports are the workers' machines' matter; our own mock (`address` None) holds all connections in one process here.
    """
    check = _CapacityCheck(scenario, plan, workers, address, limits or read_host_limits())
    return [problem for problem in (check.phones(), check.descriptors() if address is None else "") if problem]


@dataclass(frozen=True)
class PortUsage:
    """Ports that a plan takes at its worst, and those that there are."""

    taken: int
    there: int
    kept_s: float
    why: Literal["made", "open"]
    """Whether more are taken by connections made (and then kept) or by those open at once."""

    @property
    def spare_per_s(self) -> float:
        """Further connections a second, such as retries, that it leaves room for."""
        return max(0, self.there - self.taken) / self.kept_s


def estimate_port_usage(
    scenario: Scenario, plan: Plan, workers: int, address: str | None, limits: HostLimits
) -> PortUsage:
    """What a plan takes of this machine's ports."""
    return _CapacityCheck(scenario, plan, workers, address, limits).room


class _CapacityCheck:
    """One plan held against one machine."""

    def __init__(
        self,
        scenario: Scenario,
        plan: Plan,
        workers: int,
        address: str | None,
        limits: HostLimits,
        share: WorkerShare | None = None,
    ) -> None:
        self._client = scenario.client
        self._workers = workers
        self._share = share or WorkerShare(workers, workers)
        self._limits = limits
        self._address = address or LOOPBACK
        self._ours = address is None
        self._phones = 0 if plan.rounds is None else len(plan.rounds.phones)
        self._demand: ConnectionDemand = estimate_connections(plan, scenario.client, scenario.deadline)
        self._held_to = scenario.client.max_in_flight * self._workers
        self._at_once = min(self._here(self._demand.stations_at_once), self._held_to)

    def _here(self, all_workers: int) -> int:
        """This machine's part of what all workers make: stations are dealt out evenly."""
        return -(-all_workers * self._share.here // self._share.of)

    @property
    def _several_sources(self) -> bool:
        return is_loopback(self._address) and ":" not in self._address

    @property
    def room(self) -> PortUsage:
        kept_s = self._limits.port_kept_s(self._address)
        made = self._here(self._demand.made_within(kept_s))
        sources = self._client.source_addresses if self._several_sources else 1
        there = self._limits.a_pair * sources
        return PortUsage(max(made, self._at_once), there, kept_s, "made" if made > self._at_once else "open")

    def phones(self) -> str:
        """Closed arrivals with more phones than may be at it."""
        if self._phones <= self._held_to:
            return ""
        return (
            f"{self._phones:,} phones are more than client.max_in_flight ({self._client.max_in_flight:,}) allows "
            f"{self._workers} worker(s): raise it or use more workers"
        )

    def sources(self) -> str:
        """Several source addresses where this machine has but one."""
        if self._client.source_addresses == 1 or self._several_sources:
            return ""
        return (
            f"client.source_addresses = {self._client.source_addresses} are addresses of 127.0.0.0/8, and to "
            f"{self._address} this machine has one: leave it out"
        )

    def descriptors(self) -> str:
        """More connections than a worker, or our own mock (one process, all workers' connections), may have open."""
        fits, per_worker = self._limits.a_process, -(-self._at_once // self._workers)
        needed = self._at_once if self._ours else per_worker
        if needed <= fits:
            return ""
        where = "in the mock server, one process" if self._ours else f"in each of {self._workers} worker(s)"
        more = "start {} workers there" if self._share.here < self._share.of else "use --workers {}"
        workers = "" if self._ours else f"{more.format(-(-self._at_once // max(1, fits)))}, "
        held_to = max(1, fits // self._workers if self._ours else fits)
        return (
            f"{self._at_once_said} need {needed:,} descriptors {where}, and the hard limit of {self._limits.descriptors:,} leaves "
            f"{fits:,} for connections: raise it (ulimit -Hn {needed + RESERVED_DESCRIPTORS}), {workers}or set "
            f"client.max_in_flight = {held_to}"
        )

    def ports(self) -> str:
        """More connections open, or made and not yet forgotten, than there are ports."""
        room = self.room
        if room.taken <= room.there:
            return ""
        need = self._at_once_ports if room.why == "open" else self._made_ports(room)
        sources = self._client.source_addresses if self._several_sources else 1
        there = (
            f"there are {room.there:,} ports: {self._limits.a_pair:,} for each pair of source address and destination "
            f"(net.ipv4.ip_local_port_range {self._limits.first_port} {self._limits.last_port}, less what is taken), "
            f"{sources} source address(es)"
        )
        return f"{need}; {there}. {self._remedy(room)}"

    @property
    def _at_once_said(self) -> str:
        if self._phones:
            return f"{self._at_once:,} phones at once"
        return f"{self._at_once:,} stations at once (if the server hangs)"

    @property
    def _at_once_ports(self) -> str:
        return f"{self._at_once_said} need as many ports"

    def _made_ports(self, room: PortUsage) -> str:
        peak, made = (self._here(self._demand.made_within(window_s)) for window_s in (1.0, room.kept_s))
        each = "attempt" if self._client.connection == "each" else "station"
        reuse = f"net.ipv4.tcp_tw_reuse = {self._limits.tw_reuse}"
        return (
            f"{made:,} connections fall due within {room.kept_s:g} s, {peak:,} in the busiest second (client.connection = "
            f'"{self._client.connection}": one {"an" if each == "attempt" else "a"} {each}; retries, which come on top, are not counted), and each '
            f"keeps its port for {room.kept_s:g} s after its end (TIME_WAIT; {reuse}), so that {made:,} ports are needed"
        )

    def _remedy(self, room: PortUsage) -> str:
        sources = -(-room.taken // max(1, self._limits.a_pair))
        fits = []
        if self._several_sources and sources <= MAX_SOURCE_ADDRESSES:
            fits.append(f"client.source_addresses = {sources}")
        if room.why == "made":
            fits.append('client.connection = "reuse"')
            if room.kept_s == TIME_WAIT_S:
                fits.append(f"sysctl -w net.ipv4.tcp_tw_reuse={2 if is_loopback(self._address) else 1}")
        else:
            fits.append(f"client.max_in_flight = {max(1, room.there // self._workers)}")
        if not self._several_sources:
            fits.append(f"{-(-sources * self._share.of // self._share.here)} machines")
        return f"What fits: {', or '.join(fits)}"
