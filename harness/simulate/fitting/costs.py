"""The table [simulate] from the attempts of measured runs: what they took besides the link, the queue and the work.

Each estimate subtracts what the simulation itself computes (the phone's link, the drawn service time, what the server
reports in Server-Timing), so what remains is exactly what the simulation has to add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from harness.base.model import DELIVERED, OUTCOMES, Outcome
from harness.run_folder.attempt_timings import AttemptTimings
from harness.scenario.scenario import Scenario
from harness.simulate.incoming import CHUNK_BYTES
from harness.simulate.station_client import HEAD_BYTES, LOGIN_BYTES
from harness.station.link import LinkModel, draw_link_model
from mock_server.overload.service_time import ServiceTimes

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    BoolArray = npt.NDArray[np.bool_]

MIN_SAMPLES = 20
"""Fewer attempts than this say nothing reliable about a cost."""
MAX_SLOPE_SAMPLES = 1500
"""The slope over all pairs of attempts takes their number squared."""
_EVEN_LEVELS = (0.1, 0.5, 0.9)
_ONE_WAY = 0.5


@dataclass(frozen=True)
class MeasuredRun:
    """What the fit needs of one run."""

    name: str
    scenario: Scenario
    """As it was run; `server` says how an external target is modelled only if it was fitted before."""
    timings: AttemptTimings
    faulty: Sequence[tuple[float, float]] = ()
    """Intervals in which a fault acted: attempts that overlap them are left out."""


@dataclass(frozen=True)
class CostEstimate:
    """One constant: its median, how it is spread, and how many attempts it comes from."""

    name: str
    median: float
    """Seconds; of `send`, bytes per second."""
    low: float
    """The 10th percentile of single attempts; of `send` the lower end of the slope's 95 % interval."""
    high: float
    samples: int
    sigma: float = 0.0
    """Of the lognormal distribution with this median; 0 for a constant."""


def clear_of_faults(run: MeasuredRun) -> BoolArray:
    """Which attempts overlap no fault."""
    sent_s, done_s = run.timings.sent_s, run.timings.done_s
    clear = np.isfinite(sent_s) & np.isfinite(done_s)
    for begin_s, end_s in run.faulty:
        clear &= (done_s < begin_s) | (sent_s > end_s)
    return np.asarray(clear, dtype=np.bool_)


def ended_as(timings: AttemptTimings, outcomes: frozenset[Outcome]) -> BoolArray:
    """Which attempts had one of these outcomes."""
    return np.isin(timings.outcome, [OUTCOMES.index(outcome) for outcome in outcomes])


def attempt_numbers(timings: AttemptTimings) -> npt.NDArray[np.int64]:
    """How often each attempt's page had been sent, itself included: the number that the server is sent as X-Attempt."""
    order = np.lexsort((timings.sent_s, timings.page, timings.form.astype(str), timings.station.astype(str)))
    keys = list(zip(timings.station[order], timings.form[order], timings.page[order].tolist(), strict=True))
    numbers = np.empty(len(order), dtype=np.int64)
    before: tuple[object, ...] | None = None
    count = 0
    for place, key in zip(order.tolist(), keys, strict=True):
        count = count + 1 if key == before else 1
        before, numbers[place] = key, count
    return numbers


class _Links:
    """The link of each station, drawn as the run drew it."""

    def __init__(self, scenario: Scenario) -> None:
        self._client, self._seed = scenario.client, scenario.seed
        self._drawn: dict[str, LinkModel | None] = {}

    def of(self, station: str) -> LinkModel | None:
        if station not in self._drawn:
            self._drawn[station] = draw_link_model(self._client.link, self._seed, station)
        return self._drawn[station]

    def response_s(self, station: str, size_bytes: int, start_s: float) -> float:
        """How long a request and its response take on the link alone, if the server needs no time."""
        link = self.of(station)
        if link is None:
            return 0.0
        sent_s = link.signal_end_s(_ONE_WAY, start_s)
        begun_s = link.transfer_end_s(min(CHUNK_BYTES, size_bytes), sent_s)
        return link.signal_end_s(_ONE_WAY, max(begun_s, link.transfer_end_s(size_bytes, sent_s))) - start_s

    def connect_s(self, station: str, start_s: float) -> float:
        """How long a handshake takes on the link alone."""
        link = self.of(station)
        return 0.0 if link is None else link.signal_end_s(1.0, start_s) - start_s


def connect_seconds(run: MeasuredRun) -> FloatArray:
    """What connecting took beyond the link's round trip, of attempts that certainly opened a connection.

    Empty with connection = "reuse": which attempts took a connection from the pool is not recorded.
    """
    timings, connection = run.timings, run.scenario.client.connection
    if connection == "reuse":
        return np.empty(0)
    chosen = clear_of_faults(run) & np.isfinite(timings.connected_s)
    if connection == "new":  # a station's first attempt; later ones only reconnect after a failure
        chosen &= _first_of_station(timings)
    links = _Links(run.scenario)
    picked = timings.take(chosen)
    linked = [links.connect_s(*one) for one in zip(picked.station, picked.sent_s.tolist(), strict=True)]
    return np.asarray(picked.connected_s - picked.sent_s - np.array(linked))


