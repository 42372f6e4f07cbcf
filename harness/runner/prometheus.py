"""A run beside the user's own Prometheus: registers the run's targets there, waits for its scrapes, imports them at the end."""

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
"""Service discovery and scrape manager each pass new targets on every 5 s; the rest is for a scrape interval of up to 15 s, twice."""
LAST_SCRAPE_TIMEOUT_S = 20.0
_POLL_S = 0.25

_QueryResult = TypeVar("_QueryResult")


class PrometheusSession:
    """One run's use of a Prometheus; does nothing if the run has none. Leaving the `with` block withdraws the targets."""

    def __init__(self, spec: RunSpec) -> None:
        self._workers = spec.workers
        self._folder = spec.folder
        self._labels = {"run": spec.run_id, "scenario": spec.scenario.name}
        self._prometheus = None if spec.prometheus is None else PrometheusClient(spec.prometheus)
        self._source = None if self._prometheus is None else PrometheusSource(self._prometheus, spec.run_id)
        self._discovery = None if spec.prometheus_sd is None else ServiceDiscoveryFile(spec.prometheus_sd, spec.run_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._discovery is not None:
            self._discovery.remove()

    def begin(self, targets: Mapping[str, str], processes: ProcessGroup, log: Callable[[str], None]) -> None:
        """Register `targets` (name -> URL of /metrics) and wait until every worker has been scraped once.

        Without that first scrape Prometheus has no sample to compute the first rate from. Raises UsageError if it doesn't happen
        in time; as `ProcessGroup.expect` if a process ends or a signal comes.
        """
        if self._discovery is not None:
            self._discovery.write(targets, self._labels)
        if self._source is None or self._prometheus is None:
            return
        log(f"Waiting for {self._prometheus.url} to scrape the generator")
        until = time.monotonic() + FIRST_SCRAPE_TIMEOUT_S
        while len(scraped := _scraped_workers(self._source)) < self._workers:
            if time.monotonic() > until:
                message = (
                    f"--prometheus {self._prometheus.url}: within {FIRST_SCRAPE_TIMEOUT_S:g} s it scraped {len(scraped)} of"
                    f" {self._workers} workers. Does it watch the folder of --prometheus-sd? See docs/how-to/prometheus.md"
                )
                raise UsageError(message)
            processes.pause(_POLL_S)

    def end(self, t0_epoch: float, log: Callable[[str], None], *, patient: bool) -> None:
        """Import the run's scrapes into the run folder. A failure is recorded there and logged, but never raised.

        If `patient`, waits up to 20 s until every worker has been scraped after now: the last seconds are missing otherwise.
        """
        if self._source is None or self._prometheus is None:
            return
        log(f"Reading the rates from {self._prometheus.url}")
        try:
            end = _last_scrape(self._source, LAST_SCRAPE_TIMEOUT_S if patient else 0.0)
            self._source.import_scrapes(self._folder.prometheus, t0_epoch, end, lambda at: at - t0_epoch)
        except PrometheusError as error:
            write_import_problem(self._folder.prometheus, self._prometheus.url, str(error))
            log(f"{self._prometheus.url}: {error}")


def reachable_prometheus(option: str, url: str) -> PrometheusClient:
    """A client of the Prometheus at `url`. Raises UsageError, naming `option`, if it does not answer or its clock is off."""
    try:
        prometheus = PrometheusClient(url)
        check_prometheus(prometheus, time.time)
    except (ValueError, PrometheusError) as error:
        message = f'{option} "{url}": {error}'
        raise UsageError(message) from None
    return prometheus


def discovery_folder(option: str, folder: Path) -> Path:
    """The absolute path of a folder for file_sd. Raises UsageError, naming `option`, if it is not a folder."""
    if not folder.is_dir():
        message = (
            f"{option} {folder}: should be a folder that a Prometheus watches (file_sd); see docs/how-to/prometheus.md"
        )
        raise UsageError(message)
    return folder.absolute()


def reimport_scrapes(folder: RunFolder, record: RunRecord, prometheus: PrometheusClient) -> None:
    """Import the scrapes of an earlier run into its folder. Raises UsageError if Prometheus has none or does not answer."""
    t0_epoch = record.t0_epoch
    if t0_epoch is None:
        message = f"{folder.path}: the run ended before its first upload, so there is nothing to import"
        raise UsageError(message)
    last_s = record.deadline_s + record.client_timeout_s if record.ended is None else record.ended.at_s
    # A scrape may have come up to an interval after the end.
    end = t0_epoch + last_s + LAST_SCRAPE_TIMEOUT_S
    source = PrometheusSource(prometheus, record.id)
    _query(prometheus.url, lambda: source.import_scrapes(folder.prometheus, t0_epoch, end, lambda at: at - t0_epoch))


def _scraped_workers(source: PrometheusSource) -> set[str]:
    """Workers that have been scraped; none if Prometheus does not answer in time: the next poll may succeed."""
    try:
        return source.workers()
    except PrometheusError:
        return set()


def _last_scrape(source: PrometheusSource, timeout_s: float) -> float:
    """The time of the newest scrape, once every worker has been scraped after now or `timeout_s` has passed.

    Raises PrometheusError if Prometheus has not answered until then.
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


def _query(url: str, run_query: Callable[[], _QueryResult]) -> _QueryResult:
    try:
        return run_query()
    except PrometheusError as error:
        message = f"--prometheus {url}: {error}"
        raise UsageError(message) from error
