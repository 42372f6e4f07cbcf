"""Rows selected by labels: of a duration, or attempts and deliveries to count, each with the moment it belongs to.

An attempt belongs to the moment it was due, a page to its first due time, a station to its planned time, a delivery to its
acknowledgement. Rows that belong to the warm-up are never selected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.attempts_table import CLEAR_PHASE
from harness.analysis.durations import DURATION_METRICS, DurationSamples
from harness.analysis.rows import Rows
from harness.base.model import OUTCOMES
from harness.run_folder.layout import RunFolder
from harness.run_folder.parquet import database, fetch_columns
from harness.scenario.stations import PLACE_LABELS

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

_ATTEMPT_LABELS = (*PLACE_LABELS, "form", "phase", "outcome", "worker")
_PAGE_LABELS = (*PLACE_LABELS, "form", "phase")
ROW_LABELS = {
    "attempts": _ATTEMPT_LABELS,
    "deliveries": _PAGE_LABELS,
    "response_seconds": _ATTEMPT_LABELS,
    "service_seconds": _ATTEMPT_LABELS,
    "lateness_seconds": _ATTEMPT_LABELS,
    "delivery_seconds": _PAGE_LABELS,
    "completion_seconds": (*PLACE_LABELS, "phase"),
    "reads": ("resource", "outcome", "worker"),
    "reader_seconds": ("resource", "outcome", "worker"),
}
"""The metrics that rows can be selected for, and the labels of each; stations of the user's own have others in place of places."""

_FORMS = "SELECT DISTINCT form FROM read_parquet(?, hive_partitioning = false) ORDER BY 1"
_FORM_NUMBERS = """
    SELECT list_position((SELECT list(DISTINCT form ORDER BY form) FROM read_parquet(?1, hive_partitioning = false)), form) - 1 AS number
    FROM read_parquet(?1, hive_partitioning = false, file_row_number = true) ORDER BY file_row_number
"""
_WORKERS = (
    "SELECT worker FROM read_parquet(?, hive_partitioning = false, file_row_number = true) ORDER BY file_row_number"
)


@dataclass(frozen=True)
class LabelMatcher:
    """One label matcher, with PromQL's semantics: a regular expression must match the whole value.

    >>> LabelMatcher("outcome", "=~", "timeout_.*").matches("timeout_send")
    True
    """

    label: str
    operator: str
    """`=`, `!=`, `=~` or `!~`."""
    value: str
    _pattern: re.Pattern[str] | None = field(init=False, compare=False, repr=False, default=None)

    def __post_init__(self) -> None:
        """Raises re.error if the value should be a regular expression and is not a valid one."""
        if self.operator.endswith("~"):
            object.__setattr__(self, "_pattern", re.compile(self.value))

    def matches(self, value: str) -> bool:
        """Whether a label with this value is selected. Values of `le` are compared as numbers: 1 and 1.0 are one bucket."""
        if self._pattern is not None:
            matched = self._pattern.fullmatch(value) is not None
        elif self.label == "le":
            matched = _number(value) == _number(self.value)
        else:
            matched = value == self.value
        return matched != self.operator.startswith("!")


def matchers_on(matchers: Iterable[LabelMatcher], *labels: str) -> list[LabelMatcher]:
    """Those of the matchers that test one of these labels."""
    return [matcher for matcher in matchers if matcher.label in labels]


def matchers_except(matchers: Iterable[LabelMatcher], *labels: str) -> list[LabelMatcher]:
    """Those of the matchers that test none of these labels."""
    return [matcher for matcher in matchers if matcher.label not in labels]


def all_match(matchers: Sequence[LabelMatcher], labels: Iterable[tuple[str, str]]) -> bool:
    """Whether a series with these labels is selected; as in PromQL a missing label counts as empty."""
    known = dict(labels)
    return all(matcher.matches(known.get(matcher.label, "")) for matcher in matchers)


