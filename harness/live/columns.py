"""Scrapes → columns of a chart: what happened in each second. The oldest are merged, so that there are never more than some hundred."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.scraped_metrics import (
    ATTEMPTS,
    BUSY,
    CPU,
    DELIVERED,
    DUE,
    GENERATOR_LAG,
    IN_FLIGHT,
    INJECTED,
    QUEUE,
    STORED,
)
from harness.base.model import ANSWERED, FAILURES, TIMED_OUT
from harness.run_folder.scrape_log import Scrape

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

MOST_COLUMNS = 300
"""More are narrower than a pixel or two; then pairs of neighbours become one."""
EDGES_S = (
    0.001, 0.0015, 0.0025, 0.004, 0.006, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 1.5, 2.5, 4.0, 6.0,
    10.0, 15.0, 25.0, 40.0, 60.0, float("inf"),
)  # fmt: skip
"""Upper ends of the heat map's rows: every second bucket of the live histograms, five per decade."""
RESPONSE, LATENESS = "harness_response_seconds_bucket", "harness_lateness_seconds_bucket"
FAULT_ACTIVE = "mock_server_fault_active"
_COUNTERS = {DUE: "due", DELIVERED: "delivered", STORED: "stored", CPU: "cpu_s"}
_GAUGES = {QUEUE: "queue", BUSY: "busy", IN_FLIGHT: "in_flight", GENERATOR_LAG: "lag_s"}
_LABELLED = {ATTEMPTS: "outcome", RESPONSE: "le", LATENESS: "le", FAULT_ACTIVE: "fault", INJECTED: "fault"}
_SAMPLE = re.compile(
    rf"^({'|'.join([*_COUNTERS, *_GAUGES, *_LABELLED])})(?:\{{(\w+)=\"([^\"]*)\"\}})? (\S+)$", re.MULTILINE
)
"""Our own exporters alone are read, so one label without escapes is all there is."""
_FAILED = {str(outcome) for outcome in FAILURES}
_SMOOTHED_COLUMNS = 5
"""Percentiles are over this many columns: of a single second they are mostly chance."""
_ANSWERED = {str(outcome) for outcome in ANSWERED | TIMED_OUT}


@dataclass
class TargetScrape:
    """What is needed of one scrape."""

    is_worker: bool
    t_s: float
    values: dict[str, float] = field(default_factory=dict)
    """By the names of `_COUNTERS` and `_GAUGES`."""
    labelled: dict[str, dict[str, float]] = field(default_factory=dict)
    """Series -> value of its label -> value."""


def parse_scrape(scrape: Scrape) -> TargetScrape:
    """The series of a scrape of our own exporters."""
    found = TargetScrape(scrape.target.startswith("worker-"), scrape.t_s)
    for name, label, text, value in _SAMPLE.findall(scrape.text):
        if name in _LABELLED and _LABELLED[name] == label:
            found.labelled.setdefault(name, {})[text] = float(value)
        elif not label:
            found.values[_COUNTERS.get(name) or _GAUGES[name]] = float(value)
    return found


@dataclass(frozen=True, slots=True)
class Column:
    """What happened between two scrapes. Counts are of that time, gauges its greatest values; None: not known."""

    from_s: float
    to_s: float
    due: float
    delivered: float
    failed: float
    answered: float
    responses: FloatArray
    """Shape (EDGES_S,): attempts by response time."""
    lateness: FloatArray
    """The same by lateness."""
    queue: float | None
    busy: float | None
    in_flight: float | None
    cpu_ratio: float | None
    """Of one core, of the worker that used most."""

    def merged(self, later: Column) -> Column:
        """This column and the next one as one."""
        return Column(
            self.from_s, later.to_s, self.due + later.due, self.delivered + later.delivered, self.failed + later.failed,
            self.answered + later.answered, self.responses + later.responses, self.lateness + later.lateness,
            _greatest([self.queue, later.queue]), _greatest([self.busy, later.busy]),
            _greatest([self.in_flight, later.in_flight]), _greatest([self.cpu_ratio, later.cpu_ratio]),
        )  # fmt: skip


