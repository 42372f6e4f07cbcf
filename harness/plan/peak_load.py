"""What a plan asks of a server before anything is sent: its peaks, if every page went through at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.plan.plan import Plan

_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True)
class LoadForecast:
    """Numbers of a plan."""

    stations: int
    pages: int
    total_bytes: int
    first_s: float
    last_s: float
    peak_uploads_per_s: float
    """Pages falling due in the busiest second."""
    peak_bytes_per_s: float
    mean_uploads_per_s: float
    beyond_deadline: int
    """Stations that turn up after the deadline."""


def forecast_load(plan: Plan, deadline_s: float) -> LoadForecast:
    """The plan in numbers; peaks are over whole seconds. Of a closed workload the most that it could come to."""
    due = plan.soonest_s
    last = float(due.max())
    each = len(plan.slots)
    busiest = int(np.bincount((due / _WINDOW_S).astype(np.int64)).max()) * each
    mean_bytes = plan.total_bytes / plan.pages
    return LoadForecast(
        stations=len(plan.stations),
        pages=plan.pages,
        total_bytes=plan.total_bytes,
        first_s=float(due.min()),
        last_s=last,
        peak_uploads_per_s=busiest / _WINDOW_S,
        peak_bytes_per_s=busiest / _WINDOW_S * mean_bytes,
        mean_uploads_per_s=plan.pages / max(last, _WINDOW_S),
        beyond_deadline=int((due >= deadline_s).sum()),
    )