@dataclass(frozen=True, slots=True)
class Selection:
    """Selected rows, in the order of the moments that they belong to."""

    t_s: FloatArray
    """Moments in seconds since T0, ascending. Shape (n,)."""
    value: FloatArray
    """Seconds, +infinity for what was never acknowledged; NaN for attempts and deliveries, which have no value. Shape (n,)."""
    population_s: FloatArray
    """Moments of the rows that a ratio is a share of: selected by all matchers but those on `outcome`. Ascending."""


@dataclass(frozen=True)
class RowSelector:
    """Selects among the rows of one run."""

    rows: Rows
    samples: DurationSamples
    folder: RunFolder

    def select(self, metric: str, matchers: Sequence[LabelMatcher]) -> Selection:
        """The rows of a metric that the matchers select.

        Raises KeyError for a metric that is not in `ROW_LABELS`, or of readers, whose rows are others (reads.py).
        """
        if metric == "deliveries":
            return self._deliveries(matchers)
        if metric in {"delivery_seconds", "completion_seconds"}:
            return self._waits(metric, matchers)
        if metric not in {"attempts", *DURATION_METRICS}:
            raise KeyError(metric)
        return self._attempts(metric, matchers)

    def _attempts(self, metric: str, matchers: Sequence[LabelMatcher]) -> Selection:
        attempts, samples = self.rows.attempts, self.samples
        value = self._value(metric)
        population = (
            samples.after_warm_up & self._in_place(matchers, attempts.page) & self._in_phase(matchers, attempts.due_s)
        )
        if metric != "attempts":
            population = population & np.isfinite(value)
        if matchers_on(matchers, "form"):
            population &= self._with_text(matchers, "form", self._forms)[attempts.page]
        if matchers_on(matchers, "worker"):
            population &= self._with_text(matchers, "worker", self._workers)
        of_outcome = matchers_on(matchers, "outcome")
        if of_outcome:
            matching = np.array([all_match(of_outcome, [("outcome", str(outcome))]) for outcome in OUTCOMES])
            chosen = population & matching[attempts.outcome]
        elif metric in {"response_seconds", "service_seconds"}:
            # As in the summary: a refused connection is over in no time and must not improve a response time unasked.
            chosen = population = population & samples.finished
        else:
            chosen = population
        return _sorted_by_time(attempts.due_s[chosen], value[chosen], attempts.due_s[population])

    def _value(self, metric: str) -> FloatArray:
        """The value of a metric for each attempt."""
        attempts = self.rows.attempts
        if metric == "attempts":
            return np.full(len(attempts.page), np.nan)
        if metric == "lateness_seconds":
            return attempts.sent_s - attempts.due_s
        return attempts.done_s - (attempts.sent_s if metric == "service_seconds" else attempts.due_s)

    def _waits(self, metric: str, matchers: Sequence[LabelMatcher]) -> Selection:
        t_s, value, number = self.samples.waits(metric)
        if metric == "completion_seconds":
            chosen = self._stations_in_place(matchers)[number]
        else:
            chosen = self._in_place(matchers, number)
            if matchers_on(matchers, "form"):
                chosen &= self._with_text(matchers, "form", self._forms)[number]
        chosen = chosen & self._in_phase(matchers, t_s)
        return _sorted_by_time(t_s[chosen], value[chosen], t_s[chosen])

    def _deliveries(self, matchers: Sequence[LabelMatcher]) -> Selection:
        """Pages acknowledged after the warm-up; the population is every page due, so that zero is an answer too."""
        rows, pages = self.rows, np.arange(self.rows.pages)
        fitting = self._in_place(matchers, pages)
        if matchers_on(matchers, "form"):
            fitting &= self._with_text(matchers, "form", self._forms)
        when = rows.acknowledged_s
        chosen = fitting & rows.delivered & (when >= rows.record.warm_up_s) & self._in_phase(matchers, when)
        population = fitting & (rows.station_due_s < rows.stop_s)
        # A phase that the run did not have makes the figure "no data" instead of a zero that could pass.
        if not any(all_match(matchers_on(matchers, "phase"), [("phase", name)]) for name in self._phase_names):
            population[:] = False
        return _sorted_by_time(when[chosen], np.full(int(chosen.sum()), np.nan), rows.station_due_s[population])

    def _in_place(self, matchers: Sequence[LabelMatcher], pages: npt.NDArray[np.integer]) -> BoolArray:
        """Which of these pages belong to a selected place."""
        if not matchers_on(matchers, *self.rows.places.labels):
            return np.ones(len(pages), dtype=np.bool_)
        chosen: BoolArray = self._stations_in_place(matchers)[self.rows.station_of_page[pages]]
        return chosen

    def _stations_in_place(self, matchers: Sequence[LabelMatcher]) -> BoolArray:
        """Which stations belong to a selected place. Shape (stations,)."""
        chosen = np.ones(len(self.rows.stations.code), dtype=np.bool_)
        for label in self.rows.places.labels:
            if found := matchers_on(matchers, label):
                values, number = self.rows.places.numbered(label)  # a matcher runs once per place, not per station
                matching = np.array([all_match(found, [(label, value)]) for value in values], dtype=np.bool_)
                chosen &= matching[number]
        return chosen

    def _in_phase(self, matchers: Sequence[LabelMatcher], times: FloatArray) -> BoolArray:
        found = matchers_on(matchers, "phase")
        if not found:
            return np.ones(len(times), dtype=np.bool_)
        phases = self.rows.record.phases
        matching = np.array([all_match(found, [("phase", name)]) for name in self._phase_names], dtype=np.bool_)
        starts = np.array([phase.start_s for phase in phases] or [0.0])
        known = np.isfinite(times)
        inside = matching[np.clip(np.searchsorted(starts, np.where(known, times, 0.0), side="right") - 1, 0, None)]
        return np.asarray(inside & known, dtype=np.bool_)

    def _with_text(self, matchers: Sequence[LabelMatcher], label: str, column: tuple[list[str], IntArray]) -> BoolArray:
        """Which rows of a column match; a column is its distinct texts, and for each row the number of its text."""
        texts, number = column
        matching = np.array(
            [all_match(matchers_on(matchers, label), [(label, text)]) for text in texts], dtype=np.bool_
        )
        return np.asarray(matching[number], dtype=np.bool_)

    @property
    def _phase_names(self) -> list[str]:
        return [phase.name for phase in self.rows.record.phases] or [CLEAR_PHASE]

    @cached_property
    def _forms(self) -> tuple[list[str], IntArray]:
        """The names of the forms, and the number of each page's form."""
        with database() as connection:
            names = fetch_columns(connection, _FORMS, self.folder.plan)["form"].tolist()
            return names, fetch_columns(connection, _FORM_NUMBERS, self.folder.plan)["number"].astype(np.int64)

    @cached_property
    def _workers(self) -> tuple[list[str], IntArray]:
        """The ranks of the workers, and the number of each attempt's worker."""
        with database() as connection:
            ranks = fetch_columns(connection, _WORKERS, self.folder.attempts)["worker"]
        distinct, number = np.unique(ranks, return_inverse=True)
        return [str(rank) for rank in distinct], number


def _sorted_by_time(t_s: FloatArray, value: FloatArray, population_s: FloatArray) -> Selection:
    """The selection in the order of time; rows that are sorted already (attempts usually are) are not copied."""
    if len(t_s) > 1 and (np.diff(t_s) < 0).any():
        order = np.argsort(t_s, kind="stable")
        t_s, value = t_s[order], value[order]
    if len(population_s) > 1 and (np.diff(population_s) < 0).any():
        population_s = np.sort(population_s)
    return Selection(t_s, value, population_s)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
