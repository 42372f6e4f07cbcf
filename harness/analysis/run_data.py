"""Everything that a threshold can be held against: the rows of a run, and every series that was scraped."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harness.analysis.durations import DurationSamples
from harness.analysis.label_matchers import LabelMatcher, all_match, matchers_except, matchers_on
from harness.analysis.rows import Rows
from harness.analysis.scraped_metrics import RunSeries, read_run_series
from harness.analysis.selection import RowSelector, Selection
from harness.analysis.time_series import TargetSeries, read_series, without_resets
from harness.run_folder import scrape_log
from harness.run_folder.layout import RunFolder, RunRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


class SeriesSource(Protocol):
    """Where scraped series come from: of a finished run, or of one that is under way."""

    def targets(self, name: str) -> Sequence[TargetSeries]:
        """Curves of every target that was asked for a series."""


@dataclass(frozen=True, slots=True)
class CounterSum:
    """Counters summed: what they had counted at each scrape of each target that has them."""

    parts: tuple[tuple[FloatArray, FloatArray], ...]
    """Times and values, of the scrapes that were answered."""

    def at(self, time_s: float) -> float:
        """What they had counted by then: between two scrapes on the straight line, outside as at the nearest one."""
        return sum(float(np.interp(time_s, times, values)) for times, values in self.parts if len(times))

    def between(self, from_s: float, to_s: float) -> float:
        """What they counted in between."""
        return self.at(to_s) - self.at(from_s)

    def seen(self, from_s: float, to_s: float) -> bool:
        """Whether any of them was scraped in between."""
        return any(((times >= from_s) & (times <= to_s)).any() for times, _ in self.parts)

    @property
    def last_s(self) -> float:
        """The last scrape."""
        return max((float(times[-1]) for times, _ in self.parts if len(times)), default=0.0)


def select_gauge(source: SeriesSource, name: str, rules: Sequence[LabelMatcher]) -> Selection:
    """The samples of a gauge, of every series that the rules choose, in the order of their scrapes."""
    times, values = [np.empty(0)], [np.empty(0)]
    for curves, members in _matching_series(source, name, rules):
        for column in members:
            known = ~np.isnan(column)
            times.append(curves.t_s[known])
            values.append(column[known])
    t_s, value = np.concatenate(times), np.concatenate(values)
    order = np.argsort(t_s, kind="stable")
    return Selection(t_s[order], value[order], t_s[order])


def select_counter(source: SeriesSource, name: str, rules: Sequence[LabelMatcher]) -> CounterSum | None:
    """The counters that the rules choose; None where no target that they choose has a counter of that name.

    A label's value that an exporter doesn't show yet has counted nothing; a restart loses nothing.
    """
    parts = []
    for curves, members in _matching_series(source, name, rules):
        columns = [without_resets(np.where(np.isnan(one), 0.0, one)[curves.up]) for one in members]
        total = np.sum(columns, axis=0) if columns else np.zeros(int(curves.up.sum()))
        parts.append((curves.t_s[curves.up], total))
    return CounterSum(tuple(parts)) if parts else None


def _matching_series(
    source: SeriesSource, name: str, rules: Sequence[LabelMatcher]
) -> Iterable[tuple[TargetSeries, list[FloatArray]]]:
    of_target, of_series = matchers_on(rules, "target"), matchers_except(rules, "target")
    for curves in source.targets(name):
        if name in curves.series and all_match(of_target, [("target", curves.target)]):
            found = curves.series[name].items()
            yield curves, [values for labels, values in found if all_match(of_series, labels)]


@dataclass
class RunData:
    """The rows and scrapes of one finished run."""

    folder: RunFolder
    rows: Rows
    _curves: dict[str, list[TargetSeries]] = field(default_factory=dict)

    @property
    def record(self) -> RunRecord:
        """What run.json says."""
        return self.rows.record

    @property
    def stop_s(self) -> float:
        """When the run stopped making attempts."""
        return self.rows.stop_s

    @cached_property
    def samples(self) -> DurationSamples:
        """The durations as samples."""
        return DurationSamples(self.rows)

    @cached_property
    def exporters(self) -> RunSeries:
        """What server and generator said of themselves."""
        return read_run_series(self.folder.scrapes)

    @cached_property
    def _choice(self) -> RowSelector:
        return RowSelector(self.rows, self.samples, self.folder)

    def chosen(self, metric: str, rules: Sequence[LabelMatcher]) -> Selection:
        """The rows of a metric that the rules choose."""
        return self._choice.of(metric, rules)

    def read(self, names: Collection[str]) -> None:
        """Read these series from the scrapes, all at once: a long run's scrapes take a while."""
        missing = [name for name in names if name not in self._curves]
        if not missing:
            return
        folder = self.folder.scrapes
        found = [read_series(folder, target, missing) for target in scrape_log.list_targets(folder)]
        self._curves.update(dict.fromkeys(missing, found))

    def targets(self, name: str) -> Sequence[TargetSeries]:
        """Curves of every target that was scraped."""
        self.read([name])
        return self._curves[name]


@dataclass(frozen=True)
class LiveSeries:
    """Series of a run that is under way."""

    curves: Mapping[str, TargetSeries]
    """By target."""

    def targets(self, name: str) -> Sequence[TargetSeries]:  # noqa: ARG002 - every target was asked for every series
        """Curves of every target that was scraped so far."""
        return list(self.curves.values())
