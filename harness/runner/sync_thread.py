"""Puts a run's files on the disk while it goes on: after a power cut of this machine the report has what was measured until then."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from harness.base.safe_files import sync
from harness.run_folder.layout import RunFolder

INTERVAL_S = 5.0
_JOIN_TIMEOUT_S = 10.0


class SyncThread:
    """Syncs from `start` to `stop`. In the leader, not in the workers: a sync may take long, and would make attempts late."""

    def __init__(self, folder: RunFolder, interval_s: float = INTERVAL_S) -> None:
        self._folder = folder
        self._interval_s = interval_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def start(self) -> None:
        """Sync now, so that the run is known to the disk, and from then on every few seconds."""
        sync_run(self._folder)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_TIMEOUT_S)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            sync_run(self._folder)


def sync_run(folder: RunFolder) -> None:
    """Put what the harness has written on the disk: plan, journals, scrapes, samples, and the names of all of them."""
    for path in _written(folder):
        # it may have been renamed meanwhile; and what can't be synced must not end the run
        with contextlib.suppress(OSError):
            sync(path)


def _written(folder: RunFolder) -> Iterator[Path]:
    for file in (folder.plan, folder.region, folder.processes, folder.stored, folder.attempts):
        if file.exists():
            yield file
    for inside in (folder.journal, folder.scrapes, folder.prometheus):
        if inside.is_dir():
            yield from inside.iterdir()
            yield inside
    yield folder.path
    yield folder.path.parent
