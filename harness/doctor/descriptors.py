"""Descriptors: a connection takes one, and no worker can hold more stations at once than it has."""

from __future__ import annotations

from harness.base.host_limits import RESERVED_DESCRIPTORS, Limits
from harness.doctor.finding import Finding, at_least
from harness.scenario.scenario import Client
from reports.number_format import count

ENOUGH = int(Client.model_fields["max_in_flight"].default) + RESERVED_DESCRIPTORS
"""For the stations that a worker may have at it at once unless a scenario says otherwise."""
TOO_FEW = 1_024 + RESERVED_DESCRIPTORS


def check(limits: Limits, soft: int) -> list[Finding]:
    """The hard limit counts: the harness raises its soft one by itself."""
    hard = limits.descriptors
    verdict = at_least(hard, ENOUGH, TOO_FEW)
    change = ""
    if hard < ENOUGH:
        change = f"ulimit -Hn {ENOUGH} (as root, or nofile in /etc/security/limits.conf; docker run --ulimit nofile={ENOUGH})"
    measured = f"hard {count(hard)}, soft {count(soft)} (raised to it): {count(limits.a_process)} stations at once"
    return [
        Finding("descriptors", measured, f"hard {count(ENOUGH)}", verdict, change, {"hard": hard, "soft": soft}),
    ]
