"""What this host allows for connections: descriptors of a process, local ports and how long a closed one is kept."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.base.address import is_loopback

RESERVED_DESCRIPTORS = 200
"""Of a process: its own files, its listener, its log, scrapes."""
RESERVED_PORTS = 32
"""Of the range: what the run's own processes listen on."""
TIME_WAIT_S = 60.0
_SYSCTL = "/proc/sys/net/ipv4/"
_TW_REUSE_NEVER, _TW_REUSE_ALWAYS = 0, 1


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What this machine has for connections."""

    descriptors: int
    """Hard limit of a process."""
    first_port: int
    last_port: int
    withheld_ports: int
    """Ports of the range that net.ipv4.ip_local_reserved_ports keeps for others."""
    tw_reuse: int
    """net.ipv4.tcp_tw_reuse: 0 never, 1 always, 2 on loopback."""
    timestamps: int
    """net.ipv4.tcp_timestamps: without them nothing is taken over."""
    tw_reuse_after_s: float = 1.0

    @property
    def a_process(self) -> int:
        """Connections that one process can hold."""
        return max(0, self.descriptors - RESERVED_DESCRIPTORS)

    @property
    def a_pair(self) -> int:
        """Ports for a pair of source address and destination."""
        return max(0, self.last_port - self.first_port + 1 - self.withheld_ports - RESERVED_PORTS)

    def port_kept_s(self, address: str) -> float:
        """Seconds that a port is kept after its connection to that address was closed."""
        applies = self.tw_reuse == _TW_REUSE_ALWAYS or (self.tw_reuse != _TW_REUSE_NEVER and is_loopback(address))
        return self.tw_reuse_after_s if applies and self.timestamps else TIME_WAIT_S


def read_host_limits(read: Callable[[str], str] | None = None) -> HostLimits:
    """This machine's limits; `read` gives the content of a file of /proc, "" for one that isn't there."""
    read = read or _read_proc
    low, high = (read(_SYSCTL + "ip_local_port_range") or "32768 60999").split()
    return HostLimits(
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        first_port=int(low),
        last_port=int(high),
        withheld_ports=_count_reserved(read(_SYSCTL + "ip_local_reserved_ports"), int(low), int(high)),
        tw_reuse=int(read(_SYSCTL + "tcp_tw_reuse") or 0),
        timestamps=int(read(_SYSCTL + "tcp_timestamps") or 0),
        tw_reuse_after_s=int(read(_SYSCTL + "tcp_tw_reuse_delay") or 1000) / 1000,
    )


def _count_reserved(ranges: str, low: int, high: int) -> int:
    """How many ports from `low` to `high` a list such as "8080,32800-32809" has.

    >>> _withheld("8080,32800-32809", 32768, 60999)
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
