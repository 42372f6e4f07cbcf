"""What this machine is."""

from __future__ import annotations

import os
import platform
import socket
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.base.host_limits import read_host_limits

_PACKAGES = (
    "upload-harness", "locust", "gevent", "aiohttp", "uvloop", "httptools", "duckdb", "numpy", "pillow", "prometheus-client",
)  # fmt: skip


def package_versions() -> dict[str, str]:
    """Versions of everything that can change a figure."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def describe_host() -> dict[str, Any]:
    """The machine in a few words; runs on unlike machines aren't to be compared."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _read_lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory_kb = next((int(line.split()[1]) for line in _read_lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    limits = read_host_limits()
    return {
        "name": socket.gethostname(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "memory_bytes": memory_kb * 1024,
        "descriptors": limits.descriptors,
        "ports": limits.last_port - limits.first_port + 1,
    }


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _read_lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines() or [""]
    except OSError:
        return [""]
