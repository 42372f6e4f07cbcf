"""Ports: how many connections there can be to one server, how fast they come back, and how many may wait to be taken."""

from __future__ import annotations

from harness.base.host_limits import TIME_WAIT_S, HostLimits
from harness.doctor.finding import Finding, Fitness, ReadText, at_least
from harness.plan.capacity import LOOPBACK
from reports.number_format import format_count

_SYSCTL_FOLDER = "/proc/sys/net/"
ENOUGH_PORTS, TOO_FEW_PORTS = 20_000, 1_000
"""The most stations that a worker has at it at once by default; a thousand hold a small run."""
BACKLOG = 4_096
"""What the mock server listens with."""
REMOTE_ADDRESS = "192.0.2.1"
"""Any address that isn't this machine's (RFC 5737)."""


def check_ports(limits: HostLimits, read: ReadText) -> list[Finding]:
    """The range, TIME_WAIT, and the listening backlog."""
    return [_port_range(limits), _time_wait(limits), _backlog(read)]


def _port_range(limits: HostLimits) -> Finding:
    there = limits.a_pair
    verdict = at_least(there, ENOUGH_PORTS, TOO_FEW_PORTS)
    change = "" if verdict is Fitness.OK else "sysctl -w net.ipv4.ip_local_port_range='32768 60999'"
    span = f"{limits.first_port} to {limits.last_port}"
    measured = f"{format_count(there)} for each source address and server ({span})"
    return Finding("ports", measured, format_count(ENOUGH_PORTS), verdict, change, {"a_pair": there})


def _time_wait(limits: HostLimits) -> Finding:
    here_s, elsewhere_s = limits.port_kept_s(LOOPBACK), limits.port_kept_s(REMOTE_ADDRESS)
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
        f"{format_count(somaxconn)} connections may wait (somaxconn)",
        format_count(BACKLOG),
        Fitness.WARN if short else Fitness.OK,
        change,
        {"somaxconn": somaxconn},
    )
