"""What a plan demands before anything is sent: peak load of the server, connections of this host, worker processes.

Known exactly: when stations arrive, and how many connections `client.connection` makes of that. What depends on the server is
assumed, always in the same way:

- connections made: every attempt is answered at once and none is repeated (each retry after a failure adds one);
- connections open at once: the server hangs. Reads are in flight for their timeout. A station that may retry is then active until the deadline, one that may not
  (`retry.strategy = "none"`, or one attempt) for one timeout per page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.base.errors import UsageError
from harness.plan.plan import Plan
from harness.scenario.client import ClientOptions
from harness.scenario.readers import MAX_READS_IN_FLIGHT, ReaderOptions
from harness.scenario.scenario import Scenario

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

CPU_S_PER_UPLOAD = 110e-6
"""CPU seconds of one upload of a few bytes over an open connection.

This and the next two are the generator's own cost (user and system time of a worker, with journal, histograms and metrics),
measured by `python -m benchmarks.hotpath` on the machine of docs/how-to/many-machines.md. Other machines differ by a factor
of about two, which `TARGET_CORE_RATIO` leaves room for.
"""
CPU_S_PER_CONNECTION = 70e-6
"""Additional CPU seconds of opening a connection."""
CPU_S_PER_BYTE = 0.31e-9
"""Additional CPU seconds per byte of the body: mostly the kernel's copy into the socket."""
TARGET_CORE_RATIO = 0.6
"""CPU share of one core that a worker should need in the busiest second; above 0.9 a run is INVALID."""
MAX_WORKERS = 64
_WINDOW_S = 1.0
_ROUNDING_S = 1e-9
"""Moments in equal steps must not fall into a window because of their last bit."""


@dataclass(frozen=True, slots=True)
class LoadForecast:
    """Size and peak rates of a plan, if every page were delivered at once. Times are seconds from T0."""

    stations: int
    pages: int
    total_bytes: int
    first_s: float
    """When the first station arrives."""
    last_s: float
    peak_uploads_per_s: float
    """Pages due in the busiest second."""
    peak_bytes_per_s: float
    mean_uploads_per_s: float
    """Until the last station arrives."""
    beyond_deadline: int
    """Stations that arrive after the deadline."""


def forecast_load(plan: Plan, deadline_s: float) -> LoadForecast:
    """Size and peak rates of a plan, over whole seconds; for closed arrivals an upper bound."""
    due = plan.earliest_due_s
    last = float(due.max())
    pages_per_station = len(plan.slots)
    peak = int(np.bincount((due / _WINDOW_S).astype(np.int64)).max()) * pages_per_station
    mean_bytes = plan.total_bytes / plan.pages
    return LoadForecast(
        stations=len(plan.stations),
        pages=plan.pages,
        total_bytes=plan.total_bytes,
        first_s=float(due.min()),
        last_s=last,
        peak_uploads_per_s=peak / _WINDOW_S,
        peak_bytes_per_s=peak / _WINDOW_S * mean_bytes,
        mean_uploads_per_s=plan.pages / max(last, _WINDOW_S),
        beyond_deadline=int((due >= deadline_s).sum()),
    )


@dataclass(frozen=True, slots=True)
class ConnectionDemand:
    """Connections that a plan needs, over all workers."""

    arrivals_s: FloatArray
    """When the stations arrive that do so before the deadline: sorted, seconds from T0."""
    connections_per_station: int
    """Made by a station if all goes well: 1, or one per page; 0 if the worker keeps a pool."""
    stations_at_once: int
    """Stations active at once while the server hangs; each has at most one connection."""

    def made_within(self, window_s: float) -> int:
        """The greatest number of connections made within any window of this length."""
        return max_within(self.arrivals_s, window_s) * self.connections_per_station


def estimate_connections(plan: Plan, client: ClientOptions, deadline_s: float) -> ConnectionDemand:
    """Connections that a plan needs; for closed arrivals an upper bound, reached if the server takes no time."""
    earliest_s = plan.earliest_due_s
    arrivals_s = np.sort(earliest_s[earliest_s < deadline_s])
    per_station = {"new": 1, "each": len(plan.slots), "reuse": 0}[client.connection]
    at_once = max_within(arrivals_s, _max_station_s(plan, client, deadline_s))
    if plan.closed_loop is not None:
        at_once = len(plan.closed_loop.phones)  # a phone serves one station at a time
    return ConnectionDemand(arrivals_s, per_station, at_once)


