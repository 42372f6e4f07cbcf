"""Everything that a threshold can be evaluated against: the rows of a run, and every series that was scraped."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harness.analysis.durations import DurationSamples
from harness.analysis.reads import READ_METRICS, ReadColumns, load_reads, select_reads
from harness.analysis.rows import Rows
from harness.analysis.scraped_metrics import RunSeries, read_run_series
from harness.analysis.selection import LabelMatcher, RowSelector, Selection, all_match, matchers_except, matchers_on
from harness.analysis.time_series import TargetSeries, read_series, without_resets
from harness.run_folder import scrape_log
from harness.run_folder.layout import RunFolder, RunRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]


class SeriesSource(Protocol):
    """Where scraped series come from: a finished run (`RunData`), or one in progress (`LiveSeries`)."""

    def targets(self, name: str) -> Sequence[TargetSeries]:
        """The series of every scraped target, with those of this name among them."""


@dataclass(frozen=True, slots=True)
class CounterSum:
    """The sum of counters over targets: what each target had counted at each of its scrapes."""

    parts: tuple[tuple[FloatArray, FloatArray], ...]
    """Times (seconds since T0) and values of each target, of the scrapes that were answered."""

    def at(self, time_s: float) -> float:
        """The sum at a time: linear between two scrapes, constant before the first and after the last."""
        return sum(float(np.interp(time_s, times, values)) for times, values in self.parts if len(times))

    def between(self, from_s: float, to_s: float) -> float:
        """What was counted between two times."""
        return self.at(to_s) - self.at(from_s)

    def was_scraped(self, from_s: float, to_s: float) -> bool:
        """Whether there was a scrape between two times: without one, a count of 0 means nothing."""
        return any(((times >= from_s) & (times <= to_s)).any() for times, _ in self.parts)

    @property
    def last_s(self) -> float:
        """Time of the last scrape; 0 without any."""
        return max((float(times[-1]) for times, _ in self.parts if len(times)), default=0.0)


def select_gauge(source: SeriesSource, name: str, matchers: Sequence[LabelMatcher]) -> Selection:
    """The samples of a gauge, of every series that the matchers select, in the order of their scrapes."""
    times, values = [np.empty(0)], [np.empty(0)]
    for series, columns in _matching_series(source, name, matchers):
        for column in columns:
            known = ~np.isnan(column)
            times.append(series.t_s[known])
            values.append(column[known])
    t_s, value = np.concatenate(times), np.concatenate(values)
    order = np.argsort(t_s, kind="stable")
    return Selection(t_s[order], value[order], t_s[order])


def select_counter(source: SeriesSource, name: str, matchers: Sequence[LabelMatcher]) -> CounterSum | None:
    """The counters that the matchers select; None if no selected target has a counter of this name.

    A label value that an exporter does not show yet has counted nothing, so it is 0 rather than missing: a Prometheus
    client publishes a labelled counter from its first increment on. Counts survive a restart of the process.
    """
    parts = []
    for series, columns in _matching_series(source, name, matchers):
        restarted = None if series.restarted is None else _since_last_answer(series.restarted, series.up)
        counts = [without_resets(np.where(np.isnan(column), 0.0, column)[series.up], restarted) for column in columns]
        total = np.sum(counts, axis=0) if counts else np.zeros(int(series.up.sum()))
        parts.append(_starting_at_t0(series.t_s[series.up], total))
    return CounterSum(tuple(parts)) if parts else None


def _starting_at_t0(times: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same with a point at T0, of the value of the last scrape before it.

    Nothing is sent before T0: what a counter has gained by its next scrape is the run's, and may not be spread over the time
    before.
    """
    earlier = int(np.searchsorted(times, 0.0, side="right"))
    if earlier in {0, len(times)}:
        return times, values
    return np.insert(times, earlier, 0.0), np.insert(values, earlier, values[earlier - 1])


def find_series_problem(source: SeriesSource, name: str, matchers: Sequence[LabelMatcher]) -> str:
    """Why no figure can be computed from the series that the matchers select; "" if one can."""
    on_target = matchers_on(matchers, "target")
    problems = (one.problem for one in source.targets(name) if all_match(on_target, [("target", one.target)]))
    return next(filter(None, problems), "")


def _since_last_answer(restarted: BoolArray, up: BoolArray) -> BoolArray:
    """For each scrape that was answered, whether the process had restarted since the one before."""
    restarts = np.cumsum(restarted)[up]
    return np.diff(restarts, prepend=restarts[:1]) > 0


def _matching_series(
    source: SeriesSource, name: str, matchers: Sequence[LabelMatcher]
) -> Iterable[tuple[TargetSeries, list[FloatArray]]]:
    """The targets that the matchers select and that publish `name`, each with the columns of its matching series."""
    on_target, on_labels = matchers_on(matchers, "target"), matchers_except(matchers, "target")
    for series in source.targets(name):
        if name in series.columns and all_match(on_target, [("target", series.target)]):
            found = series.columns[name].items()
            yield series, [values for labels, values in found if all_match(on_labels, labels)]


@dataclass
class RunData:
    """The rows and scrapes of one finished run. Whatever is read from the folder is read once, when it is first needed."""

    folder: RunFolder
    rows: Rows
    _series: dict[str, list[TargetSeries]] = field(default_factory=dict)

    @property
    def record(self) -> RunRecord:
        """The content of run.json."""
        return self.rows.record

    @property
    def stop_s(self) -> float:
        """When the run stopped starting attempts."""
        return self.rows.stop_s

    @cached_property
    def samples(self) -> DurationSamples:
        """The durations as samples."""
        return DurationSamples(self.rows)

    @cached_property
    def run_series(self) -> RunSeries:
        """The series of server and workers that the summary and the charts use."""
        return read_run_series(self.folder.scrapes)

    @cached_property
    def reads(self) -> ReadColumns:
        """The reads of the readers."""
        return load_reads(self.folder, self.record)

    @cached_property
    def _selector(self) -> RowSelector:
        return RowSelector(self.rows, self.samples, self.folder)

    def select(self, metric: str, matchers: Sequence[LabelMatcher]) -> Selection:
        """The rows of a metric that the matchers select. Raises KeyError as `RowSelector.select` does."""
        if metric in READ_METRICS:
            return select_reads(self.reads, metric, matchers, self.record.warm_up_s)
        return self._selector.select(metric, matchers)

    def load_series(self, names: Collection[str]) -> None:
        """Read these series in one pass over the scrapes: a pass over a long run takes seconds."""
        missing = [name for name in names if name not in self._series]
        if not missing:
            return
        folder = self.folder.scrapes
        found = [read_series(folder, target, missing) for target in scrape_log.list_targets(folder)]
        self._series.update(dict.fromkeys(missing, found))

    def targets(self, name: str) -> Sequence[TargetSeries]:
        """See SeriesSource."""
        self.load_series([name])
        return self._series[name]


@dataclass(frozen=True)
class LiveSeries:
    """The series of a run in progress."""

    series: Mapping[str, TargetSeries]
    """By target."""

    def targets(self, name: str) -> Sequence[TargetSeries]:  # noqa: ARG002 - every target has every watched series
        """See SeriesSource."""
        return list(self.series.values())
