"""Loopback: how many bytes a second one process can send another on this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable

from harness.doctor.finding import Finding, Fitness, at_least
from reports.number_format import format_byte_rate

LOOPBACK_FOR_S = 0.5
ENOUGH_LOOPBACK_BYTES_PER_S, TOO_LITTLE_LOOPBACK_BYTES_PER_S = 500e6, 50e6
"""500 photos of 500 KB a second, and as much again; a tenth of it would be the network's limit and not the server's."""
_CHUNK = bytes(1 << 20)


def measure_loopback(port: int, clock: Callable[[], float]) -> float:
    """Bytes a second to the sink on that port: one endless request, broken off."""
    with socket.create_connection(("127.0.0.1", port), 5.0) as connection:
        connection.sendall(b"PUT / HTTP/1.1\r\nHost: sink\r\nContent-Length: 999999999999\r\n\r\n")
        began, sent = clock(), 0
        while (now := clock()) - began < LOOPBACK_FOR_S:
            connection.sendall(_CHUNK)
            sent += len(_CHUNK)
    return sent / (now - began)


def check_loopback(bytes_per_s: float) -> list[Finding]:
    """By its throughput."""
    verdict = at_least(bytes_per_s, ENOUGH_LOOPBACK_BYTES_PER_S, TOO_LITTLE_LOOPBACK_BYTES_PER_S)
    change = (
        ""
        if verdict is Fitness.OK
        else "stop what else runs; look for traffic rules: tc qdisc show dev lo, nft list ruleset"
    )
    needed = format_byte_rate(ENOUGH_LOOPBACK_BYTES_PER_S)
    return [Finding("loopback", format_byte_rate(bytes_per_s), needed, verdict, change, {"bytes_per_s": bytes_per_s})]
