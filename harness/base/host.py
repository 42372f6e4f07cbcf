"""Facts about this host: hardware, package versions, and the kernel's limits on connections."""

from __future__ import annotations

import os
import platform
import resource
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from harness.base.address import is_loopback

RESERVED_DESCRIPTORS = 200
"""Descriptors per process that are not for the load: its own files, listener, log, scrapes."""
RESERVED_PORTS = 32
"""Ports of the ephemeral range that are not for the load: the run's own processes listen on them."""
TIME_WAIT_S = 60.0
"""Linux's TIME_WAIT: a compile-time constant (TCP_TIMEWAIT_LEN), not tunable."""
_SYSCTL = "/proc/sys/net/ipv4/"
_CGROUP_ROOT = "/sys/fs/cgroup"
_TW_REUSE_NEVER, _TW_REUSE_ALWAYS = 0, 1
_PACKAGES = (
    "upload-harness", "locust", "gevent", "aiohttp", "uvloop", "httptools", "duckdb", "numpy", "pillow", "prometheus-client",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostLimits:
    """This host's limits on connections. Remote workers send theirs to the leader, which checks the plan against them."""

    descriptors: int
    """Hard limit of open files per process (RLIMIT_NOFILE)."""
    first_port: int
    """First port of net.ipv4.ip_local_port_range."""
    last_port: int
    reserved_ports: int
    """How many ports of that range net.ipv4.ip_local_reserved_ports excludes."""
    tw_reuse: int
    """net.ipv4.tcp_tw_reuse: 0 never, 1 always, 2 on loopback only."""
    timestamps: int
    """net.ipv4.tcp_timestamps: without timestamps a port in TIME_WAIT is never reused."""
    tw_reuse_after_s: float = 1.0

    @property
    def connections_per_process(self) -> int:
        """Connections that one process can hold open."""
        return max(0, self.descriptors - RESERVED_DESCRIPTORS)

    @property
    def ports_per_source(self) -> int:
        """Local ports available for each pair of source address and destination."""
        return max(0, self.last_port - self.first_port + 1 - self.reserved_ports - RESERVED_PORTS)

    def port_kept_s(self, address: str) -> float:
        """Seconds for which a local port stays unusable after its connection to `address` was closed."""
        applies = self.tw_reuse == _TW_REUSE_ALWAYS or (self.tw_reuse != _TW_REUSE_NEVER and is_loopback(address))
        return self.tw_reuse_after_s if applies and self.timestamps else TIME_WAIT_S


def read_host_limits(read: Callable[[str], str] | None = None) -> HostLimits:
    """The limits of this host. `read` returns the content of a file in /proc, or "" if it does not exist.

    The defaults for a missing file are Linux's own: containers often hide parts of /proc/sys.
    """
    read = read or _read_proc
    low, high = (read(_SYSCTL + "ip_local_port_range") or "32768 60999").split()
    return HostLimits(
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        first_port=int(low),
        last_port=int(high),
        reserved_ports=_count_reserved(read(_SYSCTL + "ip_local_reserved_ports"), int(low), int(high)),
        tw_reuse=int(read(_SYSCTL + "tcp_tw_reuse") or 0),
        timestamps=int(read(_SYSCTL + "tcp_timestamps") or 0),
        tw_reuse_after_s=int(read(_SYSCTL + "tcp_tw_reuse_delay") or 1000) / 1000,  # milliseconds, since Linux 6.15
    )


def describe_host() -> dict[str, Any]:
    """The `host` of run.json: runs on different hosts are not comparable.

    Memory is in bytes; `cores` counts all cores of the machine, `cpu_quota_cores` is what a container may use of them.
    """
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _read_lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory_kb = next((int(line.split()[1]) for line in _read_lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    limits, quota = read_host_limits(), cgroup_quota(_read_proc)
    return {
        "name": socket.gethostname(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        **({} if quota is None else {"cpu_quota_cores": quota}),
        "memory_bytes": memory_kb * 1024,
        "descriptors": limits.descriptors,
        "ports": limits.last_port - limits.first_port + 1,
    }


def package_versions() -> dict[str, str]:
    """The `versions` of run.json: Python and each package whose version can change a measured figure."""
    return {"python": platform.python_version(), **_installed_versions()}


@cache  # a search plays hundreds of runs in one process, and each look reads a file of every package
def _installed_versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}


def available_cores(read: Callable[[str], str] | None = None) -> int:
    """Number of whole cores that this process may use, at least 1: its CPU affinity or its control group's quota.

    Not the machine's total: a container with `--cpus=1.5` on 64 cores has one.
    """
    usable, quota = len(os.sched_getaffinity(0)), cgroup_quota(read or _read_proc)
    return usable if quota is None else max(1, min(usable, int(quota)))


def cgroup_quota(read: Callable[[str], str]) -> float | None:
    """CPU time per second that this process's control groups (version 1 or 2) grant, in cores; None without a limit.

    Groups are nested, and a limit holds for everything below it: the narrowest counts. `read` returns the content of a file,
    or "" if it does not exist.
    """
    granted = []
    for line in read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        folder = PurePosixPath(path)
        for group in (str(one).rstrip("/") for one in (folder, *folder.parents)):
            if controllers == "":  # version 2; beside version 1 it may be mounted at `unified`
                roots = (_CGROUP_ROOT, f"{_CGROUP_ROOT}/unified")
                granted += [_quota_cores(*_quota_fields(read(f"{root}{group}/cpu.max"))) for root in roots]
            elif "cpu" in controllers.split(","):
                for root in (f"{_CGROUP_ROOT}/cpu", f"{_CGROUP_ROOT}/{controllers}"):
                    both = [read(f"{root}{group}/cpu.cfs_{name}_us") for name in ("quota", "period")]
                    granted.append(_quota_cores(*_quota_fields(" ".join(both))))
    return min((cores for cores in granted if cores is not None), default=None)


def _quota_fields(text: str) -> tuple[str, str]:
    words = text.split()
    return (words[0], words[1]) if len(words) == 2 else ("max", "0")


def _quota_cores(quota_us: str, period_us: str) -> float | None:
    """Quota ÷ period; "max" (version 2) and -1 (version 1) mean no limit."""
    return None if quota_us == "max" or int(quota_us) < 0 else int(quota_us) / int(period_us)


def _count_reserved(ranges: str, low: int, high: int) -> int:
    """Number of ports from `low` to `high` in a list such as "8080,32800-32809".

    >>> _count_reserved("8080,32800-32809", 32768, 60999)
    10
    """
    bounds = [part.partition("-") for part in ranges.strip().split(",") if part]
    spans = [(int(first), int(last or first)) for first, _, last in bounds]
    return sum(max(0, min(last, high) - max(first, low) + 1) for first, last in spans)


def _read_proc(path: str) -> str:
    try:
        return Path(path).read_text("ascii")
    except OSError:
        return ""


def _read_lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines() or [""]
    except OSError:
        return [""]
