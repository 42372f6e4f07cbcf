"""The schema of summary.json: every figure that the report, the gate and a comparison use, and no judgement.

A dotted path into it ("stations.completed_by_deadline_ratio") is a metric for thresholds. None means that there is no such
figure: nothing was counted, or the sample is too small for the percentile.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _SummaryModel(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class Distribution(_SummaryModel):
    """The distribution of a duration, in seconds. Percentiles are order statistics of all rows.

    A percentile is None if the sample is too small for it. In delivery and completion, a page that was never acknowledged,
    or a station that never finished, counts as +infinity: a percentile that falls there is None, and `mean` and `max` are
    None as soon as `never` is above 0.
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
    """How many of `count` were never acknowledged, or never finished (+infinity)."""
    intervals: dict[str, tuple[float | None, float | None]] = {}
    """Bounds that contain each percentile with 95 % confidence, by its name; None is a bound beyond the sample."""


NOTHING_MEASURED = Distribution(count=0, mean=None, p50=None, p90=None, p95=None, p99=None, p99_9=None, max=None)
"""The distribution of an empty sample."""


class DistributionByOutcome(Distribution):
    """A distribution that is also split by outcome, so that quick refusals cannot improve a figure unnoticed."""

    by_outcome: dict[str, Distribution]


class Stations(_SummaryModel):
    """Counts of stations: `begun` have at least one row, `completed` have every page acknowledged."""

    planned: int
    due: int
    """Stations that arrived before the run stopped."""
    begun: int
    completed: int
    completed_by_deadline: int
    completed_ratio: float | None
    completed_by_deadline_ratio: float | None


class Pages(_SummaryModel):
    """Counts of pages: planned = delivered + undelivered + censored + unattempted, exactly."""

    planned: int
    attempted: int
    delivered: int
    undelivered: int
    """Attempted, not acknowledged, and not in flight at the end. Some may be on the server: see `audit.recovered`."""
    censored: int
    """Not acknowledged, with the last attempt in flight when the run ended."""
    unattempted: int
    """Not attempted: its station never arrived, the page before it never ended, or the strategy withheld it."""
    delivered_by_deadline: int
    gave_up_by_reason: dict[str, int]


class AuditCounts(_SummaryModel):
    """How many pages have each status of the audit; a page has exactly one, the first that fits in this order.

    So all but `unexpected` and `unsafe` add up to the pages planned. What depends on the server's store is None if it could
    not be read. `harness.analysis.page_status` defines each status.
    """

    misfiled: int | None
    corrupted: int | None
    altered: int | None
    duplicated: int | None
    resurrected: int | None
    lost: int | None
    unexpected: int | None
    """Stored copies that belong to no planned page."""
    ok: int | None
    recovered: int | None
    undelivered: int | None
    unattempted: int | None
    unsafe: int | None
    """The sum of the first seven, which no correct server causes."""


class FailureCount(_SummaryModel):
    """How many attempts failed in one way."""

    outcome: str
    status: int | None
    """HTTP status; None without a response."""
    reason: str
    """Why a response was malformed, or a success status no success; "" for other outcomes."""
    step: str = ""
    """The step that failed, by its name: of an upload of one request "login" or "upload". "" where it is not known."""
    request: str = ""
    """That step's method and path as the scenario has them; "" for the mock server."""
    stations: int = 0
    """Stations that it happened to."""
    attempts: int


class Attempts(_SummaryModel):
    """Counts of attempts. Those withheld by the strategy were not sent and do not count in the amplification."""

    total: int
    by_outcome: dict[str, int]
    amplification: float | None
    """Attempts sent ÷ pages attempted."""
    failures: list[FailureCount] = []
    """Each way in which attempts failed, most frequent first; outcomes that say nothing about the server are left out."""
    unusable: dict[str, int] = {}
    """What was wrong with answers whose status promised success -> attempts that it ended; the first kinds only."""
    resent_bytes: int
    sent_bytes: int
    resent_ratio: float | None
    """Bytes sent again ÷ bytes sent."""


class StepFigures(_SummaryModel):
    """One step of an upload that takes several requests."""

    name: str
    requests: int
    by_status: dict[str, int]
    """Requests by HTTP status, most frequent first; "no answer" where there was none."""
    seconds: Distribution
    """From the beginning of the request to the end of its answer, of those that were answered."""


