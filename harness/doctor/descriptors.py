"""Descriptors: a connection takes one, and no worker can hold more stations at once than it has."""

from __future__ import annotations

from harness.base.host_limits import RESERVED_DESCRIPTORS, HostLimits
from harness.doctor.finding import Finding, at_least
from harness.scenario.scenario import ClientOptions
from reports.number_format import format_count

ENOUGH_DESCRIPTORS = int(ClientOptions.model_fields["max_in_flight"].default) + RESERVED_DESCRIPTORS
"""For the stations that a worker may have at it at once unless a scenario says otherwise."""
TOO_FEW_DESCRIPTORS = 1_024 + RESERVED_DESCRIPTORS


def check_descriptors(limits: HostLimits, soft: int) -> list[Finding]:
    """The hard limit counts: the harness raises its soft one by itself."""
    hard = limits.descriptors
    verdict = at_least(hard, ENOUGH_DESCRIPTORS, TOO_FEW_DESCRIPTORS)
    change = ""
    if hard < ENOUGH_DESCRIPTORS:
        change = f"ulimit -Hn {ENOUGH_DESCRIPTORS} (as root, or nofile in /etc/security/limits.conf; docker run --ulimit nofile={ENOUGH_DESCRIPTORS})"
    measured = f"hard {format_count(hard)}, soft {format_count(soft)} (raised to it): {format_count(limits.a_process)} stations at once"
    return [
        Finding(
            "descriptors",
            measured,
            f"hard {format_count(ENOUGH_DESCRIPTORS)}",
            verdict,
            change,
            {"hard": hard, "soft": soft},
        ),
    ]
