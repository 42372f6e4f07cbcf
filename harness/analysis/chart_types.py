"""What the charts draw: plain arrays over elapsed seconds since T0, computed from a run folder once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChartLine:
    """A named curve: `t_s` and `value` of one shape (n,); gaps are NaN."""

    label: str
    t_s: FloatArray
    value: FloatArray


@dataclass(frozen=True, slots=True)
class RateLines:
    """Pages and answers per second between scrapes, from the Prometheus scrapes of the generator, workers summed."""

    offered: ChartLine
    goodput: ChartLine
    throughput: ChartLine
    outcomes: list[ChartLine]
    """Attempts per second, a line an outcome that occurred (labels are Outcome values), most frequent first."""


@dataclass(frozen=True, slots=True)
class ResponseCharts:
    """Responses over time, from the rows of answered and timed-out attempts, binned by due time."""

    percentiles: list[ChartLine]
    """p50, p95, p99 over the due time: bins of a second, joined up to 10 s where a second can't bear the percentile; NaN
    where ten can't either. So each line has its own `t_s`, the middles of its bins."""
    edges_t_s: FloatArray
    """Shape (columns + 1,)."""
    edges_response_s: FloatArray
    """Shape (rows + 1,), logarithmic."""
    counts: IntArray
    """Shape (rows, columns)."""


@dataclass(frozen=True, slots=True)
class CompletionLines:
    """Share of stations complete over time, from the rows."""

    total: ChartLine
    planned: ChartLine
    """Share of stations whose time had come."""
    kelurahan: list[ChartLine]


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """The server's own view, from its scrapes; empty lines where it publishes no such series."""

    queue_depth: ChartLine
    workers_busy: ChartLine
    active_requests: ChartLine
    shed: ChartLine
    """Refusals per second."""
    wasted: ChartLine
    """Units of wasted work per second."""


@dataclass(frozen=True, slots=True)
class GeneratorHealth:
    """The generator's own health: lateness from the rows, the rest from its scrapes, a line a worker."""

    lateness: list[ChartLine]
    """p50, p99 (bins as in `ResponseCharts.percentiles`) and max (a bin a second) over the due time, in seconds."""
    cpu: list[ChartLine]
    """Share of one core, a line a worker."""
    memory: list[ChartLine]
    """Resident bytes, a line a worker."""
    in_flight: ChartLine


@dataclass(frozen=True, slots=True)
class ProcessHealth:
    """What one process of the run used, from samples a second apart; None for what nobody knows."""

    name: str
    cpu_mean_ratio: float | None
    """Share of one core."""
    cpu_max_ratio: float | None
    cpu_above_90_s: float | None
    """Seconds above 90 % of a core."""
    loop_lag_max_s: float | None
    memory_max_bytes: int
    descriptors_max: int
    samples: int


@dataclass(frozen=True, slots=True)
class TimeBreakdown:
    """Where the time of delivered attempts went, by due time."""

    parts: list[ChartLine]
    """Mean seconds of an attempt, in the order of the attempt: connect, log in, send, queue, service, answer."""
    attempts: IntArray
    """How many attempts each mean stands for. Shape of each part's."""


@dataclass(frozen=True, slots=True)
class AttemptsPerPage:
    """Pages by the number of attempts made: index 0 is none. Both of one shape."""

    delivered: IntArray
    not_delivered: IntArray


@dataclass(frozen=True, slots=True)
class StationProgress:
    """How one station fared."""

    code: str
    kelurahan: str
    due_s: float
    completed_s: float | None
    """None if a page is missing."""
    pages: int
    delivered: int
    attempts: int


@dataclass(frozen=True, slots=True)
class FaultWindow:
    """A fault's interval, to shade and name."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class ChartData:
    """Everything that the charts of one run draw."""

    rates: RateLines
    responses: ResponseCharts
    completion: CompletionLines
    server: ServerHealth
    generator: GeneratorHealth
    windows: list[FaultWindow]
    deadline_s: float
    end_s: float
    time_scale: float
    time_spent: TimeBreakdown | None = None
    tries: AttemptsPerPage | None = None
    worst: list[StationProgress] = field(default_factory=list)
    """Stations that missed pages, then those that took longest; not all of them."""
    processes: list[ProcessHealth] = field(default_factory=list)
    """Every process of the run on the master's machine; empty where nobody looked."""
    notes: list[str] = field(default_factory=list)
    """What is missing from the folder, in words (a torn run)."""
