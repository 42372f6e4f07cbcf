"""Timers: how much longer a sleep takes than it was asked to. An attempt can't be more punctual than that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harness.doctor.finding import Finding, Fitness, at_most
from reports.number_format import format_duration

SLEEP_S = 0.001
SLEEPS = 500
PUNCTUAL_SLEEP_S, LATE_SLEEP_S = 0.001, 0.005
"""5 ms: what a run's lateness may be at p99 before it is INVALID."""


def measure_timer(clock: Callable[[], float], sleep: Callable[[float], None]) -> list[float]:
    """By how many seconds each of some sleeps overshot."""
    overshoots = []
    for _ in range(SLEEPS):
        began = clock()
        sleep(SLEEP_S)
        overshoots.append(clock() - began - SLEEP_S)
    return overshoots


def check_timer(overshoots_s: Sequence[float]) -> list[Finding]:
    """By the 99th percentile."""
    p50, p99, most = (float(np.quantile(overshoots_s, quantile)) for quantile in (0.5, 0.99, 1.0))
    verdict = at_most(p99, PUNCTUAL_SLEEP_S, LATE_SLEEP_S)
    change = "" if verdict is Fitness.OK else "stop what else runs; in a virtual machine: one with cores of its own"
    measured = f"a sleep overshoots by {format_duration(p50)} (p50), {format_duration(p99)} (p99), {format_duration(most)} (most)"
    return [
        Finding(
            "timers",
            measured,
            f"p99 at most {format_duration(PUNCTUAL_SLEEP_S)}",
            verdict,
            change,
            {"p50_s": p50, "p99_s": p99, "max_s": most},
        )
    ]
