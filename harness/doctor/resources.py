"""Checks of what a run takes from the machine: descriptors, ports, and the disk that runs are written to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.base.host import RESERVED_DESCRIPTORS, TIME_WAIT_S, HostLimits
from harness.doctor.finding import Finding, Fitness, ReadText, at_least, at_most
from harness.plan.capacity import LOOPBACK
from harness.run_folder.journal import RECORD
from harness.scenario.client import ClientOptions
from reports.number_format import format_byte_rate, format_bytes, format_count, format_duration

# --- descriptors

ENOUGH_DESCRIPTORS = int(ClientOptions.model_fields["max_in_flight"].default) + RESERVED_DESCRIPTORS
"""One per station in flight, by the default of client.max_in_flight, and the harness's own."""
TOO_FEW_DESCRIPTORS = 1_024 + RESERVED_DESCRIPTORS


def check_descriptors(limits: HostLimits, soft: int) -> list[Finding]:
    """Check the hard limit on open files: the harness raises its soft limit (`soft`) to it by itself."""
    hard = limits.descriptors
    verdict = at_least(hard, ENOUGH_DESCRIPTORS, TOO_FEW_DESCRIPTORS)
    change = ""
    if hard < ENOUGH_DESCRIPTORS:
        change = f"ulimit -Hn {ENOUGH_DESCRIPTORS} (as root, or nofile in /etc/security/limits.conf; docker run --ulimit nofile={ENOUGH_DESCRIPTORS})"
    measured = f"hard {format_count(hard)}, soft {format_count(soft)} (raised to the hard limit): {format_count(limits.connections_per_process)} stations at once"
    return [
        Finding(
            "descriptors",
            measured,
            f"hard {format_count(ENOUGH_DESCRIPTORS)}",
            verdict,
            change,
            {"hard": hard, "soft": soft},
        ),
    ]


# --- ports

_SYSCTL_FOLDER = "/proc/sys/net/"
ENOUGH_PORTS, TOO_FEW_PORTS = 20_000, 1_000
"""The default of client.max_in_flight; a thousand are enough for a small run."""
BACKLOG = 4_096
"""The backlog that the mock server listens with."""
REMOTE_ADDRESS = "192.0.2.1"
"""An address of another machine, whichever (TEST-NET-1, RFC 5737): ports are kept longer for it than on loopback."""


def check_ports(limits: HostLimits, read: ReadText) -> list[Finding]:
    """Findings on the local port range, TIME_WAIT, and the listen backlog."""
    return [_port_range(limits), _time_wait(limits), _backlog(read)]


def _port_range(limits: HostLimits) -> Finding:
    available = limits.ports_per_source
    verdict = at_least(available, ENOUGH_PORTS, TOO_FEW_PORTS)
    change = "" if verdict is Fitness.OK else "sysctl -w net.ipv4.ip_local_port_range='32768 60999'"
    span = f"{limits.first_port} to {limits.last_port}"
    measured = f"{format_count(available)} per source address and server ({span})"
    return Finding("ports", measured, format_count(ENOUGH_PORTS), verdict, change, {"a_pair": available})


def _time_wait(limits: HostLimits) -> Finding:
    here_s, elsewhere_s = limits.port_kept_s(LOOPBACK), limits.port_kept_s(REMOTE_ADDRESS)
    # Without reuse a port is busy for a minute after its connection: loopback then allows about 470 new connections/s.
    slow = here_s == TIME_WAIT_S
    change = "sysctl -w net.ipv4.tcp_tw_reuse=2 net.ipv4.tcp_timestamps=1" if slow else ""
    return Finding(
        "TIME_WAIT",
        f"a port is kept {here_s:g} s on loopback, {elsewhere_s:g} s elsewhere (tcp_tw_reuse {limits.tw_reuse})",
        "below 60 s on loopback",
        Fitness.WARN if slow else Fitness.OK,
        change,
        {"loopback_s": here_s, "elsewhere_s": elsewhere_s, "tcp_tw_reuse": limits.tw_reuse},
    )


def _backlog(read: ReadText) -> Finding:
    somaxconn = int(read(_SYSCTL_FOLDER + "core/somaxconn") or 4_096)
    short = somaxconn < BACKLOG
    change = f"sysctl -w net.core.somaxconn={BACKLOG}" if short else ""
    return Finding(
        "backlog",
        f"{format_count(somaxconn)} connections can wait to be accepted (somaxconn)",
        format_count(BACKLOG),
        Fitness.WARN if short else Fitness.OK,
        change,
        {"somaxconn": somaxconn},
    )


