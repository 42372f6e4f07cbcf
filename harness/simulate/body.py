"""The body of a request on its way to the simulated server."""

from __future__ import annotations

from typing import Protocol

from harness.simulate.incoming import IncomingRequest


class Body(Protocol):
    """A request's body on its way."""

    head_bytes: int
    body_bytes: int
    read_bytes: int
    """How many the server has taken."""
    began_s: float
    """When the first bytes arrive."""
    complete_s: float
    """When the last bytes arrive, however late they are read; infinite before that over an ingress."""
    incoming: IncomingRequest | None
    """Its bytes on a shared line; None if the server's ingress has no rate."""


def arrived_bytes(body: Body, now_s: float) -> int:
    """Bytes of a body that have arrived by now, as far as the server reads."""
    span_s = body.complete_s - body.began_s
    if body.read_bytes == body.body_bytes or now_s >= body.complete_s or span_s <= 0:
        return body.body_bytes
    return int(max(0.0, now_s - body.began_s) / span_s * body.body_bytes)
