"""Imports a run's counters, as a Prometheus server scraped them, into the run folder in the form of the harness's own scrapes.

`query_range` returns values on a grid of steps. Asking for `timestamp()` as well gives the time of each scrape, so every scrape
of that server is imported with its own time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from harness.base.safe_files import read_json, write_json
from harness.measure.prometheus import PrometheusClient, PrometheusError, PrometheusSample, quote_promql
from harness.run_folder import scrape_log as scrapes

SERIES = {
    "harness_attempts_total": ("outcome",),
    "harness_pages_due_total": (),
    "harness_pages_delivered_total": (),
}
"""The series to import, with the labels to keep: what the charts of throughput and failures need."""

STEP_S = 0.5
"""Half of the usual interval between scrapes, so that no scrape falls between two steps."""
_STEPS_AT_ONCE = 10_000
"""Prometheus refuses more than 11,000."""
_BEFORE_S = 5.0
_CLOCKS_APART_S = 0.5


@dataclass(frozen=True)
class ImportRecord:
    """The content of prometheus/taken.json."""

    url: str
    scrapes: int = 0
    """Number of scrapes, of all workers together."""
    interval_s: float = 0.0
    """Median interval between two scrapes of a target."""
    problem: str = ""
    """Why nothing was imported; "" if something was."""


class PrometheusSource:
    """What a Prometheus server knows about one run. Every method raises PrometheusError."""

    def __init__(self, prometheus: PrometheusClient, run: str) -> None:
        self._prometheus = prometheus
        self._info = f"harness_run_info{{run={quote_promql(run)}}}"

    def workers(self) -> set[str]:
        """The run's workers that it has scraped at least once and still scrapes."""
        return {sample.labels.get("worker", "") for sample in self._prometheus.query(self._info)}

    def scraped_at(self) -> list[float]:
        """Unix times of its latest scrape of each worker that still answers."""
        return [sample.value for sample in self._prometheus.query(f"timestamp({self._info})")]

    def import_scrapes(self, folder: Path, start: float, end: float, clock: Callable[[float], float]) -> ImportRecord:
        """Write its scrapes of the workers from `start` to `end` (Unix time) into `folder`, one file per worker.

        `clock` converts a Unix time into seconds since T0. An earlier import is replaced.
        """
        start -= _BEFORE_S
        times = self._values(f"timestamp({self._info})", start, end)
        values = {
            name: self._values(f"sum by ({', '.join(('worker', *labels))}) ({self._joined(name)})", start, end)
            for name, labels in SERIES.items()
        }  # fmt: skip
        found = _expositions(times, values)
        if not found:
            message = "it has no scrapes of this run"
            raise PrometheusError(message)
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.gz"):
            old.unlink()
        for worker, texts in found.items():
            for at in sorted(texts):
                scrapes.append_scrape(folder, scrapes.Scrape(f"worker-{worker}", clock(at), texts[at]))
        gaps = [later - at for texts in found.values() for at, later in pairwise(sorted(texts))]
        interval_s = round(median(gaps), 3) if gaps else 0.0
        record = ImportRecord(self._prometheus.url, sum(map(len, found.values())), interval_s)
        write_json(folder / "taken.json", asdict(record))
        return record

    def _joined(self, name: str) -> str:
        """A series of this run only: joined with harness_run_info, as the server's configuration may drop or rename labels."""
        return f"{name} * on (job, instance) group_left (worker) {self._info}"

    def _values(self, expression: str, start: float, end: float) -> list[PrometheusSample]:
        """Values at steps that are counted back from `end`, so that a later import of the same span gives the same values."""
        found: list[PrometheusSample] = []
        left = math.ceil((end - start) / STEP_S)
        while left >= 0:
            last = max(0, left - _STEPS_AT_ONCE + 1)
            found += self._prometheus.query_range(expression, end - left * STEP_S, end - last * STEP_S, STEP_S)
            left = last - 1
        return found


def check_prometheus(prometheus: PrometheusClient, clock: Callable[[], float]) -> None:
    """Raise PrometheusError if the server can't be queried, or its clock differs by half a second from ours (`clock`)."""
    before = clock()
    theirs = prometheus.now()
    after = clock()
    apart_s = theirs - (before + after) / 2
    if abs(apart_s) > _CLOCKS_APART_S + (after - before) / 2:  # a slow answer is not a wrong clock
        ahead = "ahead of" if apart_s > 0 else "behind"
        message = f"its clock is {abs(apart_s):.1f} s {ahead} this machine's: synchronise both with NTP"
        raise PrometheusError(message)


def write_import_problem(folder: Path, url: str, problem: str) -> None:
    """Record why nothing was imported from a Prometheus."""
    folder.mkdir(exist_ok=True)
    write_json(folder / "taken.json", asdict(ImportRecord(url, problem=problem)))


def read_import(folder: Path) -> ImportRecord | None:
    """The record of the import from a Prometheus; None if there was none, or its record is unreadable."""
    try:
        return ImportRecord(**read_json(folder / "taken.json"))
    except (OSError, ValueError, TypeError):
        return None


def _expositions(
    times: list[PrometheusSample], values: dict[str, list[PrometheusSample]]
) -> dict[str, dict[float, str]]:
    """Text of each scrape: worker -> Unix time of the scrape -> exposition."""
    scraped = {(sample.labels.get("worker", ""), sample.at): sample.value for sample in times}
    lines: dict[tuple[str, float], dict[str, str]] = {}
    for name, samples in values.items():
        for sample in samples:
            key = (sample.labels.get("worker", ""), sample.at)
            if key in scraped and not math.isnan(sample.value):
                labels = ",".join(f"{label}={quote_promql(sample.labels.get(label, ''))}" for label in SERIES[name])
                series = f"{name}{{{labels}}}" if labels else name
                lines.setdefault((key[0], scraped[key]), {})[series] = f"{sample.value!r}"
    found: dict[str, dict[float, str]] = {}
    types = "".join(f"# TYPE {name} counter\n" for name in SERIES)
    for (worker, at), samples_then in lines.items():
        text = "".join(f"{series} {value}\n" for series, value in samples_then.items())
        found.setdefault(worker, {})[at] = types + text
    return found
