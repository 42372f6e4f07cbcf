"""The search for the least level that passes: pure, over the numbers of ordered levels from the weakest to the strongest.

Levels are tried upwards from a starting point in doubling steps, or downwards if it passes, then bisected. What comes out
against the order is kept and named, never smoothed away (words as in RFC 9971 and Theodolite).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.capacity.sampling import Decision


class SearchInterruptedError(Exception):
    """The time for the search is over, or it was interrupted: what is known so far is all that will be."""


@dataclass(frozen=True)
class Bracket:
    """Between which levels the demand lies."""

    passes: int | None
    """The least level that passes; None if none of those tried does."""
    fails: int | None
    """The greatest level below it that fails; None if none below was shown to. Without a level that passes: the greatest that fails."""
    undecided: tuple[int, ...] = ()
    """Levels between the two that were tried and could not be decided."""
    out_of_order: tuple[int, ...] = ()
    """Levels that do not pass, although a weaker one does."""

    @property
    def width(self) -> int | None:
        """How many levels apart the two are: 1 if nothing lies between; None unless both are known."""
        return None if self.passes is None or self.fails is None else self.passes - self.fails


def bracket_of(decisions: Mapping[int, Decision]) -> Bracket:
    """The bracket that the decisions on some levels show."""
    passing = [level for level, decision in decisions.items() if decision == "passes"]
    least = min(passing, default=None)
    below = {level: decision for level, decision in decisions.items() if least is None or level < least}
    fails = max((level for level, decision in below.items() if decision == "fails"), default=None)
    return Bracket(
        least,
        fails,
        tuple(sorted(one for one, what in below.items() if what == "undecided" and (fails is None or one > fails))),
        ()
        if least is None
        else tuple(sorted(one for one, what in decisions.items() if one > least and what != "passes")),
    )


@dataclass
class LevelSearch:
    """One search over `levels` levels; `run` it once. `decide` decides a level, and may raise SearchInterruptedError."""

    levels: int
    decide: Callable[[int], Decision]
    start: int = 0
    """Where to begin: the nearer to the demand, the fewer levels are tried. It excludes nothing."""
    decisions: dict[int, Decision] = field(default_factory=dict)
    """What is known so far, by level."""
    is_complete: bool = False

    def run(self) -> Bracket:
        """The bracket; with what is known so far if the search is interrupted."""
        try:
            low, high = self._enclose()
            while high - low > 1 and high < self.levels:
                middle = (low + high) // 2
                low, high = (low, middle) if self._passes(middle) else (middle, high)
            self._check_above(high)
            self.is_complete = True
        except SearchInterruptedError:
            pass
        return bracket_of(self.decisions)

    def _passes(self, level: int) -> bool:
        if level not in self.decisions:
            self.decisions[level] = self.decide(level)
        return self.decisions[level] == "passes"

    def _enclose(self) -> tuple[int, int]:
        """A level that does not pass (-1: below all) and a stronger one that does (`levels`: beyond all)."""
        at, step = min(max(self.start, 0), self.levels - 1), 1
        if self._passes(at):
            high = at
            while high > 0:
                below = max(0, high - step)
                if not self._passes(below):
                    return below, high
                high, step = below, 2 * step
            return -1, 0
        low = at
        while low < self.levels - 1:
            above = min(self.levels - 1, low + step)
            if self._passes(above):
                return low, above
            low, step = above, 2 * step
        return low, self.levels

    def _check_above(self, high: int) -> None:
        """Try one stronger level too: more of a resource may do harm, and the bracket alone would not show it."""
        if high < self.levels - 1:
            self._passes(min(self.levels - 1, 2 * high + 1))