def login_seconds(run: MeasuredRun) -> FloatArray:
    """What a login took beyond the link."""
    timings = run.timings.take(clear_of_faults(run) & np.isfinite(run.timings.login_s))
    links = _Links(run.scenario)
    linked = [
        links.response_s(station, LOGIN_BYTES, start_s)
        for station, start_s in zip(timings.station, timings.connected_s.tolist(), strict=True)
    ]
    return np.asarray(timings.login_s - np.array(linked))


def commit_seconds(run: MeasuredRun) -> FloatArray:
    """What the server reports beyond the service time that it drew: the commit, and its event loop's own delay.

    Empty where the drawn time isn't what a worker was busy: with contention, and with asynchronous reading.
    """
    profile = run.scenario.server
    if profile.contention_knee is not None or profile.reading == "asynchronous":
        return np.empty(0)
    chosen = clear_of_faults(run) & ended_as(run.timings, DELIVERED) & np.isfinite(run.timings.server_s)
    timings, numbers = run.timings.take(chosen), attempt_numbers(run.timings)[chosen]
    times = ServiceTimes(profile, run.scenario.seed)
    drawn = [
        times.seconds(*key)
        for key in zip(
            timings.station, timings.form, timings.page.tolist(), numbers.tolist(), timings.size_bytes.tolist(), strict=True
        )
    ]  # fmt: skip
    return np.asarray(timings.server_s - np.array(drawn))


def transfer_overheads(run: MeasuredRun) -> tuple[FloatArray, FloatArray]:
    """Sizes in bytes, and what a delivered upload took beyond link, login, queue, work and commit: parse, send and answer."""
    chosen = clear_of_faults(run) & ended_as(run.timings, DELIVERED) & np.isfinite(run.timings.server_s)
    timings = run.timings.take(chosen)
    starts = timings.connected_s + np.nan_to_num(timings.login_s)
    head, links = HEAD_BYTES[run.scenario.client.protocol], _Links(run.scenario)
    linked = [
        links.response_s(station, size + head, start_s)
        for station, size, start_s in zip(timings.station, timings.size_bytes.tolist(), starts.tolist(), strict=True)
    ]
    spent = timings.done_s - starts - np.nan_to_num(timings.queue_s) - timings.server_s - np.array(linked)
    return timings.size_bytes.astype(np.float64), np.asarray(spent)


def restart_seconds(run: MeasuredRun) -> list[float]:
    """What each restart after a `crash` took beyond the fault's restart_after, as the first new connection shows it.

    The middle between the last refused attempt and the first that was connected afterwards.
    """
    found = []
    timings = run.timings
    for fault in run.scenario.faults:
        if fault.kind != "crash" or getattr(fault, "restart_after", None) is None:
            continue
        crash_s = float(fault.start)
        due_s = crash_s + float(fault.restart_after)  # type: ignore[attr-defined]
        connected = timings.sent_s[np.isfinite(timings.connected_s) & (timings.sent_s > due_s)]
        refused = timings.sent_s[ended_as(timings, frozenset({Outcome.REFUSED})) & (timings.sent_s > crash_s)]
        if len(connected) and len(refused[refused < connected.min()]):
            up_s = (connected.min() + refused[refused < connected.min()].max()) / 2
            found.append(max(0.0, float(up_s) - due_s))
    return found


def estimate(name: str, samples: FloatArray) -> CostEstimate | None:
    """The median of a cost, never below 0; None with fewer than MIN_SAMPLES attempts."""
    samples = samples[np.isfinite(samples)]
    if len(samples) < MIN_SAMPLES:
        return None
    low, median, high = (max(0.0, float(value)) for value in np.quantile(samples, _EVEN_LEVELS))
    positive = samples[samples > 0]
    return CostEstimate(name, median, low, high, len(samples), _log_sigma(positive))


def _log_sigma(positive: FloatArray) -> float:
    """From the middle two thirds, so that a few stalls of the machine don't widen the whole distribution."""
    if len(positive) < MIN_SAMPLES:
        return 0.0
    low, high = np.quantile(np.log(positive), (stats.norm.cdf(-1.0), stats.norm.cdf(1.0)))
    return float(high - low) / 2


def fit_send(sizes: FloatArray, spent: FloatArray) -> tuple[CostEstimate | None, FloatArray]:
    """The rate at which a photo's bytes pass on an unlimited link, and what each upload took besides.

    The slope is Theil's and Sen's: the median over pairs, which a stalled upload can't pull. Where the photos are too much
    alike for a slope that is surely above 0, the rate is None and `spent` comes back as it is.
    """
    if len(sizes) < MIN_SAMPLES or np.ptp(sizes) == 0:
        return None, spent
    chosen = np.linspace(0, len(sizes) - 1, min(len(sizes), MAX_SLOPE_SAMPLES)).astype(np.int64)
    slope, _, low, high = stats.theilslopes(spent[chosen], sizes[chosen], 0.95)
    if low <= 0:
        return None, spent
    found = CostEstimate("send", 1 / float(slope), 1 / float(high), 1 / float(low), len(sizes))
    return found, np.asarray(spent - sizes * float(slope))


def _first_of_station(timings: AttemptTimings) -> BoolArray:
    _, first = np.unique(timings.station.astype(str), return_index=True)  # rows are in the order of their time
    chosen = np.zeros(len(timings), dtype=np.bool_)
    chosen[first] = True
    return chosen
