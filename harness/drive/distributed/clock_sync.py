"""How far another machine's clocks are from ours, from message round trips. Pure.

As NTP does it (RFC 5905, section 10: the clock filter): of several round trips the one with the least delay is the one that
waited least in queues, and half its delay bounds the error, whichever way took longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A question and its answer. Times in seconds; `wall` is Unix time, the rest monotonic, each by its own machine."""

    sent_s: float
    """When we asked."""
    received_s: float
    """When we had the answer."""
    sent_wall_s: float
    theirs_s: float
    """When they answered."""
    theirs_wall_s: float

    @property
    def delay_s(self) -> float:
        """How long it took, there and back."""
        return self.received_s - self.sent_s


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Our clocks less theirs."""

    monotonic_s: float
    """Add it to a moment of their monotonic clock for the same moment on ours."""
    wall_s: float
    uncertainty_s: float
    """Both are that exact at worst: half the delay of the round trip they come from."""


def estimate_offset(trips: Sequence[RoundTrip]) -> ClockOffset:
    """The offset by the round trip with the least delay, of at least one.

    >>> offset_of([RoundTrip(10.0, 10.2, 500.0, 3.1, 499.9), RoundTrip(11.0, 12.0, 501.0, 4.9, 501.0)])
    Offset(monotonic_s=7.0, wall_s=0.2, uncertainty_s=0.1)
    """
    best = min(trips, key=lambda trip: trip.delay_s)
    half_s = best.delay_s / 2
    return ClockOffset(
        monotonic_s=round(best.sent_s + half_s - best.theirs_s, 9),
        wall_s=round(best.sent_wall_s + half_s - best.theirs_wall_s, 6),
        uncertainty_s=round(half_s, 9),
    )


def clock_drift_s(first: ClockOffset, last: ClockOffset) -> float:
    """By how much the monotonic clocks went apart between two offsets, beyond what the two may err by; signed.

    >>> round(drift_s(Offset(5.0, 0, 0.001), Offset(5.01, 0, 0.002)), 6)
    0.007
    """
    apart_s = last.monotonic_s - first.monotonic_s
    sure_s = max(0.0, abs(apart_s) - first.uncertainty_s - last.uncertainty_s)
    return sure_s if apart_s > 0 else -sure_s
