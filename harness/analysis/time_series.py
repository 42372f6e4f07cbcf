"""Scrapes -> time series: each series that an exporter published, as an array over the times of its scrapes."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby
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
_DECLARED = re.compile(r"\n# TYPE (\S+) ")
"""In a text that begins with a line feed: a search for one skips what is between, a search for `^` looks at every character."""

_NATIVE_HISTOGRAM = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?[ \t]+\{')
"""Its value is a structure (OpenMetrics 2.0): `x{a="b"} {count:5,sum:1.5,schema:3,…}`."""
_QUOTED_CHARACTERS = 80
_START_TIME = "process_start_time_seconds"
_SEVERAL = (
    "several processes answer in turn at the /metrics of {}, each with its own counts: let the server add them up, or give each "
    "process a port and an entry in [[target.metrics]]"
)
COUNTER_SUFFIXES = ("_total", "_count", "_sum", "_bucket")
"""How the counters of an external server are distinguished from its gauges: by the naming convention of Prometheus."""

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
    restarted: BoolArray | None = None
    """Scrapes of which `process_start_time_seconds` shows that another process answered than before. Shape (n,)."""
    problem: str = ""
    """Why no figure can be computed from these series; "" if one can."""

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
            without_resets(np.where(answered & np.isnan(values), 0.0, values), self.restarted)
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
        return None if labelled is None else sum((counter_total(one, self.restarted) for one in labelled.values()), 0.0)

    def final_count_by(self, name: str, label: str) -> dict[str, int]:
        """The same for each value of a label."""
        found: dict[str, int] = {}
        for labels, values in self.columns.get(name, {}).items():
            key = dict(labels).get(label, "")
            found[key] = found.get(key, 0) + round(counter_total(values, self.restarted))
        return found


class SeriesBuilder:
    """Builds the named series of one target from scrapes that arrive one after another.

    Only the lines of these series are parsed: parsing an hour of scrapes completely would take a minute. A scrape that
    cannot be parsed counts as failed.
    """

    def __init__(self, target: str, names: Collection[str]) -> None:
        self._target = target
        self._names = names
        # With x_count also x: a native histogram has its count inside, and must not look as if there were none.
        bases = {name.removesuffix(suffix) for name in names for suffix in ("_count", "_sum", "_bucket")}
        wanted = _one_of(sorted({*names, *bases, _START_TIME}))
        self._wanted = re.compile(rf"\n({wanted}(?=[{{ \t]|$).*)", re.MULTILINE)  # as `_DECLARED`
        self._unreadable = ""
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
        lines = f"\n{text}"
        self._families.update(_DECLARED.findall(lines))
        samples = self._parse(lines) if text else None
        self._failed += samples is None
        self._up.append(samples is not None)
        for key, value in (samples or {}).items():
            self._values.setdefault(key, {})[row] = value

    def _parse(self, lines: str) -> dict[tuple[str, Labels], float] | None:
        """The samples of the wanted series; None if the target answered in another format."""
        samples = {}
        try:
            for line in self._wanted.findall(lines):
                series, value = _split_sample(line)
                # The next scrape repeats name and labels letter by letter, so each series is parsed once per run.
                if series not in self._parsed:
                    self._parsed[series] = _parse_series(series)
                samples[self._parsed[series]] = float(value)
        except ValueError as error:
            self._unreadable = self._unreadable or f"a scrape of {self._target} can't be read: {error}"
            return None
        return samples

    def build(self) -> TargetSeries:
        """The series of all scrapes so far."""
        columns: dict[str, dict[Labels, FloatArray]] = {name: {} for name in self._names if name in self._families}
        started = np.full(len(self._times), np.nan)
        for (name, labels), known in self._values.items():
            column = np.full(len(self._times), np.nan)
            column[list(known)] = list(known.values())
            if name == _START_TIME and not labels:
                started = column
            if name in self._names:  # and not the start time, or a gauge with the name of another's counter
                columns.setdefault(name, {})[labels] = column
        counters = [column for name in columns if name.endswith(COUNTER_SUFFIXES) for column in columns[name].values()]
        # What was read may be less than what was there: a figure of it would be wrong, and not even visibly.
        problem = self._unreadable or (_SEVERAL.format(self._target) if _are_several(started, counters) else "")
        up = np.array(self._up, dtype=np.bool_)
        return TargetSeries(
            self._target, np.array(self._times), columns, self._failed, up=up,
            restarted=_changes(started), problem=problem,
        )  # fmt: skip


def read_series(folder: Path, target: str, names: Collection[str]) -> TargetSeries:
    """The named series of a target, from the scrapes in `folder`; empty if the target was never scraped."""
    if target not in scrape_log.list_targets(folder):
        return TargetSeries(target, np.empty(0))
    builder = SeriesBuilder(target, names)
    for scrape in scrape_log.read_scrapes(folder, target):
        builder.add(scrape.t_s, scrape.text)
    return builder.build()


def counter_total(values: FloatArray, restarted: BoolArray | None = None) -> float:
    """What a counter has counted: its last value plus the value before each reset; `restarted` as in `without_resets`.

    >>> counter_total(np.array([3.0, 5.0, np.nan, 1.0, 2.0]))
    7.0
    """
    unbroken = without_resets(values, restarted)
    known = unbroken[~np.isnan(unbroken)]
    return float(known[-1]) if len(known) else 0.0


def without_resets(values: FloatArray, restarted: BoolArray | None = None) -> FloatArray:
    """A counter as if its process had never restarted, as PromQL's `increase` treats it. NaN stays NaN.

    A counter that fell was reset. One that had counted more again by the next scrape did not fall: `restarted`, with the same
    shape, marks the scrapes that another process answered.

    >>> without_resets(np.array([3.0, 5.0, 7.0]), np.array([False, False, True]))
    array([ 3.,  5., 12.])
    """
    known = ~np.isnan(values)
    counts = values[known]
    fell = np.diff(counts) < 0
    if restarted is not None and len(counts):
        # a restart may fall on a scrape without this counter: it counts for the next one that has it
        fell |= np.diff(np.cumsum(restarted)[known]) > 0
    lost = np.concatenate([[0.0], np.cumsum(np.where(fell, counts[:-1], 0.0))]) if len(counts) else counts
    joined = values.copy()
    joined[known] = counts + lost
    return joined


def _changes(started: FloatArray) -> BoolArray:
    """At which scrapes a start time differs from the one known before."""
    changed = np.zeros(len(started), dtype=np.bool_)
    known = np.flatnonzero(~np.isnan(started))
    changed[known[1:]] = np.diff(started[known]) != 0
    return changed


def _are_several(started: FloatArray, counters: Sequence[FloatArray]) -> bool:
    """Whether more than one process answered, in turn: each has counted only its own part.

    Their start times alternate: one that another has followed comes back. Without start times, a counter that falls and is back
    above by the next scrape, more than once, is two counters; a restarted one begins anew and stays below for a while.
    """
    known = started[~np.isnan(started)]
    if len(known):
        runs = known[np.append(True, np.diff(known) != 0)]
        return len(runs) > len(np.unique(runs))
    return any(_alternates(column[~np.isnan(column)]) for column in counters)


def _alternates(counts: FloatArray) -> bool:
    fell_and_is_back = (counts[1:-1] < counts[:-2]) & (counts[2:] >= counts[:-2])
    return int(fell_and_is_back.sum()) > 1


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


def _one_of(names: Sequence[str]) -> str:
    """A pattern for these names, sorted, that compares what they begin with once: most lines are decided by that.

    >>> _one_of(["ab", "ac_d", "x"])
    '(?:x|a(?:c_d|b))'
    """
    if len(names) == 1:
        return re.escape(names[0])
    parts = [
        re.escape(letter) + (_one_of([name[1:] for name in group]) if letter else "")
        for letter, group in groupby(names, key=lambda name: name[:1])
    ]
    return f"(?:{'|'.join(reversed(parts))})"  # the longer ones before ""


def _split_sample(line: str) -> tuple[str, str]:
    """The series of a sample, as written, and its value. Raises ValueError for a line that is not a sample.

    >>> _split_sample('shed_total{reason="a } b"} 3.0 1700000000')
    ('shed_total{reason="a } b"}', '3.0')
    >>> _split_sample('x_total{a="b"} 500 # {trace_id="q"} 1')
    ('x_total{a="b"}', '500')
    """
    found = _SAMPLE.fullmatch(line)
    if found is None and _NATIVE_HISTOGRAM.match(line):
        name = re.split(r"[{ \t]", line, maxsplit=1)[0]
        message = f"{name} is a native histogram: let the server expose it with classic buckets"
        raise ValueError(message)
    # Python reads 1_000 as a number, Prometheus does not
    if found is None or "_" in found[2]:
        message = f"not a sample: {line[:_QUOTED_CHARACTERS]}"
        raise ValueError(message)
    return found[1], found[2]


def _parse_series(series: str) -> tuple[str, Labels]:
    """The name and labels of a series. Raises ValueError if they cannot be parsed."""
    try:
        for family in text_string_to_metric_families(f"{series} 1\n"):
            for sample in family.samples:
                return sample.name, frozenset(sample.labels.items())
    except ValueError:
        pass  # the parser's own message names neither the line nor what is wrong with it
    message = f"not a sample: {series[:_QUOTED_CHARACTERS]}"
    raise ValueError(message)
