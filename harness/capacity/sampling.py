"""When a level is decided: how many seeds must meet the goal, and how many failures show that it does not.

A level *passes* if the goal is met with at least the wanted probability, and *fails* if it is not, each shown with the wanted
confidence. Both may be decided after any seed, so the error that each may make is divided among all the moments at which it could be:
stopping at the first lucky moment would otherwise be wrong more often than promised.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.stats import beta, binom

Decision = Literal["passes", "fails", "undecided"]

_PATIENCE = 4
"""A level is given up as undecided after this many times the seeds that a faultless level needs."""


@dataclass(frozen=True)
class SamplingRule:
    """How often the goal must be met, and with which confidence that is to be known. Both lie between 0 and 1."""

    probability: float = 0.95
    confidence: float = 0.95

    @property
    def fewest(self) -> int:
        """Seeds after which a level without any failure passes: 29 for 90 %, 59 for 95 % (with 95 % confidence)."""
        return math.ceil(math.log(1 - self.confidence) / math.log(self.probability))

    @property
    def most(self) -> int:
        """Seeds after which a level is undecided."""
        return _PATIENCE * self.fewest

    @cached_property
    def failures_allowed(self) -> int:
        """With how many failures a level still passes after `most` seeds.

        The rule without failures has used up nearly all of the error; this one gets what it left over.
        """
        left = (1 - self.confidence) - self.probability**self.fewest
        counts = np.arange(self.most + 1)
        return int(np.count_nonzero(binom.cdf(counts, self.most, 1 - self.probability) <= left)) - 1

    @cached_property
    def _failing_from(self) -> list[int]:
        """By number of seeds: how many failures show that the level fails."""
        seeds = np.arange(1, self.most + 1)
        errors = (1 - self.confidence) / (seeds * (seeds + 1.0))  # their sum is the whole error
        found = binom.isf(errors, seeds, 1 - self.probability).astype(int) + 1
        return [1, *found.tolist()]

    def decide(self, passed: int, failed: int) -> Decision | None:
        """What these counts show; None while another seed is needed."""
        seeds = passed + failed
        if not seeds:
            return None
        if failed == 0 and seeds >= self.fewest:
            return "passes"
        if failed >= self._failing_from[min(seeds, self.most)]:
            return "fails"
        if seeds >= self.most:
            return "passes" if failed <= self.failures_allowed else "undecided"
        return None

    def interval(self, passed: int, failed: int) -> tuple[float, float]:
        """Clopper and Pearson's bounds of the probability that the goal is met, each by itself with `confidence`."""
        error = 1 - self.confidence
        low = float(beta.ppf(error, passed, failed + 1)) if passed else 0.0
        high = float(beta.isf(error, passed + 1, failed)) if failed else 1.0
        return low, high


@dataclass(frozen=True)
class VoteCount:
    """What the seeds of one level have shown."""

    passed: int
    failed: int
    unknown: int
    """Seeds of which nobody can tell: neither for nor against."""
    decision: Decision


def count_votes(votes: Iterable[bool | None], rule: SamplingRule) -> VoteCount:
    """Take votes until they decide; the rest is not asked for.

    A vote is whether a seed met the goal, None if nobody can tell. If that is so of more than `rule.most`, or the votes
    end too early, the level is undecided.
    """
    passed = failed = unknown = 0
    for vote in votes:
        if vote is None:
            unknown += 1
            if unknown > rule.most:
                break
            continue
        passed, failed = passed + vote, failed + (not vote)
        decision = rule.decide(passed, failed)
        if decision is not None:
            return VoteCount(passed, failed, unknown, decision)
    return VoteCount(passed, failed, unknown, "undecided")
