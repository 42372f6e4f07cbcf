"""The content of summary.json: every figure that the report, the gate and a comparison use, and no judgement.

A dotted path into it ("stations.completed_by_deadline_ratio") is a metric for thresholds. None means that there is no
such figure: nothing was counted, or the sample is too small for the percentile.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _SummaryModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class Distribution(_SummaryModel):
    """A distribution in figures, seconds. Percentiles are order statistics of every row; n/a is None.

    In delivery and completion what never arrived counts as +infinity: a percentile that falls there is None and
    `beyond` says how many they are; `mean` and `max` are None as soon as there is one.
    """

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p99_9: float | None
    max: float | None
    p99_99: float | None = None
    never: int = 0
    """How many of `count` never arrived (+infinity)."""
    intervals: dict[str, tuple[float | None, float | None]] = {}
    """Bounds that hold each percentile with 95 % confidence, by its name; None is a bound beyond what was seen."""


class DistributionByOutcome(Distribution):
    """A distribution, also split by outcome, so that quick refusals can't improve a figure unseen."""

    by_outcome: dict[str, Distribution]


class Stations(_SummaryModel):
    """Stations, counted. `begun` made at least one attempt; `completed` have every page acknowledged."""

    planned: int
    due: int
    """Stations whose time had come before the run ended."""
    begun: int
    completed: int
    completed_by_deadline: int
    completed_ratio: float | None
    completed_by_deadline_ratio: float | None


class Pages(_SummaryModel):
    """Pages, counted: planned = delivered + undelivered + censored + unattempted, exactly."""

    planned: int
    attempted: int
    delivered: int
    undelivered: int
    """Attempted, not acknowledged, and not in flight at the end."""
    censored: int
    """Not acknowledged, the last attempt in flight when the run ended."""
    unattempted: int
    """Never tried, whether its station's turn never came, the page before never ended or the strategy withheld it."""
    delivered_by_deadline: int
    gave_up_by_reason: dict[str, int]


class AuditCounts(_SummaryModel):
    """What became of every planned page: exactly one category each, the first that fits, in this order.

    So all but `unexpected` and `unsafe` add up to the pages planned. What needs the server's store is None where it could
    not be read. `harness.analysis.page_status` has the definitions.
    """

    misfiled: int | None
    corrupted: int | None
    altered: int | None
    duplicated: int | None
    resurrected: int | None
    lost: int | None
    unexpected: int | None
    """Copies held that are no planned page."""
    ok: int | None
    recovered: int | None
    undelivered: int | None
    unattempted: int | None
    unsafe: int | None
    """The first seven together: what no server may bring about."""


class Attempts(_SummaryModel):
    """Attempts, counted. Those withheld by the strategy were not sent and are not in the amplification."""

    total: int
    by_outcome: dict[str, int]
    amplification: float | None
    """Attempts sent ÷ pages attempted."""
    resent_bytes: int
    sent_bytes: int
    resent_ratio: float | None
    """Bytes sent again ÷ bytes sent."""


class Rates(_SummaryModel):
    """Means over the time from T0 (or the end of the warm-up) to the last attempt's end, per second."""

    over_s: float
    offered_per_s: float | None
    """Pages falling due: all of a station's when it turns up."""
    goodput_per_s: float | None
    """Pages delivered by the deadline."""
    throughput_per_s: float | None
    """Answers of any kind."""
    sent_bytes_per_s: float | None


class Silence(_SummaryModel):
    """The stretch at the end of the run in which the server answered nothing any more."""

    since_s: float | None
    """When the last answer was whole; None if there never was one."""
    until_s: float
    """When the last attempt that stayed without an answer ended."""
    attempts: int
    """Sent since then, all of them without an answer."""
    by_outcome: dict[str, int]
    """The most frequent first."""


class Recovery(_SummaryModel):
    """How the system came back after one fault."""

    fault: str
    ended_s: float
    recovered_after_s: float | None
    """Seconds from the fault's end; None means never within the run."""
    metastable: bool | None
    """Whether it stays down under a load that it could bear; None where there is no telling."""


class PhaseFigures(_SummaryModel):
    """The main figures of one phase (attempts belong to the phase of their due time)."""

    name: str
    start_s: float
    end_s: float
    attempts: int
    by_outcome: dict[str, int]
    response_seconds: Distribution
    offered_per_s: float | None
    goodput_per_s: float | None


class KelurahanFigures(_SummaryModel):
    """Completion of one kelurahan."""

    code: str
    name: str
    stations: int
    completed_by_deadline: int


class Server(_SummaryModel):
    """What the server says of itself (last scrape); None where it has no such series."""

    wasted_work: int | None
    shed: int | None
    shed_by_reason: dict[str, int]
    answered: int | None
    stored: int | None
    queue_depth_max: float | None
    workers_busy_max: float | None
    faults_injected: dict[str, int]
    loop_lag_max_s: float | None
    scrapes: int
    scrapes_failed: int


class Generator(_SummaryModel):
    """The generator's own health, from its exporters, worst worker."""

    workers: int
    workers_lost: int
    cpu_max_ratio: float | None
    """Greatest share of one core over a scrape interval."""
    cpu_above_90_ratio: float | None
    """Share of the run that the worst worker stood above 90 % of its core."""
    cpu_above_90_s: float | None
    loop_lag_max_s: float | None
    memory_max_bytes: float | None
    descriptors_max: float | None
    in_flight_max: float | None
    never_begun: int
    """Stations whose time had come and that were never begun."""
    scraped: dict[str, int]
    """Totals from the last scrape: attempts, delivered, due. To hold against the rows."""
    scrapes: int
    scrapes_failed: int


class Summary(_SummaryModel):
    """Everything. See each part."""

    format: int = 1
    run: str
    name: str
    seed: int
    ended: str
    duration_s: float
    deadline_s: float
    stations: Stations
    pages: Pages
    audit: AuditCounts
    attempts: Attempts
    rates: Rates
    response_seconds: DistributionByOutcome
    service_seconds: DistributionByOutcome
    delivery_seconds: Distribution
    completion_seconds: Distribution
    lateness_seconds: Distribution
    silence: Silence | None = None
    """None where answers came to the end."""
    recovery: list[Recovery]
    phases: list[PhaseFigures]
    kelurahan: list[KelurahanFigures]
    server: Server
    generator: Generator
