"""Ports: how many connections there can be to one server, how fast they come back, and how many may wait to be taken."""

from __future__ import annotations

from harness.base.host_limits import TIME_WAIT_S, Limits
from harness.doctor.finding import Finding, Read, Verdict, at_least
from harness.plan.capacity import LOOPBACK
from reports.number_format import count

_SYSCTL = "/proc/sys/net/"
ENOUGH, TOO_FEW = 20_000, 1_000
"""The most stations that a worker has at it at once by default; a thousand hold a small run."""
BACKLOG = 4_096
"""What the mock server listens with."""
ELSEWHERE = "192.0.2.1"
"""Any address that isn't this machine's (RFC 5737)."""


def check(limits: Limits, read: Read) -> list[Finding]:
    """The range, TIME_WAIT, and the listening backlog."""
    return [_range(limits), _time_wait(limits), _backlog(read)]


def _range(limits: Limits) -> Finding:
    there = limits.a_pair
    verdict = at_least(there, ENOUGH, TOO_FEW)
    change = "" if verdict is Verdict.OK else "sysctl -w net.ipv4.ip_local_port_range='32768 60999'"
    span = f"{limits.first_port} to {limits.last_port}"
    measured = f"{count(there)} for each source address and server ({span})"
    return Finding("ports", measured, count(ENOUGH), verdict, change, {"a_pair": there})


def _time_wait(limits: Limits) -> Finding:
    here_s, elsewhere_s = limits.port_kept_s(LOOPBACK), limits.port_kept_s(ELSEWHERE)
    slow = here_s == TIME_WAIT_S
    change = "sysctl -w net.ipv4.tcp_tw_reuse=2 net.ipv4.tcp_timestamps=1" if slow else ""
    return Finding(
        "TIME_WAIT",
        f"a port is kept {here_s:g} s on loopback, {elsewhere_s:g} s elsewhere (tcp_tw_reuse {limits.tw_reuse})",
        "below 60 s on loopback",
        Verdict.WARN if slow else Verdict.OK,
        change,
        {"loopback_s": here_s, "elsewhere_s": elsewhere_s, "tcp_tw_reuse": limits.tw_reuse},
    )


def _backlog(read: Read) -> Finding:
    somaxconn = int(read(_SYSCTL + "core/somaxconn") or 4_096)
    short = somaxconn < BACKLOG
    change = f"sysctl -w net.core.somaxconn={BACKLOG}" if short else ""
    return Finding(
        "backlog",
        f"{count(somaxconn)} connections may wait (somaxconn)",
        count(BACKLOG),
        Verdict.WARN if short else Verdict.OK,
        change,
        {"somaxconn": somaxconn},
    )
