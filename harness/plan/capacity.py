"""Whether a plan fits this machine's descriptors and ports: the check before a run, with its arithmetic.

A connection takes a descriptor while it is open. It takes a local port (of those that exist per pair of source address and
destination) while it is open, and then as long as it is in TIME_WAIT: 60 s, a constant in Linux, or one second if
`net.ipv4.tcp_tw_reuse` lets a new connection reuse it (measured on Linux 6.18; see docs/reference/doctor.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.base.address import is_loopback
from harness.base.host import RESERVED_DESCRIPTORS, TIME_WAIT_S, HostLimits, read_host_limits
from harness.plan.demand import ConnectionDemand, estimate_connections, estimate_reads_at_once
from harness.plan.plan import Plan
from harness.scenario.scenario import Scenario
from powercut.mount import why_unavailable

MAX_SOURCE_ADDRESSES = 250
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class WorkerShare:
    """The workers that one machine has of all workers of a run."""

    here: int
    of: int


def find_capacity_problems(
    scenario: Scenario, plan: Plan, workers: int, address: str | None = None, limits: HostLimits | None = None
) -> list[str]:
    """Why this machine cannot run the plan, each reason with its arithmetic; empty if it can.

    `address` is the target's (None: the mock, on loopback); `limits` default to this machine's.
    """
    check = _CapacityCheck(scenario, plan, workers, address, limits or read_host_limits())
    lacking = why_unavailable() if scenario.cuts_power and address is None else ""
    return [
        problem for problem in (lacking, check.phones(), check.sources(), check.descriptors(), check.ports()) if problem
    ]


def find_share_problems(
    scenario: Scenario, plan: Plan, share: WorkerShare, address: str, limits: HostLimits
) -> list[str]:
    """Why a remote worker's machine with these limits cannot send its share of the plan; as `find_capacity_problems`.

    `address` is the target's as that machine reaches it. A mock there belongs to the leader's machine, which checks it itself.
    """
    check = _CapacityCheck(scenario, plan, share.here, address, limits, share)
    return [problem for problem in (check.sources(), check.descriptors(), check.ports()) if problem]


def find_leader_problems(
    scenario: Scenario, plan: Plan, workers: int, address: str | None = None, limits: HostLimits | None = None
) -> list[str]:
    """Why the leader's machine cannot run the plan if all workers are remote; as `find_capacity_problems`.

    Ports are a matter of the workers' machines. The mock (`address` None) holds all connections in one process on this one.
    """
    check = _CapacityCheck(scenario, plan, workers, address, limits or read_host_limits())
    lacking = why_unavailable() if scenario.cuts_power and address is None else ""
    return [problem for problem in (lacking, check.phones(), check.descriptors() if address is None else "") if problem]


@dataclass(frozen=True)
class PortUsage:
    """Local ports that a plan needs in the worst case, and those that are available."""

    needed: int
    available: int
    kept_s: float
    """How long a port stays unusable after its connection was closed."""
    cause: Literal["made", "open"]
    """Which needs more ports: connections made (each keeps its port for `kept_s`), or connections open at once."""

    @property
    def spare_per_s(self) -> float:
        """Additional connections per second, such as those of retries, for which ports are left."""
        return max(0, self.available - self.needed) / self.kept_s


def estimate_port_usage(
    scenario: Scenario, plan: Plan, workers: int, address: str | None, limits: HostLimits
) -> PortUsage:
    """Ports that a plan needs on this machine; arguments as of `find_capacity_problems`."""
    return _CapacityCheck(scenario, plan, workers, address, limits).port_usage


class _CapacityCheck:
    """Compares one plan with the limits of one machine. Each check returns a message, or "" if the plan fits."""

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
        self._mock_here = address is None
        self._phones = 0 if plan.closed_loop is None else len(plan.closed_loop.phones)
        self._demand: ConnectionDemand = estimate_connections(plan, scenario.client, scenario.deadline)
        self._max_in_flight = scenario.client.max_in_flight * self._workers
        self._stations = min(self._scale_to_share(self._demand.stations_at_once), self._max_in_flight)
        self._reads = self._scale_to_share(estimate_reads_at_once(scenario.readers, self._share.of))
        self._at_once = self._stations + self._reads

    def _scale_to_share(self, all_workers: int) -> int:
        """This machine's part of a number over all workers, rounded up: stations are assigned evenly."""
        return -(-all_workers * self._share.here // self._share.of)

    @property
    def _has_source_addresses(self) -> bool:
        # all of 127.0.0.0/8 is local, so each of its addresses is a source with ports of its own; ::1 is a single address
        return is_loopback(self._address) and ":" not in self._address

    @property
    def port_usage(self) -> PortUsage:
        kept_s = self._limits.port_kept_s(self._address)
        made = self._scale_to_share(self._demand.made_within(kept_s))
        sources = self._client.source_addresses if self._has_source_addresses else 1
        available = self._limits.ports_per_source * sources
        cause: Literal["made", "open"] = "made" if made > self._at_once else "open"
        return PortUsage(max(made, self._at_once), available, kept_s, cause)

    def phones(self) -> str:
        """Closed arrivals with more phones than the workers may serve at once."""
        if self._phones <= self._max_in_flight:
            return ""
        return (
            f"{self._phones:,} phones are more than client.max_in_flight ({self._client.max_in_flight:,}) allows "
            f"{self._workers} worker(s): raise it or use more workers"
        )

    def sources(self) -> str:
        """Several source addresses, to a target to which this machine has only one."""
        if self._client.source_addresses == 1 or self._has_source_addresses:
            return ""
        return (
            f"client.source_addresses = {self._client.source_addresses}: these are addresses of 127.0.0.0/8, and to "
            f"{self._address} this machine has one: leave it out"
        )

    def descriptors(self) -> str:
        """More open connections than a worker may have, or the mock, which has those of all workers in one process."""
        fits, per_worker = self._limits.connections_per_process, -(-self._at_once // self._workers)
        needed = self._at_once if self._mock_here else per_worker
        if needed <= fits:
            return ""
        where = "in the mock server, one process" if self._mock_here else f"in each of {self._workers} worker(s)"
        more = "start {} workers there" if self._share.here < self._share.of else "use --workers {}"
        # more workers do not help the mock
        workers = "" if self._mock_here else f"{more.format(-(-self._at_once // max(1, fits)))}, "
        left = fits - (self._reads if self._mock_here else -(-self._reads // self._workers))
        max_in_flight = max(1, left // self._workers if self._mock_here else left)
        return (
            f"{self._at_once_text} need {needed:,} descriptors {where}, and the hard limit of {self._limits.descriptors:,} "
            f"leaves {fits:,} for connections: raise it (ulimit -Hn {needed + RESERVED_DESCRIPTORS}), {workers}or set "
            f"client.max_in_flight = {max_in_flight}"
        )

    def ports(self) -> str:
        """More connections open, or recently closed, than there are ports."""
        usage = self.port_usage
        if usage.needed <= usage.available:
            return ""
        need = f"{self._at_once_text} need as many ports" if usage.cause == "open" else self._made_text(usage)
        sources = self._client.source_addresses if self._has_source_addresses else 1
        available = (
            f"there are {usage.available:,} ports: {self._limits.ports_per_source:,} for each pair of source address and "
            f"destination (net.ipv4.ip_local_port_range {self._limits.first_port} {self._limits.last_port}, minus reserved "
            f"ones), {sources} source address(es)"
        )
        return f"{need}; {available}. {self._remedy(usage)}"

    @property
    def _at_once_text(self) -> str:
        reads = f" and {self._reads:,} reads" if self._reads else ""
        if self._phones:
            return f"{self._stations:,} phones{reads} at once"
        return f"{self._stations:,} stations{reads} at once (if the server hangs)"

    def _made_text(self, usage: PortUsage) -> str:
        peak, made = (self._scale_to_share(self._demand.made_within(window_s)) for window_s in (1.0, usage.kept_s))
        per = "attempt" if self._client.connection == "each" else "station"
        reuse = f"net.ipv4.tcp_tw_reuse = {self._limits.tw_reuse}"
        return (
            f"{made:,} connections fall due within {usage.kept_s:g} s, {peak:,} in the busiest second (client.connection = "
            f'"{self._client.connection}": one per {per}, not counting retries), and each keeps its port for '
            f"{usage.kept_s:g} s after it was closed (TIME_WAIT; {reuse}), so {made:,} ports are needed"
        )

    def _remedy(self, usage: PortUsage) -> str:
        sources = -(-usage.needed // max(1, self._limits.ports_per_source))
        fits = []
        if self._has_source_addresses and sources <= MAX_SOURCE_ADDRESSES:
            fits.append(f"client.source_addresses = {sources}")
        if usage.cause == "made":
            fits.append('client.connection = "reuse"')
            if usage.kept_s == TIME_WAIT_S:
                fits.append(f"sysctl -w net.ipv4.tcp_tw_reuse={2 if is_loopback(self._address) else 1}")
        else:
            fits.append(f"client.max_in_flight = {max(1, (usage.available - self._reads) // self._workers)}")
        if not self._has_source_addresses:
            fits.append(f"{-(-sources * self._share.of // self._share.here)} machines")
        return f"What fits: {', or '.join(fits)}"