def estimate_reads_at_once(readers: ReaderOptions | None, workers: int) -> int:
    """Reads in flight, over all workers, while the server hangs; each has a connection."""
    if readers is None:
        return 0
    return min(math.ceil(readers.rate * readers.timeout), MAX_READS_IN_FLIGHT * workers)


def max_within(sorted_s: FloatArray, window_s: float) -> int:
    """The greatest number of moments within any half-open window [t, t + window_s).

    >>> max_within(np.array([0.0, 0.5, 1.0, 1.2]), 1.0), max_within(np.array([]), 1.0)
    (3, 0)
    """
    upto = np.searchsorted(sorted_s, sorted_s + window_s - _ROUNDING_S, side="left")
    return int((upto - np.arange(len(sorted_s))).max(initial=0))


def _max_station_s(plan: Plan, client: ClientOptions, deadline_s: float) -> float:
    """How long a station is active while the server answers nothing."""
    retry = client.retry
    if retry.strategy == "none" or retry.max_attempts == 1:
        return min(deadline_s, retry.spread) + client.timeout * len(plan.slots)
    return deadline_s


@dataclass(frozen=True, slots=True)
class WorkerCount:
    """The number of worker processes that `--workers auto` chose, and why. `str()` explains it to the user."""

    workers: int
    needed: int
    """How many the plan needs, regardless of the number of cores."""
    cpu_s: float
    """CPU seconds of the plan's busiest second."""
    peak: LoadForecast
    cores: int
    reads_per_s: float = 0.0
    """Rate of the readers."""

    def __str__(self) -> str:
        reads = f", {self.reads_per_s:,.0f} reads" if self.reads_per_s else ""
        text = (
            f"--workers auto: {self.workers} (the plan's busiest second has {self.peak.peak_uploads_per_s:,.0f} uploads, "
            f"{self.peak.peak_bytes_per_s / 1e6:,.1f} MB{reads}: about {self.cpu_s:.2f} s of CPU; {self.cores} cores here)"
        )
        if self.needed > self.workers:
            text += f". The plan needs {self.needed}: expect INVALID, or add other machines (--remote-workers {self.needed})"
        return text


def choose_worker_count(scenario: Scenario, plan: Plan, cores: int) -> WorkerCount:
    """The fewest workers of which none exceeds `TARGET_CORE_RATIO` of a core in the plan's busiest second.

    At least 1, at most `cores` - 1: the server and the leader need a core too.
    """
    peak = forecast_load(plan, scenario.deadline)
    connections_per_upload = {"new": 1 / len(plan.slots), "each": 1.0, "reuse": 0.0}[scenario.client.connection]
    upload_cpu_s = CPU_S_PER_UPLOAD + CPU_S_PER_CONNECTION * connections_per_upload
    cpu_s = peak.peak_uploads_per_s * upload_cpu_s + peak.peak_bytes_per_s * CPU_S_PER_BYTE
    reads_per_s = 0.0 if scenario.readers is None else scenario.readers.rate
    cpu_s += reads_per_s * CPU_S_PER_UPLOAD  # over connections that are kept: about what a small upload costs
    needed = min(MAX_WORKERS, max(1, math.ceil(cpu_s / TARGET_CORE_RATIO)))
    return WorkerCount(min(needed, max(1, cores - 1)), needed, cpu_s, peak, cores, reads_per_s)


def parse_worker_count(text: str | None) -> int | None:
    """The number given by `--workers`: 1 if the option is absent, None for `auto`. Raises UsageError.

    >>> parse_worker_count("auto"), parse_worker_count(None), parse_worker_count("3")
    (None, 1, 3)
    """
    if text is None:
        return 1
    if text == "auto":
        return None
    # isascii: "³".isdigit() is true, and int() refuses it
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MAX_WORKERS:
        message = f'--workers "{text}" should be a number from 1 to {MAX_WORKERS}, or auto'
        raise UsageError(message)
    return int(text)
