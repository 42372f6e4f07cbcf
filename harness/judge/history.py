"""Earlier runs: which of them differ from the run before by more than the machine's own noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.bootstrap import log_ratio
from harness.analysis.comparable import COMPARABLE_FIGURES
from harness.judge.compare.noise import ALPHA, Noise, noise_key
from harness.judge.past_runs import HISTORY_FIGURES, PastRun


@dataclass(frozen=True)
class FigureChange:
    """A figure that differs from that of the run before by more than noise."""

    key: str
    before: float
    after: float
    better: bool

    @property
    def ratio(self) -> float:
        """By how much it changed, relative to before: 0.2 is 20 % more."""
        return self.after / self.before - 1


@dataclass(frozen=True)
class HistoryEntry:
    """A run of a history."""

    run: PastRun
    changes: tuple[FigureChange, ...] = ()
    """What differs from the run before that can be compared with it, beyond the noise of a calibration."""
    is_calibrated: bool | None = None
    """Whether a calibration says what is noise; None if there was no run to compare with."""


def make_history(runs: Sequence[PastRun], load_noise: Callable[[str], Noise | None]) -> list[HistoryEntry]:
    """The runs with what changed; `load_noise` gives the calibration stored under a key.

    A run is compared with the latest one before it that is valid, of the same scenario, seed and machine. A figure has changed if its
    logarithm differs by more than two identical runs' would in 95 % of comparisons, all judged figures together.
    """
    latest: dict[tuple[str, int], PastRun] = {}
    entries = []
    for run in runs:
        if run.verdict not in {"pass", "fail"}:
            entries.append(HistoryEntry(run))
            continue
        key = noise_key(run.record)
        before = latest.get((key, run.record.seed))
        noise = None if before is None else load_noise(key)
        entries.append(
            HistoryEntry(
                run,
                () if before is None or noise is None else tuple(find_changes(before.figures, run.figures, noise)),
                is_calibrated=None if before is None else noise is not None,
            )
        )
        latest[key, run.record.seed] = run
    return entries


def find_changes(
    before: Mapping[str, float | None], after: Mapping[str, float | None], noise: Noise
) -> list[FigureChange]:
    """The figures that differ by more than the noise of identical runs; those without noise or a logarithm are left out."""
    found = []
    for key in HISTORY_FIGURES:
        old, new, measured = before.get(key), after.get(key), noise.figures.get(key)
        if not old or not new or measured is None:
            continue
        if abs(log_ratio(old, new)) > measured.half_width(ALPHA):
            found.append(FigureChange(key, old, new, (new > old) == (COMPARABLE_FIGURES[key].better == "higher")))
    return found
