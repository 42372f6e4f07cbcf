"""The clock: how fine it is, what a reading costs, where it comes from, and whether the time of day is synchronised."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from harness.doctor.finding import Finding, Fitness, ReadText, at_most, worst
from reports.number_format import format_duration

_READS = 20_000
_CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
FINE_S, TOO_COARSE_S = 1e-6, 1e-3
CHEAP_S, TOO_COSTLY_S = 1e-6, 20e-6
"""An attempt reads it six times: at 20 µs that is as much as all the rest of its work."""
_TIME_ERROR_STATE = 5


@dataclass(frozen=True, slots=True)
class ClockMeasurement:
    """What was seen of it."""

    source: str
    step_s: float
    """The smallest step between two readings."""
    read_s: float
    """What a reading costs."""
    synchronised: bool | None
    """Whether the kernel holds the time of day for synchronised; None where it doesn't say."""


def measure_clock(
    clock: Callable[[], float], read: ReadText, synchronised: Callable[[], bool | None]
) -> ClockMeasurement:
    """Read the clock some thousand times."""
    readings = [clock() for _ in range(_READS)]
    steps = (later - earlier for earlier, later in itertools.pairwise(readings) if later > earlier)
    return ClockMeasurement(
        source=read(_CLOCK_SOURCE).strip() or "unknown",
        step_s=min(steps, default=float("inf")),
        read_s=(readings[-1] - readings[0]) / (_READS - 1),
        synchronised=synchronised(),
    )


def check_clock(seen: ClockMeasurement) -> list[Finding]:
    """The monotonic clock, which every time is taken from; and the time of day, which is only a label."""
    verdict = worst([at_most(seen.step_s, FINE_S, TOO_COARSE_S), at_most(seen.read_s, CHEAP_S, TOO_COSTLY_S)])
    change = (
        "" if verdict is Fitness.OK else f"echo tsc > {_CLOCK_SOURCE} (where available_clocksource beside it has it)"
    )
    step = "never moved" if seen.step_s == float("inf") else f"steps of {format_duration(seen.step_s)}"
    told = {True: "yes", False: "no", None: "not known"}[seen.synchronised]
    figures = {
        "source": seen.source,
        "step_s": None if seen.step_s == float("inf") else seen.step_s,
        "read_s": seen.read_s,
    }
    return [
        Finding(
            "clock",
            f"{seen.source}, {step}, {format_duration(seen.read_s)} a reading",
            "both within 1 µs",
            verdict,
            change,
            figures,
        ),
        Finding("time of day", f"synchronised: {told}", "for several machines", Fitness.OK, "", {"synchronised": told}),
    ]


class _Timex(ctypes.Structure):
    """The kernel's struct timex, of which only its size matters here (adjtimex(2))."""

    _fields_ = (("modes", ctypes.c_uint), ("rest", ctypes.c_long * 64))


def is_synchronised() -> bool | None:
    """What the kernel says (adjtimex(2)): false until something like NTP has set the clock."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(_Timex()))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR_STATE
