"""The stretches of a run that a condition must hold in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.judge.thresholds.condition import Condition
from harness.judge.thresholds.units import format_value
from harness.run_folder.layout import FaultRecord, RunRecord

STEPS_PER_WINDOW = 10
"""Windows of `over` begin every tenth of their length."""
RECOVERY_WINDOW_S = 5.0
"""Length of the windows of `within … of end of` where `over` doesn't give one: that of a recovery's goodput."""
ROUNDING_TOLERANCE_S = 1e-9


class NoWindowError(Exception):
    """There is nothing to look at: why, in words."""


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A stretch of the run, from a moment on and up to another (not included)."""

    from_s: float
    to_s: float
    is_whole: bool = False
    """The run from the end of the warm-up on, or its rest: what comes after `to_s` belongs to it too, while the server is
    drained and the last answers come."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.to_s - self.from_s


def find_windows(
    condition: Condition, record: RunRecord, stop_s: float, *, to_the_end: bool = True
) -> list[TimeWindow]:
    """Where the condition must hold, in the order of time; `stop_s` is when the run stopped making attempts.

    Without `to_the_end` the run goes on: only those that are over by `stop_s`. Raises NoWindowError where there is none.
    """
    part = _relevant_part(condition, record, stop_s)
    if condition.span is not None and condition.span.kind == "within":
        length_s = condition.over_s or (min(RECOVERY_WINDOW_S, part.seconds) if to_the_end else RECOVERY_WINDOW_S)
        found = _sliding(part, length_s, to_the_end=to_the_end)
        settled_s = part.from_s + condition.span.within_s
        return [one for one in found if one.from_s >= settled_s - ROUNDING_TOLERANCE_S] or found[-1:]
    if condition.over_s is not None:
        return _sliding(part, condition.over_s, to_the_end=to_the_end)
    return [part]


def _relevant_part(condition: Condition, record: RunRecord, stop_s: float) -> TimeWindow:
    """The part of the run that the condition is about."""
    span = condition.span
    if span is None:
        return TimeWindow(record.warm_up_s, stop_s, is_whole=True)
    fault = next((one for one in record.faults if one.name == span.fault), None)
    if fault is None:
        message = f"no data: the run had no fault {span.fault}"
        raise NoWindowError(message)
    if span.kind == "during":
        found = TimeWindow(max(fault.start_s, record.warm_up_s), min(_end_of(fault), stop_s))
        if found.seconds <= 0:
            message = f"no data: the run stopped at {format_value(stop_s, 's')}, before {fault.name} began"
            raise NoWindowError(message)
        return found
    from_s = max(_end_of(fault), record.warm_up_s)
    if from_s >= stop_s:
        message = f"no data: the run stopped at {format_value(stop_s, 's')}, before {fault.name} was over"
        raise NoWindowError(message)
    if span.kind == "after":
        return TimeWindow(from_s, stop_s, is_whole=True)
    next_s = min((one.start_s for one in record.faults if one.start_s >= from_s), default=stop_s)
    if next_s <= from_s:
        message = f"no data: another fault began when {fault.name} was over"
        raise NoWindowError(message)
    return TimeWindow(from_s, min(next_s, stop_s))


def _end_of(fault: FaultRecord) -> float:
    return float("inf") if fault.end_s is None else fault.end_s


def _sliding(part: TimeWindow, length_s: float, *, to_the_end: bool) -> list[TimeWindow]:
    """Windows of a length, a tenth of it apart; the last one ends where the part does, unless the run goes on."""
    room_s = part.seconds - length_s
    if room_s < -ROUNDING_TOLERANCE_S:
        message = f"no data: no window of {format_value(length_s, 's')} fits into the {format_value(part.seconds, 's')} there were"
        raise NoWindowError(message)
    step_s = length_s / STEPS_PER_WINDOW
    starts = part.from_s + step_s * np.arange(int((room_s + ROUNDING_TOLERANCE_S) / step_s) + 1)
    if to_the_end and part.to_s - length_s - starts[-1] > ROUNDING_TOLERANCE_S:
        starts = np.append(starts, part.to_s - length_s)
    return [TimeWindow(float(start), float(start) + length_s) for start in starts]
