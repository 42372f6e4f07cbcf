"""What a worker is told, and where that has it send to."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import Any

from harness.base.address import Origin, is_loopback, parse_origin, resolve_address
from harness.base.errors import UsageError
from harness.drive.client.connection import Endpoint
from harness.drive.client.consent_guard import ConsentGuard
from harness.drive.client.tls import TlsConfig
from harness.drive.distributed.join import LEADER_ADDRESS
from harness.target.tls import make_tls_context

CONSENT_TOKEN = "HARNESS_CONSENT_TOKEN"  # noqa: S105 - a variable's name
"""Of the environment: the token that the target's consent must name; a worker of another machine hears it with its orders."""


@dataclass(frozen=True)
class Assignment:
    """What a worker is told: everything it needs to work out its shard. Travels as a message."""

    rank: int
    workers: int
    run: str
    scenario: dict[str, Any]
    target: str
    address: str
    """Where the target is: the only address that is loaded. "" looks it up."""
    journal: str
    """Folder for the journal."""
    metrics_port: int
    """0 lets the kernel choose."""
    limits_s: list[float]
    """Limits of the thresholds: more bounds for the histograms' buckets."""
    pin_secret: str = field(repr=False)
    """"" makes every PIN the last six digits of the station's code."""
    authority: str | None = None
    """PEM text of the certificates to trust where the target speaks TLS; None: the system's."""
    own_server: bool = False
    """The target is the mock that the master's own machine runs. Said to workers of other machines, as all that follows."""
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    """Variables of the master's environment that a worker reads."""
    region: bytes = b""
    """The station list (CSV, zlib) where it doesn't ship with the package."""
    plan_sha256: str = ""
    """What the plan must come to; "" where nobody compares."""


def resolve_target(orders: Assignment) -> Endpoint:
    """Where to connect, looked up once at most; anywhere but on loopback with a guard that has read the consent itself.

    Raises ConsentError (a UsageError) where the target doesn't consent, UsageError where there is no such address.
    """
    origin = parse_origin(orders.target)
    if origin is None:
        message = f"{orders.target} is no target"
        raise UsageError(message)
    address = orders.address or resolve_address(origin)
    joined_at = os.environ.get(LEADER_ADDRESS, "")
    if joined_at and is_loopback(address) and not is_loopback(joined_at):
        message = f"{orders.target} leads to {address}: that is this worker's own machine, not its master's"
        raise UsageError(message)
    tls = guard = None
    if origin.scheme == "https":
        tls = TlsConfig(
            make_tls_context(orders.authority), origin.host, bool(orders.scenario["client"]["tls"]["resumption"])
        )
    if not (is_loopback(address) or _is_leaders_mock(orders, address)):
        token = orders.environment.get(CONSENT_TOKEN, "") or os.environ.get(CONSENT_TOKEN, "")
        guard = ConsentGuard(origin, address, token, orders.workers, None if tls is None else tls.context)
    return make_target(origin, address, int(orders.scenario["client"]["source_addresses"]), tls, guard)


def make_target(
    origin: Origin, address: str, source_addresses: int, tls: TlsConfig | None = None, guard: ConsentGuard | None = None
) -> Endpoint:
    """Where to connect; from several source addresses only on loopback, which has them."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    several = is_loopback(address) and source_addresses > 1 and family == socket.AF_INET
    sources = tuple(f"127.0.0.{number + 1}" for number in range(source_addresses)) if several else ()
    return Endpoint(family, (address, origin.port), origin.host_header, sources, tls, guard)


def _is_leaders_mock(orders: Assignment, address: str) -> bool:
    """Whether the target is the machine that asks for the load: its mock, at the very address where we joined it.

    Who answered there knew the join token. That is its consent; anything else at another address publishes one.
    """
    return orders.own_server and address == os.environ.get(LEADER_ADDRESS)
