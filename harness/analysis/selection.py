"""Rows chosen by labels: of a sample, or attempts and deliveries to count, each with the moment it belongs to.

An attempt belongs to the moment it fell due, a page to its first due time, a station to its planned one; a delivery to
its acknowledgement. Rows that belong to the warm-up are in none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.durations import DURATION_METRICS, DurationSamples
from harness.analysis.label_matchers import LabelMatcher, all_match, matchers_on
from harness.analysis.rows import Rows
from harness.base.model import OUTCOMES
from harness.run_folder.layout import RunFolder
from harness.run_folder.parquet import database, fetch_columns

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

PLACE_DIGITS = {"province": 2, "kabupaten": 4, "kecamatan": 6, "kelurahan": 10, "station": 13}
"""Labels that name a place, and how many digits of the station's code they are."""
_ATTEMPT_LABELS = (*PLACE_DIGITS, "form", "phase", "outcome", "worker")
_PAGE_LABELS = (*PLACE_DIGITS, "form", "phase")
ROW_LABELS = {
    "attempts": _ATTEMPT_LABELS,
    "deliveries": _PAGE_LABELS,
    "response_seconds": _ATTEMPT_LABELS,
    "service_seconds": _ATTEMPT_LABELS,
    "lateness_seconds": _ATTEMPT_LABELS,
    "delivery_seconds": _PAGE_LABELS,
    "completion_seconds": (*PLACE_DIGITS, "phase"),
}
"""What rows there are to choose from, and by which labels."""


