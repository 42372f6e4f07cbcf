"""Scrapes -> time series: each series that an exporter published, as an array over the times of its scrapes."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from harness.run_folder import scrape_log

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]

MAX_GAP_S = 2.5
"""Scrapes further apart than this (one per second is usual) leave a gap in a chart."""
MIN_RATE_INTERVAL_S = 0.5
"""A rate over a shorter interval is mostly rounding error, so such a scrape is skipped."""

_SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?)[ \t]+([^\s{]+)(?:[ \t]+[-+.0-9eE]+)?(?:[ \t]+#[ \t].*)?[ \t]*'
)
"""Series, value, time and exemplar of a line (Prometheus' text format and OpenMetrics). An exemplar has a value of its own."""
_DECLARED = re.compile(r"^# TYPE (\S+) ", re.MULTILINE)

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class TargetSeries:
    """What one target published. `t_s` has shape (n,), one entry per scrape; a failed scrape has NaN in every column."""

    target: str
    t_s: FloatArray
    columns: dict[str, dict[Labels, FloatArray]] = field(default_factory=dict)
    """By name, then labels: every requested series that was found, each of shape (n,).

    A name without labels belongs to a family that was declared and has no member: a counter that never counted.
    """
    failed: int = 0
    max_gap_s: float = MAX_GAP_S
    """Scrapes further apart than this leave a gap in a chart."""
    up: BoolArray = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    """Scrapes that were answered in a readable format. Shape (n,)."""

    def total(self, name: str) -> FloatArray | None:
        """A series summed over its labels, NaN where no label had a value; None if there is no such series."""
        labelled = self.columns.get(name)
        if not labelled:
            return None
        stacked = np.vstack(list(labelled.values()))
        known = ~np.isnan(stacked).all(axis=0)
        return np.where(known, np.nansum(stacked, axis=0), np.nan)

    def counter(self, name: str, only: tuple[str, Collection[str]] | None = None) -> FloatArray | None:
        """A counter summed over its labels, as if its process had never restarted; None if there is none.

        `only` selects by the values of one label. A label value that the exporter does not show yet counts as 0. NaN
        where the target did not answer.
        """
        if name not in self.columns:
            return None
        answered = self.up
        chosen = [
            without_resets(np.where(answered & np.isnan(values), 0.0, values))
            for labels, values in self.columns.get(name, {}).items()
            if only is None or dict(labels).get(only[0]) in only[1]
        ]
        return np.sum(chosen, axis=0) if chosen else np.where(answered, 0.0, np.nan)

    def maximum(self, name: str, from_s: float = 0.0) -> float | None:
        """The greatest value of a gauge since `from_s`; None if there is none."""
        values = self.total(name)
        known = np.empty(0) if values is None else values[(self.t_s >= from_s) & ~np.isnan(values)]
        return float(known.max()) if len(known) else None

    def final_count(self, name: str) -> float | None:
        """All that a counter has counted, summed over labels and restarts; None if there is no such counter."""
        labelled = self.columns.get(name)
        return None if labelled is None else sum((counter_total(values) for values in labelled.values()), 0.0)

    def final_count_by(self, name: str, label: str) -> dict[str, int]:
        """The same for each value of a label."""
        found: dict[str, int] = {}
        for labels, values in self.columns.get(name, {}).items():
            key = dict(labels).get(label, "")
            found[key] = found.get(key, 0) + round(counter_total(values))
        return found


class SeriesBuilder:
    """Builds the named series of one target from scrapes that arrive one after another.

    Only the lines of these series are parsed: parsing an hour of scrapes completely would take a minute. A scrape that
    cannot be parsed counts as failed.
    """

    def __init__(self, target: str, names: Collection[str]) -> None:
        self._target = target
        self._names = names
        self._wanted = re.compile(rf"^(?:{'|'.join(re.escape(name) for name in names)})(?=[{{ \t]|$).*$", re.MULTILINE)
        self._times: list[float] = []
        self._up: list[bool] = []
        self._families: set[str] = set()
        self._values: dict[tuple[str, Labels], dict[int, float]] = {}
        self._parsed: dict[str, tuple[str, Labels]] = {}
        self._failed = 0

    def add(self, t_s: float, text: str) -> None:
        """Add a scrape; `text` is empty if the target did not answer."""
        row = len(self._times)
        self._times.append(t_s)
        self._families.update(_DECLARED.findall(text))
        samples = self._parse(text)
        self._failed += samples is None
        self._up.append(samples is not None)
        for key, value in (samples or {}).items():
            self._values.setdefault(key, {})[row] = value

    def _parse(self, text: str) -> dict[tuple[str, Labels], float] | None:
        """The samples of the wanted series; None if the target did not answer, or in another format."""
        if not text:
            return None
        samples = {}
        try:
            for line in self._wanted.findall(text):
                series, value = _split_sample(line)
                # The next scrape repeats name and labels letter by letter, so each series is parsed once per run.
                if series not in self._parsed:
                    self._parsed[series] = _parse_series(series)
                samples[self._parsed[series]] = float(value)
        except ValueError:
            return None
        return samples

    def build(self) -> TargetSeries:
        """The series of all scrapes so far."""
        columns: dict[str, dict[Labels, FloatArray]] = {name: {} for name in self._names if name in self._families}
        for (name, labels), known in self._values.items():
            column = np.full(len(self._times), np.nan)
            column[list(known)] = list(known.values())
            columns.setdefault(name, {})[labels] = column
        up = np.array(self._up, dtype=np.bool_)
        return TargetSeries(self._target, np.array(self._times), columns, self._failed, up=up)


def read_series(folder: Path, target: str, names: Collection[str]) -> TargetSeries:
    """The named series of a target, from the scrapes in `folder`; empty if the target was never scraped."""
    if target not in scrape_log.list_targets(folder):
        return TargetSeries(target, np.empty(0))
    builder = SeriesBuilder(target, names)
    for scrape in scrape_log.read_scrapes(folder, target):
        builder.add(scrape.t_s, scrape.text)
    return builder.build()


def counter_total(values: FloatArray) -> float:
    """What a counter has counted: its last value plus the value before each reset.

    >>> counter_total(np.array([3.0, 5.0, np.nan, 1.0, 2.0]))
    7.0
    """
    unbroken = without_resets(values)
    known = unbroken[~np.isnan(unbroken)]
    return float(known[-1]) if len(known) else 0.0


def without_resets(values: FloatArray) -> FloatArray:
    """A counter as if its process had never restarted, as PromQL's `increase` treats it. NaN stays NaN."""
    known = ~np.isnan(values)
    counts = values[known]
    fell = np.diff(counts) < 0
    lost = np.concatenate([[0.0], np.cumsum(np.where(fell, counts[:-1], 0.0))]) if len(counts) else counts
    joined = values.copy()
    joined[known] = counts + lost
    return joined


def rates_between_scrapes(t_s: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Rates of a counter between consecutive scrapes that have it: starts, ends and rates per second, shapes (m,).

    A failed scrape makes the interval longer, not the rate wrong. A scrape less than half a second after the one before
    is skipped.
    """
    known = ~np.isnan(values)
    times, counts = t_s[known], without_resets(values)[known]
    kept = _spaced(times)
    times, counts = times[kept], counts[kept]
    return times[:-1], times[1:], np.diff(counts) / np.diff(times)


def _spaced(times: FloatArray) -> list[int]:
    kept: list[int] = []
    for index, time_s in enumerate(times):
        if not kept or time_s - times[kept[-1]] >= MIN_RATE_INTERVAL_S:
            kept.append(index)
    return kept


def _split_sample(line: str) -> tuple[str, str]:
    """The series of a sample, as written, and its value. Raises ValueError for a line that is not a sample.

    >>> _split_sample('shed_total{reason="a } b"} 3.0 1700000000')
    ('shed_total{reason="a } b"}', '3.0')
    >>> _split_sample('x_total{a="b"} 500 # {trace_id="q"} 1')
    ('x_total{a="b"}', '500')
    """
    found = _SAMPLE.fullmatch(line)
    # Python reads 1_000 as a number, Prometheus does not
    if found is None or "_" in found[2]:
        raise ValueError(line)
    return found[1], found[2]


def _parse_series(series: str) -> tuple[str, Labels]:
    """The name and labels of a series. Raises ValueError if they cannot be parsed."""
    for family in text_string_to_metric_families(f"{series} 1\n"):
        for sample in family.samples:
            return sample.name, frozenset(sample.labels.items())
    raise ValueError(series)
