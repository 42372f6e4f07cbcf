"""The disk that runs lie on: room, how fast a journal can be written, and how long a commit takes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.doctor.finding import Finding, Fitness, at_least, at_most
from harness.run_folder.journal import RECORD
from reports.number_format import format_byte_rate, format_bytes, format_duration

ENOUGH_FREE_BYTES, TOO_LITTLE_FREE_BYTES = 2e9, 200e6
"""A run of a million attempts takes about 300 MB; charts and page some more."""
JOURNAL_BYTES_PER_S = 10_000 * 2 * RECORD.itemsize
"""Ten thousand attempts a second, each with a record of its begin and one of its end."""
SPEED_RESERVE = 5
"""How many times as fast the disk should be: others write too, and a scrape must not wait."""
SLOW_COMMIT_S = 0.02
"""The mock server commits in groups: an acknowledgement waits for one."""
_CHUNK_BYTES, _MAX_WRITTEN_BYTES, _WRITE_FOR_S = 1 << 20, 64 << 20, 1.0
_COMMITS = 15


@dataclass(frozen=True, slots=True)
class DiskMeasurement:
    """What was seen of it."""

    folder: str
    free_bytes: int
    """That this user may fill."""
    bytes_per_s: float
    """Written and synchronised."""
    commit_s: float
    """The median of some small writes with fsync."""
    problem: str = ""
    """Why nothing could be written; empty if it could."""


def measure_disk(folder: Path, clock: Callable[[], float]) -> DiskMeasurement:
    """Write up to 64 MB into a nameless file of that folder, and forget it."""
    free = shutil.disk_usage(folder).free
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            commits = [_commit(file.fileno(), clock) for _ in range(_COMMITS)]
            written = _fill(file.fileno(), min(_MAX_WRITTEN_BYTES, free // 4), clock)
    except OSError as error:
        return DiskMeasurement(str(folder), free, 0.0, float("inf"), error.strerror or str(error))
    return DiskMeasurement(str(folder), free, written, float(np.median(commits)))


def check_disk(seen: DiskMeasurement) -> list[Finding]:
    """Room, throughput, and what a commit takes."""
    if seen.problem:
        told = f"{seen.folder} can't be written: {seen.problem}"
        return [
            Finding(
                "disk", told, "writable", Fitness.UNFIT, "run the harness where you may write", {"folder": seen.folder}
            )
        ]
    return [_free_space(seen), _write_rate(seen), _commits(seen)]


def _commit(file: int, clock: Callable[[], float]) -> float:
    began = clock()
    os.write(file, bytes(4096))
    os.fsync(file)
    return clock() - began


def _fill(file: int, most_bytes: int, clock: Callable[[], float]) -> float:
    chunk = os.urandom(_CHUNK_BYTES)  # nothing that a file system could fold up
    began, written = clock(), 0
    while written < most_bytes and clock() - began < _WRITE_FOR_S:
        written += os.write(file, chunk)
    os.fsync(file)
    return written / (clock() - began)


def _free_space(seen: DiskMeasurement) -> Finding:
    verdict = at_least(seen.free_bytes, ENOUGH_FREE_BYTES, TOO_LITTLE_FREE_BYTES)
    change = "" if verdict is Fitness.OK else "remove old runs (harness list), or use --out on another disk"
    return Finding(
        "disk, free",
        format_bytes(seen.free_bytes),
        format_bytes(ENOUGH_FREE_BYTES),
        verdict,
        change,
        {"free_bytes": seen.free_bytes},
    )


def _write_rate(seen: DiskMeasurement) -> Finding:
    verdict = at_least(seen.bytes_per_s, SPEED_RESERVE * JOURNAL_BYTES_PER_S, JOURNAL_BYTES_PER_S)
    change = "" if verdict is Fitness.OK else "use --out on a faster disk (tmpfs: --out /dev/shm/run)"
    needed = format_byte_rate(SPEED_RESERVE * JOURNAL_BYTES_PER_S)
    return Finding(
        "disk, writing", format_byte_rate(seen.bytes_per_s), needed, verdict, change, {"bytes_per_s": seen.bytes_per_s}
    )


def _commits(seen: DiskMeasurement) -> Finding:
    verdict = at_most(seen.commit_s, SLOW_COMMIT_S, float("inf"))
    change = (
        "" if verdict is Fitness.OK else "the mock server's acknowledgements wait for it: use --out on a faster disk"
    )
    needed = f"at most {format_duration(SLOW_COMMIT_S)}"
    return Finding(
        "disk, commits",
        f"{format_duration(seen.commit_s)} (fsync, p50)",
        needed,
        verdict,
        change,
        {"commit_s": seen.commit_s},
    )