class Rates(_SummaryModel):
    """Mean rates per second, all over one window.

    From T0 (or the end of the warm-up) to the end of the last attempt, or to the deadline if that came first.
    """

    over_s: float
    offered_per_s: float | None
    """Pages that became due; all pages of a station do when it arrives."""
    goodput_per_s: float | None
    """Pages delivered by the deadline."""
    throughput_per_s: float | None
    """Answers of any kind that came in the window."""
    sent_bytes_per_s: float | None


class ArrivalFigures(_SummaryModel):
    """What was asked of the server while stations arrived, and what it had not delivered when the last one had.

    `Rates` also cover the time after that, in which a backlog drains: there offered and goodput come near each other,
    whatever the overload was.
    """

    over_s: float
    """From T0 (or the end of the warm-up) to the arrival of the last station, or to the end of the run."""
    planned_per_s: float
    """Pages of the stations that arrived, all counted when their station did."""
    goodput_per_s: float
    """Pages delivered in that time."""
    backlog: int
    """Pages that were due and not delivered at its end."""


class Readers(_SummaryModel):
    """What became of the reads of readers: planned = answered + failed + unfinished, exactly."""

    planned: int
    """Reads that were due until the readers stopped, those of the warm-up included."""
    answered: int
    """Answered with what was asked for: 2xx or 304."""
    failed: int
    """Ended in any other way."""
    unfinished: int
    """In flight, or not begun, when the run ended."""
    answered_ratio: float | None
    """answered ÷ planned."""
    by_outcome: dict[str, int]
    """`accepted` are those answered."""
    reader_seconds: Distribution
    """From due to the end of the response, of reads that were answered in any way or timed out."""


class Silence(_SummaryModel):
    """The time at the end of the run in which the server answered nothing, or nothing that was of use."""

    since_s: float | None
    """When the last usable answer was complete; None if there never was one."""
    until_s: float
    """When the last of the attempts ended."""
    attempts: int
    """Number of attempts sent since then, none of them with a usable answer."""
    by_outcome: dict[str, int]
    """Most frequent first. With `malformed` or a status among them the server did answer."""
    by_status: dict[int, int] = {}
    """Statuses of the unusable answers, most frequent first; empty if nothing was answered."""


class Recovery(_SummaryModel):
    """How the system recovered from one fault."""

    fault: str
    ended_s: float
    recovered_after_s: float | None
    """Seconds from the end of the fault; None if it did not recover within the run."""
    metastable: bool | None
    """Whether it stays down under a load below its capacity; None if that cannot be determined."""


QUIET_PHASES = frozenset({"clear", "warm_up"})
"""Names of the phases in which no fault acts."""


class PhaseFigures(_SummaryModel):
    """The main figures of one phase; an attempt belongs to the phase of its due time.

    Rates are over the part of the phase before the end of the run and the deadline.
    """

    name: str
    start_s: float
    end_s: float
    attempts: int
    by_outcome: dict[str, int]
    response_seconds: Distribution
    """Of every attempt that was answered or timed out; quick refusals make it short, so read it beside the next two."""
    accepted_seconds: Distribution = NOTHING_MEASURED
    """Response times of accepted attempts alone."""
    failed_seconds: Distribution = NOTHING_MEASURED
    """The same of attempts that were refused, failed or timed out, refused and reset connections included."""
    offered_per_s: float | None
    goodput_per_s: float | None


class KelurahanFigures(_SummaryModel):
    """Completion of one kelurahan."""

    code: str
    name: str
    stations: int
    completed_by_deadline: int


class GroupFigures(_SummaryModel):
    """Completion of one group of the user's own stations."""

    group: str
    """What it is: the name of the column that groups the stations."""
    name: str
    stations: int
    completed_by_deadline: int


class KelurahanRecapitulation(_SummaryModel):
    """The recapitulation of one kelurahan; times are election seconds from T0."""

    code: str
    name: str
    stations: int
    by_hand: int
    """Stations that were never complete, and are entered by hand."""
    panel: int
    """From 1, in its kecamatan."""
    could_begin_s: float
    """When its last station was there (with begin = "any": its first)."""
    began_s: float
    ended_s: float
    undelayed_began_s: float
    """When it would have begun if every upload had been there from the beginning."""
    undelayed_ended_s: float
    late_s: float
    """Ended - undelayed end; below 0 if it went first because others were not there."""