class Columns:
    """The columns of a run so far. Not safe for several threads."""

    def __init__(self, targets: Collection[str]) -> None:
        """`targets` are the exporters that are scraped: a column is complete once each has answered."""
        self._targets = frozenset(targets)
        self._done: list[Column] = []
        self._open: list[Column] = []
        """The seconds of a column that is not as wide as the others yet."""
        self._width = 1
        self._latest: dict[str, TargetScrape] = {}
        self._before: dict[str, TargetScrape] = {}
        self._fresh: set[str] = set()
        self._from_s = 0.0
        self.generation = 0
        """Changes when columns were merged: who has drawn them begins anew."""

    @property
    def done(self) -> list[Column]:
        """All columns that will not change before the next merging."""
        return self._done

    def add(self, scrape: Scrape) -> None:
        """Take a scrape of our own exporters; a failed one, and one of a user's server, changes nothing."""
        name = scrape.target
        if not scrape.text or name not in self._targets:
            return
        try:
            found = parse_scrape(scrape)
        except ValueError:
            return  # malformed exposition: the scrape log has it
        if name in self._fresh:  # a second one of this target before the others: they do not answer
            self._close(self._latest[name].t_s)
        self._latest[name] = found
        self._fresh.add(name)
        if self._fresh == self._targets:
            self._close(scrape.t_s)

    def gauge(self, name: str) -> dict[str, float]:
        """The latest values of a labelled series, added up over the targets."""
        found: dict[str, float] = {}
        for target in self._latest.values():
            for label, value in target.labelled.get(name, {}).items():
                found[label] = found.get(label, 0.0) + value
        return found

    def recent(self) -> Column | None:
        """The last columns as one: what percentiles and rates of the moment are computed from; None without any."""
        return _merged(self._done[-_SMOOTHED_COLUMNS:] or self._open)

    def total(self) -> Column | None:
        """Everything since T0 as one column."""
        return _merged([*self._done, *self._open])

    def rows(self, first: int) -> list[list[Any]]:
        """The columns from the number `first` on as JSON takes them; `COLUMN_FIELDS` names their parts."""
        return [self._row(number) for number in range(first, len(self._done))]

    def _row(self, number: int) -> list[Any]:
        one = self._done[number]
        smooth = _merged(self._done[max(0, number + 1 - _SMOOTHED_COLUMNS) : number + 1]) or one
        seconds = max(one.to_s - one.from_s, 0.1)
        rates = [one.due / seconds, one.delivered / seconds, one.failed / seconds, one.answered / seconds]
        shown = [percentile_of(smooth.responses, quantile) for quantile in (0.5, 0.95, 0.99)]
        late = percentile_of(smooth.lateness, 0.99)
        numbers = [one.from_s, one.to_s, *rates, *shown, one.queue, one.busy, one.in_flight, one.cpu_ratio, late]
        return [*(None if value is None else round(value, 5) for value in numbers), one.responses.astype(int).tolist()]

    def _close(self, t_s: float) -> None:
        """Everything since the last column becomes one, unless that is not half a second ago."""
        if t_s - self._from_s < 0.5:
            return
        if t_s > 0 and self._from_s >= 0:
            self._open.append(self._difference(t_s))
            if len(self._open) >= self._width:
                self._done += filter(None, [_merged(self._open)])
                self._open = []
        self._before, self._fresh, self._from_s = dict(self._latest), set(), max(0.0, t_s)
        if len(self._done) > MOST_COLUMNS:
            pairs = range(0, len(self._done) - 1, 2)
            rest = self._done[-1:] if len(self._done) % 2 else []
            self._open = [*rest, *self._open]
            self._done = [self._done[at].merged(self._done[at + 1]) for at in pairs]
            self._width *= 2
            self.generation += 1

    def _difference(self, t_s: float) -> Column:
        responses, lateness = self._histogram(RESPONSE), self._histogram(LATENESS)
        outcomes = {name: self._labelled(ATTEMPTS, name) for name in self.gauge(ATTEMPTS)}
        gauges = {
            name: _total([one.values.get(name) for one in self._latest.values()])
            for name in ("queue", "busy", "in_flight")
        }
        return Column(
            self._from_s, t_s, self._counted("due"), self._counted("delivered"),
            sum(count for name, count in outcomes.items() if name in _FAILED),
            sum(count for name, count in outcomes.items() if name in _ANSWERED),
            responses, lateness, gauges["queue"], gauges["busy"], gauges["in_flight"], self._cpu_ratio(),
        )  # fmt: skip

    def _counted(self, name: str) -> float:
        return sum(
            max(0.0, one.values.get(name, 0.0) - self._value_before(target, name))
            for target, one in self._latest.items()
        )

    def _value_before(self, target: str, name: str) -> float:
        before = self._before.get(target)
        return 0.0 if before is None else before.values.get(name, 0.0)

    def _labelled(self, name: str, label: str) -> float:
        found = 0.0
        for target, one in self._latest.items():
            before = self._before.get(target)
            known = 0.0 if before is None else before.labelled.get(name, {}).get(label, 0.0)
            found += max(0.0, one.labelled.get(name, {}).get(label, 0.0) - known)
        return found

    def _histogram(self, name: str) -> FloatArray:
        """Counts by the rows of the heat map."""
        bounds = {float(text): text for text in self.gauge(name)}
        below = np.array([self._labelled(name, bounds[edge]) if edge in bounds else np.nan for edge in EDGES_S])
        if np.isnan(below).any():
            return np.zeros(len(EDGES_S))  # before the first scrape
        return np.maximum(np.diff(below, prepend=0.0), 0.0)

    def _cpu_ratio(self) -> float | None:
        found = []
        for target, one in self._latest.items():
            before = self._before.get(target)
            if one.is_worker and before is not None and one.t_s - before.t_s >= 0.5 and "cpu_s" in one.values:
                found.append((one.values["cpu_s"] - before.values.get("cpu_s", 0.0)) / (one.t_s - before.t_s))
        return max(found, default=None)


COLUMN_FIELDS = (
    "from", "to", "offered", "goodput", "failures", "answers", "p50", "p95", "p99", "queue", "busy", "in_flight", "cpu", "late",
    "heat",
)  # fmt: skip
"""The parts of a row of `Columns.rows`: times in seconds since T0, rates per second, percentiles in seconds."""


def percentile_of(counts: FloatArray, quantile: float) -> float | None:
    """A percentile from counts by the rows of the heat map, interpolated within its row; None without any.

    >>> percentile_of(np.array([10.0] + [0.0] * (len(EDGES_S) - 1)), 0.5)
    0.0005
    """
    total = float(counts.sum())
    if total <= 0:
        return None
    upto = np.cumsum(counts)
    row = int(np.searchsorted(upto, quantile * total))
    low, high = (EDGES_S[row - 1] if row else 0.0), EDGES_S[row]
    if high == float("inf"):
        return low
    inside = (quantile * total - (upto[row - 1] if row else 0.0)) / counts[row]
    return float(low + (high - low) * inside)


def _merged(columns: Iterable[Column]) -> Column | None:
    found: Column | None = None
    for one in columns:
        found = one if found is None else found.merged(one)
    return found


def _greatest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
