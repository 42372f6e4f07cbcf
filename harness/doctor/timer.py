"""Timers: how much longer a sleep takes than it was asked to. An attempt can't be more punctual than that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harness.doctor.finding import Finding, Verdict, at_most
from reports.number_format import seconds

ASKED_S = 0.001
SLEEPS = 500
GOOD_S, TOO_LATE_S = 0.001, 0.005
"""5 ms: what a run's lateness may be at p99 before it is INVALID."""


def look(clock: Callable[[], float], sleep: Callable[[float], None]) -> list[float]:
    """By how many seconds each of some sleeps overshot."""
    overshoots = []
    for _ in range(SLEEPS):
        began = clock()
        sleep(ASKED_S)
        overshoots.append(clock() - began - ASKED_S)
    return overshoots


def check(overshoots_s: Sequence[float]) -> list[Finding]:
    """By the 99th percentile."""
    p50, p99, most = (float(np.quantile(overshoots_s, quantile)) for quantile in (0.5, 0.99, 1.0))
    verdict = at_most(p99, GOOD_S, TOO_LATE_S)
    change = "" if verdict is Verdict.OK else "stop what else runs; in a virtual machine: one with cores of its own"
    measured = f"a sleep overshoots by {seconds(p50)} (p50), {seconds(p99)} (p99), {seconds(most)} (most)"
    return [
        Finding(
            "timers",
            measured,
            f"p99 at most {seconds(GOOD_S)}",
            verdict,
            change,
            {"p50_s": p50, "p99_s": p99, "max_s": most},
        )
    ]
