"""What a tool said of its response times, beside what was true. Pure.

True response = true answer - due. What is *due* is each tool's own schedule:

- Ours: every attempt's own due time (attempts.parquet), so that each attempt has a true response of its own.
- The others tell no due times. While the server is well they are believed to have been on schedule: the truth is what each
  request met at the server, from its arrival to its answer; what a tool is late by is not held against it. Through a freeze the
  schedule goes on at the rate that the tool had before: someone who came then waits until the server thaws, and as long as
  others after that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.peers.reference_server import ObservedRequest
from benchmarks.peers.tools.tool import PERCENTILES

FREEZE_S = 2.0


@dataclass(frozen=True)
class AccuracyRound:
    """One round of one tool. Seconds, by the names of `PERCENTILES` and `max`."""

    tool: str
    case: str
    requests: int
    """That the server answered."""
    per_s: float
    """What the tool really did; before the freeze, if there was one."""
    told: Mapping[str, float]
    true: Mapping[str, float]
    service: Mapping[str, float]
    """Ours alone: from sending to the answer."""
    lag_p99_s: float
    """How late the server itself was with its answers."""
    lateness: Mapping[str, float] = field(default_factory=dict)
    """Ours alone: how late it was with sending, of which its response times have their part."""

    def error_s(self, name: str) -> float | None:
        """Told - true; None where it isn't told."""
        return self.told[name] - self.true[name] if name in self.told else None


def tolerance_s(name: str, true_s: float) -> float:
    """How far a percentile may be off.

    >>> allowed_s("p50", 0.02), allowed_s("p99", 0.5), allowed_s("p99_9", 0.09)
    (0.002, 0.01, 0.01)
    """
    return max(0.010, 0.05 * true_s) if name in {"p99_9", "max"} else max(0.002, 0.02 * true_s)


def percentiles(sample: Sequence[float]) -> dict[str, float]:
    """The nearest-rank percentiles and the greatest of a sample; {} of none.

    >>> percentiles([0.1, 0.3, 0.2, 0.4])["p50"]
    0.2
    """
    if not sample:
        return {}
    ordered = sorted(sample)
    found = {name: ordered[max(0, math.ceil(share * len(ordered)) - 1)] for name, share in PERCENTILES.items()}
    return {**found, "max": ordered[-1]}


def arrival_rate(seen: Sequence[ObservedRequest], until_s: float = math.inf) -> float:
    """Requests that arrived a second, up to a moment."""
    arrived = [one.arrived_s for one in seen if one.arrived_s < until_s]
    return (len(arrived) - 1) / (arrived[-1] - arrived[0]) if len(arrived) > 1 else 0.0


def scheduled_responses(seen: Sequence[ObservedRequest], freeze_after_s: float | None) -> list[float]:
    """True responses for a tool that tells no due times.

    `seen` in the order of arrival; `freeze_after_s` counts from the first arrival.
    """
    if freeze_after_s is None:
        return [one.answered_s - one.arrived_s for one in seen]
    begin_s = seen[0].arrived_s + freeze_after_s
    thaw_s = begin_s + FREEZE_S
    well = [one.answered_s - one.arrived_s for one in seen if not begin_s <= one.arrived_s < thaw_s]
    usual = [one.answered_s - one.arrived_s for one in seen if one.answered_s < begin_s] or [0.0]
    rate = arrival_rate(seen, begin_s)
    due_s = (begin_s + number / rate for number in range(math.floor(FREEZE_S * rate)))
    return well + [thaw_s - due + usual[number % len(usual)] for number, due in enumerate(due_s)]


def responses_from_due(seen: Sequence[ObservedRequest], due_s: Mapping[str, float]) -> list[float]:
    """True responses for due times that are known, by path (on the server's clock)."""
    return [one.answered_s - due_s[one.path] for one in seen]


def lag_p99_s(seen: Sequence[ObservedRequest]) -> float:
    """How late the server answered what was to be answered at a certain moment."""
    return percentiles([one.answered_s - one.scheduled_s for one in seen])["p99"]
