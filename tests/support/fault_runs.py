"""Which injected fault leads to which page status, by how the server recognises repetitions.

This is the table of docs/explanation/what-the-audit-catches.md: a test compares the two, and tests/integration/test_audit.py proves every
cell by a real run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

from harness.base.model import PageStatus
from harness.scenario.client import ClientOptions
from mock_server.profile.server_profile import ServerProfile

DEDUPES: tuple[str, ...] = get_args(ServerProfile.model_fields["dedupe"].annotation)


@dataclass(frozen=True)
class Planted:
    """An injected fault, and the status of the pages that it hits."""

    name: str
    fault: dict[str, Any]
    becomes: dict[str, PageStatus]
    """By `dedupe`."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What else the scenario needs, by dotted key."""


def always(category: PageStatus) -> dict[str, PageStatus]:
    return dict.fromkeys(DEDUPES, category)


def twice_unless_recognised() -> dict[str, PageStatus]:
    """A page is sent again; only a server that recognises it does not store it twice."""
    return {**always(PageStatus.OK), "none": PageStatus.DUPLICATED}


A_FEW = {"probability": 0.04}
SERIAL = {"stations.count": 20, "arrivals.over": "3s", "deadline": "20s"}
"""One station at a time: a crash then interrupts exactly one upload."""
ONE_CRASH = {"kind": "crash_at_commit", "count": 1, "skip_first": 20, "restart_after": "200ms"}
TUS = {"client.protocol": "tus"}
CATCHES = (
    Planted("false_ack", {"kind": "false_ack", **A_FEW}, always(PageStatus.LOST)),
    Planted("lose_after_ack", {"kind": "lose_after_ack", "after": "300ms", **A_FEW}, always(PageStatus.LOST)),
    Planted("corrupt_stored", {"kind": "corrupt_stored", **A_FEW}, always(PageStatus.CORRUPTED)),
    Planted("misfile", {"kind": "misfile", **A_FEW}, always(PageStatus.MISFILED)),
    Planted("duplicate_store", {"kind": "duplicate_store", **A_FEW}, always(PageStatus.DUPLICATED)),
    Planted("misread", {"kind": "misread", "probability": 0.1}, always(PageStatus.ALTERED)),
    Planted("ack_lost", {"kind": "ack_lost", **A_FEW}, twice_unless_recognised()),
    Planted(
        "ack_lost, never tried again", {"kind": "ack_lost", **A_FEW}, always(PageStatus.RECOVERED),
        {"client.retry": {"strategy": "none"}},
    ),
    Planted("crash before the commit", {**ONE_CRASH, "moment": "before"}, always(PageStatus.OK), SERIAL),
    Planted("crash after the commit", {**ONE_CRASH, "moment": "after"}, twice_unless_recognised(), SERIAL),
    Planted("offset_rollback", {"kind": "offset_rollback", **A_FEW}, always(PageStatus.OK), {**TUS, "client.tus": {"chunk_size": "1KB"}}),
    Planted("false_complete", {"kind": "false_complete", **A_FEW}, always(PageStatus.LOST), TUS),
)  # fmt: skip
SPOKEN = set(get_args(ClientOptions.model_fields["protocol"].annotation))
"""Protocols that the client speaks."""
