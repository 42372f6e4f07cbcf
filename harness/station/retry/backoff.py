"""Pauses that grow: v = min(cap, base·2^n), n counted from 0.

AWS Architecture Blog, "Exponential Backoff And Jitter", and its simulator (github.com/aws-samples/aws-arch-backoff-simulator,
classes ExpoBackoff, ExpoBackoffEqualJitter, ExpoBackoffFullJitter).
"""

from __future__ import annotations

from typing import Protocol

from harness.station.retry.rng import RandomSource


class BackoffLimits(Protocol):
    """First and longest pause, seconds."""

    @property
    def base(self) -> float:
        """The first."""

    @property
    def cap(self) -> float:
        """The longest."""


def exponential_s(growth: BackoffLimits, n: int) -> float:
    """v: seconds before retry number `n`, from 0."""
    return min(growth.cap, growth.base * 2.0 ** min(n, 60))


def equal_jitter_s(growth: BackoffLimits, n: int, rng: RandomSource) -> float:
    """v/2 + U(0, v/2): half is certain, half is spread."""
    half = exponential_s(growth, n) / 2
    return half + rng.uniform(0.0, half)


def full_jitter_s(growth: BackoffLimits, n: int, rng: RandomSource) -> float:
    """U(0, v): all of it is spread."""
    return rng.uniform(0.0, exponential_s(growth, n))
