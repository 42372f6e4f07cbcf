"""The Prometheus that watches a run from outside, if the user has one: told where the run is, waited for, read at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypeVar

from harness.base.errors import UsageError
from harness.measure.prometheus import PrometheusClient, PrometheusError, ServiceDiscoveryFile
from harness.measure.prometheus_import import PrometheusSource, check_prometheus, write_import_problem
from harness.run_folder.layout import RunFolder, RunRecord
from harness.runner.run_spec import RunSpec
from harness.runner.subprocesses import ProcessGroup

FIRST_SCRAPE_TIMEOUT_S = 40.0
"""Prometheus hands new targets on every 5 s, twice; the rest is for scrape intervals of up to 15 s."""
LAST_SCRAPE_TIMEOUT_S = 20.0
_POLL_S = 0.25

_QueryResult = TypeVar("_QueryResult")


class PrometheusSession:
    """One run's. Leaving the `with` block takes the targets back."""

    def __init__(self, order: RunSpec) -> None:
        self._workers = order.workers
        self._folder = order.folder
        self._labels = {"run": order.run_id, "scenario": order.scenario.name}
        self._prometheus = None if order.prometheus is None else PrometheusClient(order.prometheus)
        self._source = None if self._prometheus is None else PrometheusSource(self._prometheus, order.run_id)
        self._discovery = (
            None if order.prometheus_sd is None else ServiceDiscoveryFile(order.prometheus_sd, order.run_id)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._discovery is not None:
            self._discovery.remove()

    def begin(self, targets: Mapping[str, str], family: ProcessGroup, say: Callable[[str], None]) -> None:
        """Name the targets, and wait until each worker has been scraped: what comes before that is not seen.

        Raises UsageError if that doesn't happen; as `ProcessGroup.expect` if a child ends or a signal comes.
        """
        if self._discovery is not None:
            self._discovery.write(targets, self._labels)
        if self._source is None or self._prometheus is None:
            return
        say(f"Waiting for {self._prometheus.url} to scrape the generator")
        until = time.monotonic() + FIRST_SCRAPE_TIMEOUT_S
        while len(seen := _scraped_workers(self._source)) < self._workers:
            if time.monotonic() > until:
                message = (
                    f"--prometheus {self._prometheus.url}: within {FIRST_SCRAPE_TIMEOUT_S:g} s it scraped {len(seen)} of"
                    f" {self._workers} workers. Does it watch the folder of --prometheus-sd? See docs/how-to/prometheus.md"
                )
                raise UsageError(message)
            family.pause(_POLL_S)

    def end(self, t0_epoch: float, say: Callable[[str], None], *, patient: bool) -> None:
        """Bring its scrapes into the run folder; what can't be had is written there too, and nothing is raised.

        Waits until every worker has been scraped after this moment, 20 s at most; not at all unless `patient`.
        """
        if self._source is None or self._prometheus is None:
            return
        say(f"Reading the rates from {self._prometheus.url}")
        try:
            end = _last_scrape(self._source, LAST_SCRAPE_TIMEOUT_S if patient else 0.0)
            self._source.import_scrapes(self._folder.prometheus, t0_epoch, end, lambda at: at - t0_epoch)
        except PrometheusError as error:
            write_import_problem(self._folder.prometheus, self._prometheus.url, str(error))
            say(f"{self._prometheus.url}: {error}")


def reachable_prometheus(option: str, url: str) -> PrometheusClient:
    """The Prometheus at a URL that the user gave, if it can be asked. Raises UsageError."""
    try:
        prometheus = PrometheusClient(url)
        check_prometheus(prometheus, time.time)
    except (ValueError, PrometheusError) as error:
        message = f'{option} "{url}": {error}'
        raise UsageError(message) from None
    return prometheus


def discovery_folder(option: str, folder: Path) -> Path:
    """A folder that targets can be written to. Raises UsageError."""
    if not folder.is_dir():
        message = (
            f"{option} {folder}: should be a folder that a Prometheus watches (file_sd); see docs/how-to/prometheus.md"
        )
        raise UsageError(message)
    return folder.absolute()


def reimport_scrapes(folder: RunFolder, record: RunRecord, prometheus: PrometheusClient) -> None:
    """Bring the scrapes of a run of yesterday into its folder. Raises UsageError where there are none."""
    t0_epoch = record.t0_epoch
    if t0_epoch is None:
        message = f"{folder.path}: it was broken off before its first upload"
        raise UsageError(message)
    last_s = record.deadline_s + record.client_timeout_s if record.ended is None else record.ended.at_s
    end = t0_epoch + last_s + LAST_SCRAPE_TIMEOUT_S
    source = PrometheusSource(prometheus, record.id)
    _query(prometheus.url, lambda: source.import_scrapes(folder.prometheus, t0_epoch, end, lambda at: at - t0_epoch))


def _scraped_workers(source: PrometheusSource) -> set[str]:
    """Workers that have been scraped; none where it does not answer in time: it may the next time."""
    try:
        return source.workers()
    except PrometheusError:
        return set()


def _last_scrape(source: PrometheusSource, timeout_s: float) -> float:
    """When the last of all workers was scraped, once each has been after this moment, or the time is over.

    Raises PrometheusError where there is no answer until then.
    """
    now, until = time.time(), time.monotonic() + timeout_s
    while True:
        over = time.monotonic() > until
        try:
            latest = source.scraped_at()
        except PrometheusError:
            if over:
                raise
        else:
            if over or min(latest, default=now) >= now:
                return max(latest, default=now)
        time.sleep(_POLL_S)


def _query(url: str, ask: Callable[[], _QueryResult]) -> _QueryResult:
    try:
        return ask()
    except PrometheusError as error:
        message = f"--prometheus {url}: {error}"
        raise UsageError(message) from error
