"""What a plan asks of the server, against what the scenario's server has: necessary, not sufficient.

Counted are the pages that must be delivered, each once, at the mean of the server's service time. Retries, queues, refusals,
contention and the phones' links can only ask for more. Of the faults, only those `capacity` faults count that slow down every
upload. Stations that would be too late for any server are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.plan.backlog import (
    Slowdown,
    StationLoad,
    WorkerSpeed,
    earliest_finish,
    least_capacity,
    least_whole,
)
from harness.plan.demand import max_within
from harness.plan.plan import Plan
from harness.scenario.scenario import Scenario
from mock_server.faults.base import Match
from mock_server.faults.capacity import Capacity
from mock_server.faults.registry import AnyFault
from mock_server.profile.server_profile import ServerProfile

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_ROUNDING_S = 1e-9
"""A station that is done just at the deadline must not be too late because of its last bit."""

ResourceName = Literal["workers", "ingress", "connections", "commits"]


@dataclass(frozen=True, slots=True)
class ResourceDemand:
    """What a plan needs of one resource of the server at least, and what the server has."""

    resource: ResourceName
    needed: float
    """Workers; bytes per second; connections open at once; commits of a page per second."""
    available: float | None
    """In the same unit; None if the scenario sets no limit, or its server is not the mock."""

    @property
    def used_ratio(self) -> float | None:
        """Needed ÷ available; None without a limit."""
        return None if self.available is None else self.needed / self.available

    @property
    def is_enough(self) -> bool:
        """Whether the server has as much as is needed at least."""
        return self.available is None or self.needed <= self.available


@dataclass(frozen=True, slots=True)
class ServerDemand:
    """The arithmetic of one scenario. All of it are lower bounds."""

    resources: tuple[ResourceDemand, ...]
    """Without workers if the server is not the mock: its service time is not known."""
    pages: int
    """Pages of the stations that are counted."""
    total_bytes: int
    work_s: float
    """Worker-seconds of these pages; 0 if the server is not the mock."""
    workers_without_faults: int | None
    """Fewest workers if no fault took capacity; None if the server is not the mock."""
    earliest_finish_s: float
    """When all stations can be complete at the earliest, with what the server has; later than the deadline if it has too little."""
    too_late: int
    """Stations that arrive too late to be complete by the deadline, however large the server is; left out of all else."""

    def of(self, resource: ResourceName) -> ResourceDemand:
        """The demand for one resource. Raises KeyError if it is not known."""
        return {one.resource: one for one in self.resources}[resource]

    @property
    def binding(self) -> ResourceDemand | None:
        """The resource of which the greatest share is needed; None if the scenario limits none."""
        limited = [one for one in self.resources if one.available is not None]
        return max(limited, key=lambda one: one.used_ratio or 0.0, default=None)


def estimate_server_demand(scenario: Scenario, plan: Plan) -> ServerDemand:
    """What a plan asks of the server; for closed arrivals as if the server took no time, which is a lower bound too."""
    profile = scenario.server if scenario.target is None else None
    page_s = _page_work_s(plan, profile)
    slowdowns = find_slowdowns(scenario.faults) if profile is not None else []
    speed = WorkerSpeed(slowdowns, float(page_s.max(initial=0.0)))
    pages_bytes = _page_bytes(plan)
    arrival_s, station_s = plan.earliest_due_s, page_s.sum(axis=1)
    left_s = speed.work_between(arrival_s, scenario.deadline)
    # its pages go one after the other, and each has to come in before a worker can take it
    line_s = 0.0 if profile is None or profile.ingress is None else pages_bytes.sum(axis=1) / profile.ingress
    alone_s = line_s + station_s / speed.fastest
    in_time = (arrival_s < scenario.deadline) & (arrival_s + alone_s <= scenario.deadline + _ROUNDING_S)
    in_time &= station_s <= left_s + _ROUNDING_S
    order = np.flatnonzero(in_time)[np.argsort(arrival_s[in_time], kind="stable")]
    counted = _CountedLoad(
        StationLoad(arrival_s[order], station_s[order]),
        StationLoad(arrival_s[order], pages_bytes.sum(axis=1)[order].astype(np.float64)),
        StationLoad(arrival_s[order], np.full(len(order), float(len(plan.slots)))),
        alone_s[order],
        scenario.deadline,
        speed,
        math.inf if plan.closed_loop is None else len(plan.closed_loop.phones),
    )
    return ServerDemand(
        resources=tuple(counted.resources(profile)),
        pages=len(order) * len(plan.slots),
        total_bytes=int(counted.bytes.work.sum()),
        work_s=float(counted.workers.work.sum()),
        workers_without_faults=None
        if profile is None
        else least_whole(least_capacity(counted.workers, scenario.deadline)),
        earliest_finish_s=counted.earliest_finish_s(profile),
        too_late=len(plan.stations) - len(order),
    )


@dataclass(frozen=True, slots=True)
class _CountedLoad:
    """The load of the stations that can be complete by the deadline, per resource."""

    workers: StationLoad
    bytes: StationLoad
    pages: StationLoad
    alone_s: FloatArray
    """How long each station takes at least, if it had the server for itself."""
    deadline_s: float
    speed: WorkerSpeed
    phones: float
    """Stations that are active at once at most: the phones of closed arrivals."""

    def resources(self, profile: ServerProfile | None) -> list[ResourceDemand]:
        workers = least_whole(least_capacity(self.workers, self.deadline_s, self.speed))
        found = [ResourceDemand("workers", workers, profile.workers)] if profile is not None else []
        return [
            *found,
            ResourceDemand(
                "ingress", least_capacity(self.bytes, self.deadline_s), None if profile is None else profile.ingress
            ),
            ResourceDemand("connections", self._connections(), None if profile is None else profile.max_connections),
            ResourceDemand("commits", least_capacity(self.pages, self.deadline_s), None),
        ]

    def _connections(self) -> int:
        """Stations that are active at once even if none waits: those that arrive within the time that the quickest takes."""
        quickest_s = float(self.alone_s.min(initial=math.inf))
        at_once = max_within(self.workers.arrival_s, quickest_s) if quickest_s > 0 else min(1, len(self.workers.work))
        return int(min(at_once, self.phones))

    def earliest_finish_s(self, profile: ServerProfile | None) -> float:
        if profile is None:
            return float(self.workers.arrival_s.max(initial=0.0))
        alone = np.maximum(
            self.workers.arrival_s + self.alone_s, self.speed.earliest_end(self.workers.arrival_s, self.workers.work)
        )
        worked_s = max(float(alone.max(initial=0.0)), earliest_finish(self.workers, profile.workers, self.speed))
        return worked_s if profile.ingress is None else max(worked_s, earliest_finish(self.bytes, profile.ingress))


def find_slowdowns(faults: Sequence[AnyFault]) -> list[Slowdown]:
    """The `capacity` faults that slow down every upload, each from the end of its ramp on.

    A factor above 1, which speeds workers up, counts from the beginning of its ramp: the bound must not be too high.
    """
    return [
        Slowdown(
            fault.start + (fault.ramp if fault.factor < 1 else 0.0),
            math.inf if fault.end is None else fault.end,
            fault.factor,
        )
        for fault in faults
        if isinstance(fault, Capacity) and (_hits_every_upload(fault) or fault.factor > 1)
    ]


def _hits_every_upload(fault: Capacity) -> bool:
    return fault.match == Match() and fault.probability == 1 and fault.count is None and fault.skip_first == 0


def _page_bytes(plan: Plan) -> npt.NDArray[np.int64]:
    """Size of each page's photo. Shape (stations, pages of a station)."""
    sizes = np.array([body.size_bytes for body in plan.bank], dtype=np.int64)
    return sizes[plan.body_of_page].reshape(len(plan.stations), len(plan.slots))


def _page_work_s(plan: Plan, profile: ServerProfile | None) -> FloatArray:
    """Mean worker-seconds of each page. Shape (stations, pages of a station)."""
    shape = len(plan.stations), len(plan.slots)
    if profile is None:
        return np.zeros(shape)
    mean_s = profile.service_time.expected_value()
    if profile.reading == "asynchronous":  # the worker reads the photo too, though the client does not wait for it
        mean_s += profile.reading_time.expected_value()
    seconds = np.full(shape, mean_s)
    return seconds if profile.bytes_per_s is None else seconds + _page_bytes(plan) / profile.bytes_per_s
