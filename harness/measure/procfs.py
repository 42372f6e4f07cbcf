"""What processes have used so far, from the kernel's own accounts; a look is cheap enough for ten a second."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")


def process_tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in (PROC / str(parent) / "task").glob("*/children"):
            try:
                found += map(int, task.read_text("ascii").split())
            except OSError:
                continue
    return found


def cpu_seconds(pid: int, proc: Path = PROC) -> float:
    """CPU that the living threads of a process have used, user and system. Raises OSError, ValueError when it has gone.

    The scheduler's count, in nanoseconds; a kernel that keeps none tells hundredths of a second, of ended threads too.
    """
    of = proc / str(pid)
    used = [int(task.read_text("ascii").split()[0]) for task in (of / "task").glob("*/schedstat")]
    if used:
        return sum(used) / 1e9
    fields = (of / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process now. Raises OSError when it has gone."""
    return int((PROC / str(pid) / "statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(pid: int) -> int:
    """Most resident memory that a process has had. Raises OSError, ValueError when it has gone."""
    status = (PROC / str(pid) / "status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 if "VmHWM:" in status else 0
