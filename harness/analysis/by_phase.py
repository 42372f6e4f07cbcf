"""The main figures of each phase of a run."""

from __future__ import annotations

import numpy as np

from harness.analysis.attempts_table import CLEAR_PHASE
from harness.analysis.counts import count_outcomes
from harness.analysis.durations import DurationSamples, compute_distribution
from harness.analysis.rows import Rows
from harness.analysis.summary import PhaseFigures
from harness.base.model import ANSWERED, TIMED_OUT
from harness.run_folder.layout import PhaseRecord


def compute_phase_figures(rows: Rows, samples: DurationSamples) -> list[PhaseFigures]:
    """Figures of the phases in their order; attempts and pages belong to the phase in which they fell due.

    Goodput counts the pages acknowledged within the phase, by the deadline. Rates are over the part of the phase that
    the run lived to see, None where that is nothing. The warm-up's figures stand here, though nowhere else.
    """
    phases = rows.record.phases or [PhaseRecord(name=CLEAR_PHASE, start_s=0.0, end_s=rows.end_s)]
    starts = np.array([phase.start_s for phase in phases])

    def number_at(times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        return np.clip(np.searchsorted(starts, times, side="right").astype(np.int32) - 1, 0, None)

    attempts = rows.attempts
    finished = attempts.ended_as(ANSWERED | TIMED_OUT)
    of_attempt = number_at(attempts.due_s)
    of_due = number_at(rows.station_due_s[rows.station_due_s < rows.stop_s])
    of_delivery = number_at(rows.acknowledged_s[rows.acknowledged_s <= rows.record.deadline_s])
    figures = []
    for number, phase in enumerate(phases):
        chosen = of_attempt == number
        over_s = min(phase.end_s, rows.end_s) - phase.start_s
        figures.append(
            PhaseFigures(
                name=phase.name,
                start_s=phase.start_s,
                end_s=phase.end_s,
                attempts=int(chosen.sum()),
                by_outcome=count_outcomes(rows, chosen),
                response_seconds=compute_distribution(samples.responses_of(chosen & finished)),
                offered_per_s=int((of_due == number).sum()) / over_s if over_s > 0 else None,
                goodput_per_s=int((of_delivery == number).sum()) / over_s if over_s > 0 else None,
            )
        )
    return figures
