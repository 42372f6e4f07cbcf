"""What the rounds of the truth bench come to: told beside true, and whether the difference is small enough. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.peers.accuracy_figures import AccuracyRound, tolerance_s

LATENESS_GOAL = ("3,000/s", 0.002)
"""At this load our p99 lateness is to be at most so many seconds."""


@dataclass(frozen=True)
class PercentileError:
    """A percentile: medians over the rounds. Seconds."""

    told_s: float
    true_s: float
    off_s: float
    """Told - true."""
    far_s: float
    """|told - true|: what is judged, so that rounds that are off to either side don't cancel."""
    allowed_s: float

    @property
    def holds(self) -> bool:
        """Whether it is as near to the truth as it has to be."""
        return self.far_s <= self.allowed_s


@dataclass(frozen=True)
class AccuracySummary:
    """A tool at a load over all rounds."""

    case: str
    tool: str
    rounds: int
    per_s: float
    said: Mapping[str, PercentileError]
    service: Mapping[str, float]
    """Ours alone: medians, seconds."""
    lag_p99_s: float
    """The worst round's."""
    lateness: Mapping[str, float]
    """Ours alone: medians, seconds; {} where it was not recorded."""

    @property
    def holds(self) -> bool:
        """Whether all that is told holds."""
        return all(said.holds for name, said in self.said.items() if name != "max")


def summarise_accuracy(truths: Sequence[AccuracyRound]) -> list[AccuracySummary]:
    """Every tool at every load, in the order of the first round."""
    by_key: dict[tuple[str, str], list[AccuracyRound]] = {}
    for truth in truths:
        by_key.setdefault((truth.case, truth.tool), []).append(truth)
    return [_summarise(case, tool, rounds) for (case, tool), rounds in by_key.items()]


def _summarise(case: str, tool: str, rounds: Sequence[AccuracyRound]) -> AccuracySummary:
    told = [name for name in rounds[0].told if all(name in one.told and name in one.true for one in rounds)]
    return AccuracySummary(
        case=case,
        tool=tool,
        rounds=len(rounds),
        per_s=statistics.median(one.per_s for one in rounds),
        said={name: _percentile_error(name, rounds) for name in told},
        service=_medians([one.service for one in rounds]),
        lag_p99_s=max(one.lag_p99_s for one in rounds),
        lateness=_medians([one.lateness for one in rounds]),
    )


def _medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each figure that every round has."""
    names = [name for name in rounds[0] if all(name in one for one in rounds)]
    return {name: statistics.median(one[name] for one in rounds) for name in names}


def _percentile_error(name: str, rounds: Sequence[AccuracyRound]) -> PercentileError:
    true_s = statistics.median(one.true[name] for one in rounds)
    off = [one.told[name] - one.true[name] for one in rounds]
    return PercentileError(
        told_s=statistics.median(one.told[name] for one in rounds),
        true_s=true_s,
        off_s=statistics.median(off),
        far_s=statistics.median(map(abs, off)),
        allowed_s=tolerance_s(name, true_s),
    )
