"""Scrapes -> curves: each series that an exporter published, as an array over the moments it was scraped."""

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
"""Scrapes further apart than this (one a second is usual) leave a gap in a chart."""
MIN_RATE_INTERVAL_S = 0.5
"""A rate over less than this is mostly rounding: such a scrape is passed over."""

_DECLARED = re.compile(r"^# TYPE (\S+) ", re.MULTILINE)

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class TargetSeries:
    """What one target published. `t_s` has shape (n,): a row a scrape, failed ones with NaN in every series."""

    target: str
    t_s: FloatArray
    series: dict[str, dict[Labels, FloatArray]] = field(default_factory=dict)
    """Name, then labels, of every series that was asked for and found; each of shape (n,).

    A name without labels is of a family that was declared and has had no member: a counter that never counted.
    """
    failed: int = 0
    longest_gap_s: float = MAX_GAP_S
    """Longer gaps between scrapes are gaps in a chart too."""
    up: BoolArray = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    """Scrapes that were answered in a format that can be read. Shape (n,)."""

    def total(self, name: str) -> FloatArray | None:
        """A series summed over its labels, NaN where no label had a value; None where there is no such series."""
        labelled = self.series.get(name)
        if not labelled:
            return None
        stacked = np.vstack(list(labelled.values()))
        known = ~np.isnan(stacked).all(axis=0)
        return np.where(known, np.nansum(stacked, axis=0), np.nan)

    def counter(self, name: str, only: tuple[str, Collection[str]] | None = None) -> FloatArray | None:
        """A counter summed over its labels, as if its process had never restarted; None where there is none.

        `only` chooses by a label's values. A label value that an exporter does not show yet has counted nothing. NaN
        where the target did not answer.
        """
        if name not in self.series:
            return None
        answered = self.up
        chosen = [
            without_resets(np.where(answered & np.isnan(values), 0.0, values))
            for labels, values in self.series.get(name, {}).items()
            if only is None or dict(labels).get(only[0]) in only[1]
        ]
        return np.sum(chosen, axis=0) if chosen else np.where(answered, 0.0, np.nan)

    def greatest(self, name: str, from_s: float = 0.0) -> float | None:
        """Greatest value of a gauge since `from_s`; None where there is none."""
        values = self.total(name)
        seen = np.empty(0) if values is None else values[(self.t_s >= from_s) & ~np.isnan(values)]
        return float(seen.max()) if len(seen) else None

    def counted(self, name: str) -> float | None:
        """All that a counter has counted, over every restart of its process; None where there is none."""
        labelled = self.series.get(name)
        return None if labelled is None else sum((counter_total(values) for values in labelled.values()), 0.0)

    def counted_by(self, name: str, label: str) -> dict[str, int]:
        """The same, by the values of a label."""
        found: dict[str, int] = {}
        for labels, values in self.series.get(name, {}).items():
            key = dict(labels).get(label, "")
            found[key] = found.get(key, 0) + round(counter_total(values))
        return found