# --- disk

ENOUGH_FREE_BYTES, TOO_LITTLE_FREE_BYTES = 2e9, 200e6
"""A run of a million attempts takes about 300 MB; charts and report some more."""
JOURNAL_BYTES_PER_S = 10_000 * 2 * RECORD.itemsize
"""10,000 attempts/s, each with one record of its begin and one of its end."""
SPEED_RESERVE = 5
"""How many times faster than the journal the disk should be: others write too, and a scrape must not wait for them."""
SLOW_COMMIT_S = 0.02
"""The mock server commits in groups, and each acknowledgement waits for a commit."""
_CHUNK_BYTES, _MAX_WRITTEN_BYTES, _WRITE_FOR_S = 1 << 20, 64 << 20, 1.0
_COMMITS = 15


@dataclass(frozen=True, slots=True)
class DiskMeasurement:
    """The disk as measured."""

    folder: str
    free_bytes: int
    """Free space that this user may fill."""
    bytes_per_s: float
    """Write rate including the final fsync."""
    commit_s: float
    """Median duration of a small write with fsync."""
    problem: str = ""
    """Why nothing could be written; "" if it could."""


def measure_disk(folder: Path, clock: Callable[[], float]) -> DiskMeasurement:
    """Write up to 64 MB into an anonymous temporary file in `folder`; nothing is left behind."""
    free = shutil.disk_usage(folder).free
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            commits = [_commit(file.fileno(), clock) for _ in range(_COMMITS)]
            written = _fill(file.fileno(), min(_MAX_WRITTEN_BYTES, free // 4), clock)
    except OSError as error:
        return DiskMeasurement(str(folder), free, 0.0, float("inf"), error.strerror or str(error))
    return DiskMeasurement(str(folder), free, written, float(np.median(commits)))


def check_disk(measured: DiskMeasurement) -> list[Finding]:
    """Findings on free space, write rate, and commit time."""
    if measured.problem:
        problem = f"{measured.folder} can't be written: {measured.problem}"
        return [
            Finding(
                "disk",
                problem,
                "writable",
                Fitness.UNFIT,
                "run the harness in a folder where you may write",
                {"folder": measured.folder},
            )
        ]
    return [_free_space(measured), _write_rate(measured), _commits(measured)]


def _commit(file: int, clock: Callable[[], float]) -> float:
    began = clock()
    os.write(file, bytes(4096))
    os.fsync(file)
    return clock() - began


def _fill(file: int, max_bytes: int, clock: Callable[[], float]) -> float:
    chunk = os.urandom(_CHUNK_BYTES)  # random, so that a compressing file system can't cheat
    began, written = clock(), 0
    while written < max_bytes and clock() - began < _WRITE_FOR_S:
        written += os.write(file, chunk)
    os.fsync(file)
    return written / (clock() - began)


def _free_space(measured: DiskMeasurement) -> Finding:
    verdict = at_least(measured.free_bytes, ENOUGH_FREE_BYTES, TOO_LITTLE_FREE_BYTES)
    change = "" if verdict is Fitness.OK else "remove old runs (harness list), or use --out on another disk"
    return Finding(
        "disk, free",
        format_bytes(measured.free_bytes),
        format_bytes(ENOUGH_FREE_BYTES),
        verdict,
        change,
        {"free_bytes": measured.free_bytes},
    )


def _write_rate(measured: DiskMeasurement) -> Finding:
    verdict = at_least(measured.bytes_per_s, SPEED_RESERVE * JOURNAL_BYTES_PER_S, JOURNAL_BYTES_PER_S)
    change = "" if verdict is Fitness.OK else "use --out on a faster disk (tmpfs: --out /dev/shm/run)"
    needed = format_byte_rate(SPEED_RESERVE * JOURNAL_BYTES_PER_S)
    return Finding(
        "disk, writing",
        format_byte_rate(measured.bytes_per_s),
        needed,
        verdict,
        change,
        {"bytes_per_s": measured.bytes_per_s},
    )


def _commits(measured: DiskMeasurement) -> Finding:
    verdict = at_most(measured.commit_s, SLOW_COMMIT_S, float("inf"))
    change = (
        ""
        if verdict is Fitness.OK
        else "the mock server's acknowledgements wait for each commit: use --out on a faster disk"
    )
    needed = f"at most {format_duration(SLOW_COMMIT_S)}"
    return Finding(
        "disk, commits",
        f"{format_duration(measured.commit_s)} (fsync, p50)",
        needed,
        verdict,
        change,
        {"commit_s": measured.commit_s},
    )
