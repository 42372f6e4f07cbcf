"""Every attempt of an evening, in arrays: who tries when, how it ends, and who tries again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.base.model import DELIVERED, OUTCOMES, Outcome
from harness.run_folder.journal import GiveUpReason

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

PAGES_PER_STATION = 3
MAX_ATTEMPTS = 12
BROWNOUT_RATIOS = (0.28, 0.42)
"""Share of the time to the deadline."""
_FAILURES = {
    Outcome.UNAVAILABLE: 0.70, Outcome.TIMEOUT_RESPONSE: 0.19, Outcome.THROTTLED: 0.06, Outcome.RESET: 0.03,
    Outcome.SERVER_ERROR: 0.02,
}  # fmt: skip


@dataclass(frozen=True)
class SyntheticAttempts:
    """Attempts in no order. Shapes (attempts,); of `gave_up` (pages given up,)."""

    page: IntArray
    attempt: IntArray
    due_s: FloatArray
    sent_s: FloatArray
    done_s: FloatArray
    outcome: IntArray
    gave_up_page: IntArray
    gave_up_s: FloatArray
    gave_up_attempts: IntArray
    gave_up_reason: IntArray


def make_attempts(station_due_s: FloatArray, deadline_s: float, rng: np.random.Generator) -> SyntheticAttempts:
    """Every attempt of stations that turn up then: page after page, each tried until it is through or given up."""
    rounds: list[tuple[npt.NDArray[np.generic], ...]] = []
    given_up: list[tuple[npt.NDArray[np.generic], ...]] = []
    station, due_s = np.arange(len(station_due_s)), station_due_s.copy()
    for number in range(PAGES_PER_STATION):
        through_s = np.full(len(station_due_s), np.nan)
        trying, now_s = station, due_s[station]
        for attempt in range(1, MAX_ATTEMPTS + 1):
            late = now_s >= deadline_s
            given_up.append(_give_up(trying[late], number, attempt - 1, deadline_s, GiveUpReason.DEADLINE))
            trying, now_s = trying[~late], now_s[~late]
            sent_s, done_s, outcome = _attempt_round(now_s, deadline_s, rng)
            page = trying * PAGES_PER_STATION + number
            rounds.append((page, np.full(len(page), attempt), now_s, sent_s, done_s, outcome))
            through = np.isin(outcome, [OUTCOMES.index(one) for one in DELIVERED])
            through_s[trying[through]] = done_s[through]
            trying, now_s = trying[~through], done_s[~through]
            now_s = now_s + rng.uniform(0.0, min(30.0, 2.0 ** (attempt - 1)), len(now_s))
        at_s = float(now_s.max(initial=0.0))
        given_up.append(_give_up(trying, number, MAX_ATTEMPTS, min(at_s, deadline_s), GiveUpReason.ATTEMPTS_USED_UP))
        station = np.flatnonzero(np.isfinite(through_s))
        due_s = through_s
    columns = [np.concatenate(column) for column in zip(*rounds, strict=True)]
    return SyntheticAttempts(*columns, *(np.concatenate(column) for column in zip(*given_up, strict=True)))


def _give_up(
    station: IntArray, number: int, attempts: int, at_s: float, reason: GiveUpReason
) -> tuple[npt.NDArray[np.generic], ...]:
    count = len(station)
    return (
        station * PAGES_PER_STATION + number, np.full(count, at_s), np.full(count, attempts), np.full(count, int(reason)),
    )  # fmt: skip


def _attempt_round(
    due_s: FloatArray, deadline_s: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, IntArray]:
    """When attempts were sent and done, and how they ended."""
    count, share = len(due_s), due_s / deadline_s
    fails = np.select(
        [share < 0.03, (share >= BROWNOUT_RATIOS[0]) & (share < BROWNOUT_RATIOS[1]), share < 0.55],
        [0.15, 0.93, 0.80],
        0.4,
    )
    sent_s = due_s + rng.exponential(3e-4, count)
    kinds = list(_FAILURES)
    failure = rng.choice([OUTCOMES.index(kind) for kind in kinds], count, p=list(_FAILURES.values()))
    success = np.where(rng.random(count) < 0.005, OUTCOMES.index(Outcome.REPLAYED), OUTCOMES.index(Outcome.ACCEPTED))
    failed = rng.random(count) < fails
    outcome = np.where(failed, failure, success)
    took_s = np.where(failed, rng.lognormal(np.log(0.02), 0.8, count), rng.lognormal(np.log(0.4), 1.0, count))
    took_s[outcome == OUTCOMES.index(Outcome.TIMEOUT_RESPONSE)] = 10.0
    return sent_s, sent_s + np.clip(took_s, 1e-3, 10.0), outcome