class SeriesBuilder:
    """Curves of the named series from scrapes that come one after another.

    Only lines of the asked-for series are parsed: an hour of scrapes would take a minute otherwise. A scrape that can't
    be parsed counts as failed.
    """

    def __init__(self, target: str, names: Collection[str]) -> None:
        self._target = target
        self._names = names
        self._wanted = re.compile(rf"^(?:{'|'.join(re.escape(name) for name in names)})(?=[{{ ]).*$", re.MULTILINE)
        self._times: list[float] = []
        self._up: list[bool] = []
        self._families: set[str] = set()
        self._values: dict[tuple[str, Labels], dict[int, float]] = {}
        self._parsed: dict[str, tuple[str, Labels]] = {}
        self._failed = 0

    def add(self, t_s: float, text: str) -> None:
        """Take a scrape; its text is "" where the target didn't answer."""
        row = len(self._times)
        self._times.append(t_s)
        self._families.update(_DECLARED.findall(text))
        samples = self._samples(text)
        self._failed += samples is None
        self._up.append(samples is not None)
        for key, value in (samples or {}).items():
            self._values.setdefault(key, {})[row] = value

    def _samples(self, text: str) -> dict[tuple[str, Labels], float] | None:
        """Samples of the wanted series in an exposition; None where the target didn't answer or not in this format.

        A series is parsed when it is first seen: the next scrapes repeat its name and labels letter by letter.
        """
        if not text:
            return None
        samples = {}
        try:
            for line in self._wanted.findall(text):
                series, value = _split_sample(line)
                if series not in self._parsed:
                    self._parsed[series] = _parse_series(series)
                samples[self._parsed[series]] = float(value)
        except (ValueError, IndexError):
            return None
        return samples

    def curves(self) -> TargetSeries:
        """All that was taken so far."""
        series: dict[str, dict[Labels, FloatArray]] = {name: {} for name in self._names if name in self._families}
        for (name, labels), known in self._values.items():
            column = np.full(len(self._times), np.nan)
            column[list(known)] = list(known.values())
            series.setdefault(name, {})[labels] = column
        up = np.array(self._up, dtype=np.bool_)
        return TargetSeries(self._target, np.array(self._times), series, self._failed, up=up)


def read_series(folder: Path, target: str, names: Collection[str]) -> TargetSeries:
    """Curves of the named series from a target's scrapes; without any where it was never scraped."""
    if target not in scrape_log.list_targets(folder):
        return TargetSeries(target, np.empty(0))
    builder = SeriesBuilder(target, names)
    for scrape in scrape_log.read_scrapes(folder, target):
        builder.add(scrape.t_s, scrape.text)
    return builder.curves()


def counter_total(values: FloatArray) -> float:
    """What a counter has counted: its last value, plus what it had before each fall back to the start.

    >>> counted(np.array([3.0, 5.0, np.nan, 1.0, 2.0]))
    7.0
    """
    unbroken = without_resets(values)
    seen = unbroken[~np.isnan(unbroken)]
    return float(seen[-1]) if len(seen) else 0.0


def without_resets(values: FloatArray) -> FloatArray:
    """A counter as if its process had never restarted: no falls. NaN stays NaN."""
    known = ~np.isnan(values)
    seen = values[known]
    falls = np.diff(seen) < 0
    lost = np.concatenate([[0.0], np.cumsum(np.where(falls, seen[:-1], 0.0))]) if len(seen) else seen
    joined = values.copy()
    joined[known] = seen + lost
    return joined


def rates_between_scrapes(t_s: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Rates of a counter between consecutive scrapes that have it: starts, ends and rates, shapes (m,).

    A failed scrape makes the interval longer, not the rate wrong; a scrape less than half a second after the one before
    is passed over; a restart counts from nothing.
    """
    known = ~np.isnan(values)
    times, seen = t_s[known], without_resets(values)[known]
    kept = _spaced(times)
    times, seen = times[kept], seen[kept]
    return times[:-1], times[1:], np.diff(seen) / np.diff(times)


def _spaced(times: FloatArray) -> list[int]:
    kept: list[int] = []
    for place, time_s in enumerate(times):
        if not kept or time_s - times[kept[-1]] >= MIN_RATE_INTERVAL_S:
            kept.append(place)
    return kept


def _split_sample(line: str) -> tuple[str, str]:
    """A sample's series, as it stands there, and its value. Raises IndexError where there is none.

    >>> _apart('shed_total{reason="a } b"} 3.0 1700000000')
    ('shed_total{reason="a } b"}', '3.0')
    """
    end = line.rfind("}") + 1 or line.index(" ")
    return line[:end], line[end:].split(maxsplit=1)[0]


def _parse_series(series: str) -> tuple[str, Labels]:
    """Name and labels. Raises ValueError where they can't be read."""
    for family in text_string_to_metric_families(f"{series} 1\n"):
        for sample in family.samples:
            return sample.name, frozenset(sample.labels.items())
    raise ValueError(series)