_FORMS = "SELECT DISTINCT form FROM read_parquet(?) ORDER BY 1"
_FORM_NUMBERS = """
    SELECT list_position((SELECT list(DISTINCT form ORDER BY form) FROM read_parquet(?1)), form) - 1 AS number
    FROM read_parquet(?1, file_row_number = true) ORDER BY file_row_number
"""
_WORKERS = "SELECT worker FROM read_parquet(?, file_row_number = true) ORDER BY file_row_number"


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows, in the order of the moments that they belong to."""

    t_s: FloatArray
    """Shape (n,), rising."""
    value: FloatArray
    """Seconds, +infinity for what never arrived; NaN for attempts and deliveries. Shape (n,)."""
    among_s: FloatArray
    """Moments of the rows they were chosen from: those that all rules but the ones about `outcome` choose. Rising."""


@dataclass(frozen=True)
class RowSelector:
    """Chooses among the rows of one run."""

    rows: Rows
    samples: DurationSamples
    folder: RunFolder

    def of(self, metric: str, rules: Sequence[LabelMatcher]) -> Selection:
        """The rows of a metric that the rules choose. Raises KeyError for a metric that is not in `ROW_LABELS`."""
        if metric == "deliveries":
            return self._deliveries(rules)
        if metric in {"delivery_seconds", "completion_seconds"}:
            return self._waits(metric, rules)
        if metric not in {"attempts", *DURATION_METRICS}:
            raise KeyError(metric)
        return self._attempts(metric, rules)

    def _attempts(self, metric: str, rules: Sequence[LabelMatcher]) -> Selection:
        """Without a rule about `outcome`, responses and service times are of answered and timed-out attempts only."""
        attempts, samples = self.rows.attempts, self.samples
        value = self._value(metric)
        among = samples.counted & self._with_place(rules, attempts.page) & self._in_phase(rules, attempts.due_s)
        if metric != "attempts":
            among = among & np.isfinite(value)
        if matchers_on(rules, "form"):
            among &= self._texts(rules, "form", self._forms)[attempts.page]
        if matchers_on(rules, "worker"):
            among &= self._texts(rules, "worker", self._workers)
        of_outcome = matchers_on(rules, "outcome")
        if of_outcome:
            chosen = (
                among & np.array([all_match(of_outcome, [("outcome", str(one))]) for one in OUTCOMES])[attempts.outcome]
            )
        elif metric in {"response_seconds", "service_seconds"}:
            chosen = among = among & samples.finished
        else:
            chosen = among
        return _sorted_by_time(attempts.due_s[chosen], value[chosen], attempts.due_s[among])

    def _value(self, metric: str) -> FloatArray:
        """What a metric says of each attempt."""
        attempts = self.rows.attempts
        if metric == "attempts":
            return np.full(len(attempts.page), np.nan)
        if metric == "lateness_seconds":
            return attempts.sent_s - attempts.due_s
        return attempts.done_s - (attempts.sent_s if metric == "service_seconds" else attempts.due_s)

    def _waits(self, metric: str, rules: Sequence[LabelMatcher]) -> Selection:
        t_s, value, which = self.samples.waits(metric)
        if metric == "completion_seconds":
            chosen = self._of_stations(rules)[which]
        else:
            chosen = self._with_place(rules, which)
            if matchers_on(rules, "form"):
                chosen &= self._texts(rules, "form", self._forms)[which]
        chosen = chosen & self._in_phase(rules, t_s)
        return _sorted_by_time(t_s[chosen], value[chosen], t_s[chosen])

    def _deliveries(self, rules: Sequence[LabelMatcher]) -> Selection:
        """Pages acknowledged after the warm-up, from among those that had fallen due: none of them is an answer too."""
        rows, pages = self.rows, np.arange(self.rows.pages)
        fitting = self._with_place(rules, pages)
        if matchers_on(rules, "form"):
            fitting &= self._texts(rules, "form", self._forms)
        when = rows.acknowledged_s
        chosen = fitting & rows.delivered & (when >= rows.record.warm_up_s) & self._in_phase(rules, when)
        among = fitting & (rows.station_due_s < rows.stop_s)
        if not any(all_match(matchers_on(rules, "phase"), [("phase", name)]) for name in self._phase_names):
            among[:] = False
        return _sorted_by_time(when[chosen], np.full(int(chosen.sum()), np.nan), rows.station_due_s[among])

    def _with_place(self, rules: Sequence[LabelMatcher], pages: npt.NDArray[np.integer]) -> BoolArray:
        """Which of these pages are of a place that the rules choose."""
        if not matchers_on(rules, *PLACE_DIGITS):
            return np.ones(len(pages), dtype=np.bool_)
        chosen: BoolArray = self._of_stations(rules)[self.rows.station_of_page[pages]]
        return chosen

    def _of_stations(self, rules: Sequence[LabelMatcher]) -> BoolArray:
        """Which stations are of a place that the rules choose. Shape (stations,)."""
        chosen = np.ones(len(self.rows.stations.code), dtype=np.bool_)
        for label, digits in PLACE_DIGITS.items():
            if found := matchers_on(rules, label):
                codes = self._codes.astype(f"U{digits}")
                first = np.ones(len(codes), dtype=np.bool_)
                first[1:] = codes[1:] != codes[:-1]  # the codes are sorted
                holds = np.array([all_match(found, [(label, str(code))]) for code in codes[first]], dtype=np.bool_)
                chosen &= holds[np.cumsum(first) - 1]
        return chosen

    def _in_phase(self, rules: Sequence[LabelMatcher], times: FloatArray) -> BoolArray:
        found = matchers_on(rules, "phase")
        if not found:
            return np.ones(len(times), dtype=np.bool_)
        phases = self.rows.record.phases
        holds = np.array([all_match(found, [("phase", name)]) for name in self._phase_names], dtype=np.bool_)
        starts = np.array([phase.start_s for phase in phases] or [0.0])
        known = np.isfinite(times)
        inside = holds[np.clip(np.searchsorted(starts, np.where(known, times, 0.0), side="right") - 1, 0, None)]
        return np.asarray(inside & known, dtype=np.bool_)

    def _texts(self, rules: Sequence[LabelMatcher], label: str, column: tuple[list[str], IntArray]) -> BoolArray:
        words, number = column
        holds = np.array([all_match(matchers_on(rules, label), [(label, word)]) for word in words], dtype=np.bool_)
        return np.asarray(holds[number], dtype=np.bool_)

    @property
    def _phase_names(self) -> list[str]:
        return [phase.name for phase in self.rows.record.phases] or ["clear"]

    @cached_property
    def _codes(self) -> npt.NDArray[np.str_]:
        return self.rows.stations.code.astype("U13")

    @cached_property
    def _forms(self) -> tuple[list[str], IntArray]:
        """The forms' names, and the number of each page's."""
        with database() as connection:
            words = fetch_columns(connection, _FORMS, self.folder.plan)["form"].tolist()
            return words, fetch_columns(connection, _FORM_NUMBERS, self.folder.plan)["number"].astype(np.int64)

    @cached_property
    def _workers(self) -> tuple[list[str], IntArray]:
        """The workers' ranks, and the number of each attempt's."""
        with database() as connection:
            ranks = fetch_columns(connection, _WORKERS, self.folder.attempts)["worker"]
        words, number = np.unique(ranks, return_inverse=True)
        return [str(word) for word in words], number


def _sorted_by_time(t_s: FloatArray, value: FloatArray, among_s: FloatArray) -> Selection:
    """In the order of time; rows that have it already are left as they are."""
    if len(t_s) > 1 and (np.diff(t_s) < 0).any():
        order = np.argsort(t_s, kind="stable")
        t_s, value = t_s[order], value[order]
    if len(among_s) > 1 and (np.diff(among_s) < 0).any():
        among_s = np.sort(among_s)
    return Selection(t_s, value, among_s)