class KecamatanRecapitulation(_SummaryModel):
    """The recapitulation of one kecamatan; times are election seconds from T0."""

    code: str
    stations: int
    by_hand: int
    ended_s: float
    undelayed_ended_s: float
    late_s: float
    spare_s: float
    """From its end to its deadline; below 0 if it missed it."""


class RecapitulationFigures(_SummaryModel):
    """What the uploads mean for the recapitulation, by the scenario's [recapitulation]; times are election seconds from T0."""

    t0_s: float
    """Time of day at T0."""
    deadline_s: float
    stations: int
    by_hand: int
    """Stations that were never complete, and are entered by hand."""
    ended_s: float
    """When the last kecamatan has ended."""
    undelayed_ended_s: float
    """When it would have ended if every upload had been there from the beginning."""
    late_s: float
    """The difference of the two."""
    spare_s: float
    """From its end to its deadline; below 0 if it missed it."""
    in_time_ratio: float
    """Share of the kelurahan that ended by the deadline."""
    kecamatan: list[KecamatanRecapitulation]
    kelurahan: list[KelurahanRecapitulation]


class Server(_SummaryModel):
    """What the server reports of itself (last scrape); None for a series that it does not publish."""

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
    ingress_utilisation_max_ratio: float | None = None
    """Greatest share of a second in which the shared way in was in use; None if it has no rate."""
    egress_utilisation_max_ratio: float | None = None
    """The same of the shared way out."""


class EndpointFailures(_SummaryModel):
    """A metrics endpoint of the user's own server, with scrapes that failed."""

    name: str
    url: str
    scrapes: int
    failed: int
    error: str
    """Why, of the most frequent kind: "HTTP status 404", for example."""


class Generator(_SummaryModel):
    """The generator's own health, from its exporters: the worst worker's."""

    workers: int
    workers_lost: int
    cpu_max_ratio: float | None
    """Greatest share of one core over a scrape interval."""
    cpu_above_90_ratio: float | None
    """Share of the run during which the worst worker was above 90 % of its core, or of the quota where that is less."""
    cpu_above_90_s: float | None
    quota_above_90_ratio: float | None = None
    """Share of the run during which all its processes together used above 90 % of the container's CPU quota; None without one."""
    loop_lag_max_s: float | None
    memory_max_bytes: float | None
    descriptors_max: float | None
    in_flight_max: float | None
    never_begun: int
    """Stations that should have arrived and have no row."""
    stale_connections: int = 0
    """Kept connections that the server had closed while they were idle, replaced before anything was sent on them."""
    scraped: dict[str, int]
    """Totals of the last scrape (attempts, delivered, due, …), to compare with the rows."""
    scrapes: int
    scrapes_failed: int


class Summary(_SummaryModel):
    """The whole content of summary.json; see each part."""

    format: int = 1
    run: str
    name: str
    seed: int
    simulated: bool = False
    """The run was played in virtual time: nothing was measured."""
    ended: str
    duration_s: float
    deadline_s: float
    stations: Stations
    pages: Pages
    audit: AuditCounts
    attempts: Attempts
    steps: list[StepFigures] = []
    """The steps of an upload that takes several requests; empty for one that takes one."""
    rates: Rates
    arrivals: ArrivalFigures | None = None
    """None where stations don't arrive by a plan (closed arrivals), or all at once."""
    response_seconds: DistributionByOutcome
    service_seconds: DistributionByOutcome
    delivery_seconds: Distribution
    completion_seconds: Distribution
    lateness_seconds: Distribution
    readers: Readers | None = None
    """None if the scenario has no readers."""
    silence: Silence | None = None
    """None if the server answered to the end."""
    recovery: list[Recovery]
    phases: list[PhaseFigures]
    kelurahan: list[KelurahanFigures]
    groups: list[GroupFigures] = []
    """What kelurahan are for a region, for stations of the user's own."""
    recapitulation: RecapitulationFigures | None = None
    """None without [recapitulation] in the scenario, and for a run that was cut short."""
    server: Server
    endpoints: list[EndpointFailures] = []
    """Of [[target.metrics]]: only those of which scrapes failed."""
    generator: Generator
