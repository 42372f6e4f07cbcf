"""Who may join a run: what a worker says of itself, and the rules it is let in or refused by. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

PROTOCOL_VERSION = 1
"""Number of the run's own protocol between master and workers: every change of a message raises it."""
DEFAULT_PORT = 5557
"""Where a master listens unless told (Locust's own number)."""
MAX_WALL_OFFSET_S = 0.25
"""Machines whose clocks differ by more don't keep time: T0's label, logs and certificates would contradict each other."""


@dataclass(frozen=True)
class JoinRequest:
    """What a worker says of itself when it asks to join."""

    name: str
    """Its host's name."""
    package: str
    """Version of upload-harness."""
    protocol: int
    cores: int
    limits: dict[str, Any]
    """What it has for connections: `harness.plan.capacity.Limits`."""
    offset_s: float
    """Its monotonic clock less the master's."""
    wall_offset_s: float
    uncertainty_s: float

    @classmethod
    def read(cls, content: Any) -> Self | None:
        """What a message holds; None where that isn't what a candidate of this protocol says."""
        try:
            return cls(**content)
        except TypeError:
            return None

    def told(self) -> dict[str, Any]:
        """The message's content."""
        return asdict(self)


def rejection_reason(content: Any, package: str, *, free: int) -> str:
    """Why this candidate can't join a run of this `package` with so many free places; "" where it can.

    The versions come first, whatever else the message may hold: another version's needn't be readable.
    """
    said = content if isinstance(content, dict) else {}
    theirs = (said.get("package"), said.get("protocol"))
    if theirs != (package, PROTOCOL_VERSION):
        return (
            f"it has upload-harness {theirs[0]} (protocol {theirs[1]}), the run has {package} (protocol {PROTOCOL_VERSION}): "
            "install the same version on every machine"
        )
    candidate = JoinRequest.read(said)
    if candidate is None:
        return "what it says of itself can't be read"
    if abs(candidate.wall_offset_s) > MAX_WALL_OFFSET_S:
        return (
            f"its clock is {1000 * candidate.wall_offset_s:+,.0f} ms off the master's (± {1000 * candidate.uncertainty_s:,.1f} ms; "
            f"allowed: {1000 * MAX_WALL_OFFSET_S:,.0f} ms): set both by the same time server (NTP, chrony)"
        )
    if free < 1:
        return "the run has all the workers that it wants"
    return ""
