"""A station's luck: random numbers whose generator is made when the first one is drawn.

Python's generator has 2.5 KB of state and takes 10 µs to seed; most stations of a good evening never need theirs.
"""

from __future__ import annotations

from random import Random
from typing import Protocol


class RandomSource(Protocol):
    """What a strategy draws from; `random.Random` is one."""

    def random(self) -> float:
        """From 0 to before 1."""

    def uniform(self, a: float, b: float) -> float:
        """From `a` to `b`."""


class LazyRandom:
    """Draws as `random.Random(seed)` would."""

    __slots__ = ("_rng", "_seed")

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._rng: Random | None = None

    def random(self) -> float:
        """From 0 to before 1."""
        return self._drawn_from().random()

    def uniform(self, a: float, b: float) -> float:
        """From `a` to `b`."""
        return self._drawn_from().uniform(a, b)

    def _drawn_from(self) -> Random:
        if self._rng is None:
            self._rng = Random(self._seed)
        return self._rng
