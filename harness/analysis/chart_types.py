"""What the charts draw: plain arrays over seconds since T0, computed from a run folder once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from harness.analysis.summary import Distribution
    from harness.analysis.traces import TracedAttempts
    from harness.analysis.unacknowledged import StationEnd, UnacknowledgedPages

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChartLine:
    """A named line: `t_s` and `value` both of shape (n,); gaps are NaN."""

    label: str
    t_s: FloatArray
    value: FloatArray


@dataclass(frozen=True, slots=True)
class RateLines:
    """Pages and answers per second, from the scrapes of the generator, summed over workers."""

    offered: ChartLine
    goodput: ChartLine
    throughput: ChartLine
    outcomes: list[ChartLine]
    """Attempts per second, one line per outcome that occurred (labels are Outcome values), most frequent first."""


@dataclass(frozen=True, slots=True)
class BacklogLines:
    """What fell due, what was delivered and what was left, from the rows, up to the deadline or the end of the run."""

    due: ChartLine
    """Pages that fell due per second, in bins of a second, drawn at their middles."""
    delivered: ChartLine
    """Pages acknowledged per second, in the same bins."""
    outstanding: ChartLine
    """Pages due and neither acknowledged nor given up."""
    given_up: ChartLine
    """Pages given up so far that were never acknowledged."""
    typical_wait_s: float | None
    """Median time from a station's arrival to a page's acknowledgement; None if none was delivered."""
    last_delivery_s: float | None
    """When the last page was acknowledged by the deadline; None if none was."""
    last_rate_per_s: float
    """Pages delivered per second in the last quarter of the run."""


@dataclass(frozen=True, slots=True)
class ResponseCharts:
    """Responses over time, from the rows, binned by due time."""

    percentiles: list[ChartLine]
    """p50, p95 and p99 of accepted uploads: refusals are quick, and would make an overloaded server look fast. Bins of a
    second, joined up to 10 s where a second has too few values for the percentile; NaN where ten seconds have too few, and
    where a joined bin would bridge a gap. So each line has its own `t_s`, the middles of its bins."""
    failed: ChartLine
    """The median of uploads that were refused, failed or timed out, binned in the same way."""
    edges_t_s: FloatArray
    """Shape (columns + 1,)."""
    edges_response_s: FloatArray
    """Shape (rows + 1,), logarithmic."""
    counts: IntArray
    """Every attempt that was answered or timed out. Shape (rows, columns)."""


@dataclass(frozen=True, slots=True)
class CompletionLines:
    """Share of stations that are complete, over time, from the rows."""

    total: ChartLine
    planned: ChartLine
    """Share of stations that had arrived."""
    kelurahan: list[ChartLine]
    """A line per kelurahan, or per group of the user's own stations."""
    group: str = "kelurahan"
    """What these places are called; "" if the stations have no groups."""


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """What the server reports of itself, from its scrapes; lines are empty where it publishes no such series."""

    queue_depth: ChartLine
    workers_busy: ChartLine
    active_requests: ChartLine
    shed: ChartLine
    """Refusals per second."""
    wasted: ChartLine
    """Units of wasted work per second."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What the mock server was configured to bear; None for an external server, or where there is no limit."""

    workers: int | None = None
    queue_capacity: int | None = None


@dataclass(frozen=True, slots=True)
class GeneratorHealth:
    """The generator's own health: lateness from the rows, the rest from its scrapes, one line per worker."""

    lateness: list[ChartLine]
    """p50, p99 (bins as in `ResponseCharts.percentiles`) and max (one bin per second) over due time, in seconds."""
    cpu: list[ChartLine]
    """Share of one core, one line per worker."""
    memory: list[ChartLine]
    """Resident bytes, one line per worker."""
    in_flight: ChartLine


@dataclass(frozen=True, slots=True)
class ProcessHealth:
    """What one process of the run used, from one sample per second; None for what is not known."""

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
    """Number of attempts behind each mean, of the same shape."""
    has_server_timing: bool = True
    """Whether the server has said how long attempts waited for it, and were served; else that is part of the answer."""


@dataclass(frozen=True, slots=True)
class AttemptsPerPage:
    """Number of pages by attempts made: index 0 is pages without any. Both of the same shape."""

    delivered: IntArray
    not_delivered: IntArray


@dataclass(frozen=True, slots=True)
class PhaseDelivery:
    """Delivery of the pages that first fell due in a phase; phases of one name (a fault that came twice) are one."""

    phase: str
    distribution: Distribution


@dataclass(frozen=True, slots=True)
class StationProgress:
    """How far one station got."""

    code: str
    kelurahan: str
    due_s: float
    completed_s: float | None
    """None if a page is missing."""
    pages: int
    delivered: int
    attempts: int
    waited_s: float = 0.0
    """From its arrival until it was complete, gave up or was cut off."""
    end: StationEnd = "complete"


@dataclass(frozen=True, slots=True)
class FaultWindow:
    """The interval of a fault, to be shaded and labelled."""

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
    backlog: BacklogLines | None = None
    server_limits: ServerLimits = field(default_factory=ServerLimits)
    delivery_by_phase: list[PhaseDelivery] = field(default_factory=list)
    """In the order in which the phases came; empty if there was only one."""
    worst: list[StationProgress] = field(default_factory=list)
    """Stations that missed pages, then those that took longest; both lists are cut off."""
    processes: list[ProcessHealth] = field(default_factory=list)
    """Every process of the run; empty if they were not monitored."""
    unacknowledged: UnacknowledgedPages | None = None
    """None if the run was read from memory only."""
    traced: TracedAttempts | None = None
    """Attempts with their trace ids; None if the requests carried none."""
    notes: list[str] = field(default_factory=list)
    """What is missing from the folder, one sentence each."""
