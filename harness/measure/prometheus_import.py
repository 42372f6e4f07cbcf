"""A run's counters as a Prometheus server scraped them, brought into the run folder in the form of our own scrapes.

They are asked for with `query_range`, and with them when they were scraped (`timestamp()`): so every scrape of that server is
there with its own time, not what was known at the steps of a grid.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from harness.base.safe_files import read_bounded
from harness.measure.prometheus_api import PrometheusClient, PrometheusError, PrometheusSample, quote_promql
from harness.run_folder import scrape_log as scrapes
from harness.run_folder.layout import write_json

SERIES = {
    "harness_attempts_total": ("outcome",),
    "harness_pages_due_total": (),
    "harness_pages_delivered_total": (),
}
"""What is brought home, with the labels that are told apart: what throughput and failures are drawn from."""

STEP_S = 0.5
"""Half of the usual interval between scrapes, so that none falls between two steps."""
_STEPS_AT_ONCE = 10_000
_BEFORE_S = 5.0
_CLOCKS_APART_S = 0.5


@dataclass(frozen=True)
class ImportRecord:
    """What prometheus/taken.json holds."""

    url: str
    scrapes: int = 0
    """Of all workers together."""
    interval_s: float = 0.0
    """Between two scrapes of a target: the median."""
    problem: str = ""
    """Why there is nothing, if there is nothing."""


class PrometheusSource:
    """A Prometheus server, asked about one run. Every method raises PrometheusError."""

    def __init__(self, prometheus: PrometheusClient, run: str) -> None:
        self._prometheus = prometheus
        self._info = f"harness_run_info{{run={quote_promql(run)}}}"

    def workers(self) -> set[str]:
        """Workers of the run that it has scraped at least once, and scrapes still."""
        return {sample.labels.get("worker", "") for sample in self._prometheus.query(self._info)}

    def scraped_at(self) -> list[float]:
        """When it last scraped each worker that still answers: Unix times."""
        return [sample.value for sample in self._prometheus.query(f"timestamp({self._info})")]

    def take(self, folder: Path, start: float, end: float, clock: Callable[[float], float]) -> ImportRecord:
        """Write its scrapes of the generator from `start` to `end` (Unix time) into `folder`, one file a worker.

        `clock` makes seconds since T0 of a Unix time. What was taken before is replaced.
        """
        start -= _BEFORE_S
        times = self._values(f"timestamp({self._info})", start, end)
        values = {
            name: self._values(f"sum by ({', '.join(('worker', *labels))}) ({self._joined(name)})", start, end)
            for name, labels in SERIES.items()
        }  # fmt: skip
        found = _expositions(times, values)
        if not found:
            message = "it has scraped nothing of this run"
            raise PrometheusError(message)
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.gz"):
            old.unlink()
        for worker, texts in found.items():
            for at in sorted(texts):
                scrapes.append_scrape(folder, scrapes.Scrape(f"worker-{worker}", clock(at), texts[at]))
        gaps = [later - at for texts in found.values() for at, later in pairwise(sorted(texts))]
        interval_s = round(median(gaps), 3) if gaps else 0.0
        taken = ImportRecord(self._prometheus.url, sum(map(len, found.values())), interval_s)
        write_json(folder / "taken.json", asdict(taken))
        return taken

    def _joined(self, name: str) -> str:
        """A series of this run only, whatever labels the server's configuration puts on it: the exporter says its run."""
        return f"{name} * on (job, instance) group_left (worker) {self._info}"

    def _values(self, expression: str, start: float, end: float) -> list[PrometheusSample]:
        """Its values at steps of which the last is `end`: what is scraped later can't make two answers differ."""
        found: list[PrometheusSample] = []
        left = math.ceil((end - start) / STEP_S)
        while left >= 0:
            last = max(0, left - _STEPS_AT_ONCE + 1)
            found += self._prometheus.query_range(expression, end - left * STEP_S, end - last * STEP_S, STEP_S)
            left = last - 1
        return found


def check_prometheus(prometheus: PrometheusClient, clock: Callable[[], float]) -> None:
    """Raise PrometheusError if it can't be asked, or its clock and ours (`clock`, Unix time) are half a second apart."""
    before = clock()
    theirs = prometheus.now()
    after = clock()
    apart_s = theirs - (before + after) / 2
    if abs(apart_s) > _CLOCKS_APART_S + (after - before) / 2:  # a slow answer is not a wrong clock
        ahead = "ahead of" if apart_s > 0 else "behind"
        message = f"its clock is {abs(apart_s):.1f} s {ahead} this machine's: set both by NTP"
        raise PrometheusError(message)


def write_import_problem(folder: Path, url: str, problem: str) -> None:
    """Write down why there is nothing from a Prometheus."""
    folder.mkdir(exist_ok=True)
    write_json(folder / "taken.json", asdict(ImportRecord(url, problem=problem)))


def read_import(folder: Path) -> ImportRecord | None:
    """What was taken from a Prometheus; None where none was asked, or its note can't be read."""
    try:
        return ImportRecord(**json.loads(read_bounded(folder / "taken.json")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _expositions(
    times: list[PrometheusSample], values: dict[str, list[PrometheusSample]]
) -> dict[str, dict[float, str]]:
    """Worker -> when it was scraped -> what it said then."""
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
    for (worker, at), said in lines.items():
        text = "".join(f"{series} {value}\n" for series, value in said.items())
        found.setdefault(worker, {})[at] = types + text
    return found
