"""Joining a run from another machine: environment variables, the join request, the rules for accepting it, heartbeats.

Pure: leader and workers, Locust's processes and plain ones import it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from harness.scenario.own_client import display_name

PROTOCOL_VERSION = 3
"""Version of the messages between leader and workers: raise it with every change.

What is exchanged before a worker is accepted ("time", "join", "welcome", "refused", "over") must stay as it is: a worker of
another version must be able to ask, and to understand that it is rejected.
"""
DEFAULT_PORT = 5557
"""Where a leader listens by default (Locust's own default)."""
MAX_WALL_OFFSET_S = 0.25
"""Machines whose wall clocks differ by more are rejected: T0's label, logs and certificates would contradict each other."""
HEARTBEAT_INTERVAL_S = 0.5
"""Workers on other machines report at least that often."""
HEARTBEAT_TIMEOUT_S = 5.0
"""A worker or leader from which nothing was received for that long is lost.

Long enough for a short stall, and for a segment that is lost four times in a row (TCP on Linux sends it again after 0.2, 0.6,
1.4 and 3 s); short enough that little of the plan is missed. Workers on the leader's own machine have no heartbeats: the same
limit applies to their scrapes.
"""

LEADER_ADDRESS = "HARNESS_MASTER_ADDRESS"
"""Environment variable of a worker on another machine: the address at which it joined its leader."""
OWN_CLIENT = "HARNESS_OWN_CLIENT"
"""Environment variable of a worker on another machine: the own client that it may run, a file or an installed one's name."""
CLOCK_OFFSET = "HARNESS_CLOCK_OFFSET"
"""Environment variable of a worker on another machine: the leader's monotonic clock minus this machine's, seconds."""
REMOTE_WORKERS = "HARNESS_REMOTE_WORKERS"
"""Environment variable of the leader: how many workers on other machines it waits for."""
JOIN_TIMEOUT = "HARNESS_JOIN_TIMEOUT"
"""Environment variable of the leader: for how many seconds it waits."""


@dataclass(frozen=True)
class JoinRequest:
    """What a worker reports about itself when it asks to join."""

    name: str
    """Its host's name."""
    package: str
    """Version of upload-harness."""
    protocol: int
    cores: int
    limits: dict[str, Any]
    """Its ports and descriptors: a `harness.base.host_limits.HostLimits`."""
    offset_s: float
    """The leader's monotonic clock minus its own."""
    wall_offset_s: float
    uncertainty_s: float
    own_client_sha256: str = ""
    """Digest of the own client that it may run; "" if it may run none."""

    @classmethod
    def parse(cls, content: Any) -> Self | None:
        """The request in a message; None if the message is not one of this protocol version."""
        try:
            return cls(**content)
        except TypeError:
            return None

    def to_message(self) -> dict[str, Any]:
        """The content of its message."""
        return asdict(self)


def rejection_reason(content: Any, package: str, *, free: int, own_client: tuple[str, str] = ("", "")) -> str:
    """Why a run of version `package` that still wants `free` workers rejects this join request; "" if it accepts.

    `own_client` is the run's own client, its name and digest; ("", "") if the run has none.
    """
    # Versions are compared before anything else is parsed: a message of another version may have any form.
    fields = content if isinstance(content, dict) else {}
    theirs = (fields.get("package"), fields.get("protocol"))
    if theirs != (package, PROTOCOL_VERSION):
        return (
            f"it has upload-harness {theirs[0]} (protocol {theirs[1]}), the run has {package} (protocol {PROTOCOL_VERSION}): "
            "install the same version on every machine"
        )
    request = JoinRequest.parse(fields)
    if request is None:
        return "malformed join request"
    if abs(request.wall_offset_s) > MAX_WALL_OFFSET_S:
        return (
            f"its clock differs from the leader's by {1000 * request.wall_offset_s:+,.0f} ms "
            f"(± {1000 * request.uncertainty_s:,.1f} ms; allowed: {1000 * MAX_WALL_OFFSET_S:,.0f} ms): synchronise both with the "
            "same time server (NTP, chrony)"
        )
    if own_client[1] and request.own_client_sha256 != own_client[1]:
        return _explain_own_client(*own_client, theirs=request.own_client_sha256)
    if free < 1:
        return "the run already has all the workers that it needs"
    return ""


def _explain_own_client(name: str, sha256: str, *, theirs: str) -> str:
    name = display_name(name)
    if not theirs:
        return (
            f"the run has the own client {name}, and this worker was started without: copy the same code there and name it with "
            "--allow-code"
        )
    return (
        f"its own client differs from the run's {name} (SHA-256 {theirs[:12]}…, the run's {sha256[:12]}…): copy the same code "
        "to every machine"
    )
