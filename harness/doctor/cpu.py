"""Checks of CPU and clocks: usable cores, other load, steal time, governor; how fine the clock is and how late a timer fires."""

from __future__ import annotations

import ctypes
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.base.host import cgroup_quota
from harness.doctor.finding import Finding, Fitness, ReadText, at_least, at_most, worst
from reports.number_format import format_duration, format_ratio

# --- cores

SAMPLE_S = 1.0
"""How long the machine is sampled: /proc/stat counts in hundredths of a second, so that this resolves 1 % of a core."""
ENOUGH_CORES, TOO_FEW_CORES = 2.0, 1.0
"""One for the generator and one for the server."""
BUSY_RATIO, TOO_BUSY_RATIO = 0.1, 0.5
STOLEN_RATIO, TOO_STOLEN_RATIO = 0.01, 0.05


@dataclass(frozen=True, slots=True)
class CpuMeasurement:
    """The cores of this machine as measured."""

    usable: int
    """Cores that this process may run on (its affinity)."""
    quota: float | None
    """CPU time per second that the control group grants, in cores; None without a limit."""
    busy_ratio: float
    """Share of all cores' time used by others: the harness itself slept meanwhile."""
    stolen_ratio: float
    """Share of all cores' time that the hypervisor gave to other virtual machines."""
    governors: tuple[str, ...]
    """Distinct scaling governors; empty where there are none, as in most virtual machines."""

    @property
    def available(self) -> float:
        """CPU time per second that there is, in cores: affinity or quota, whichever is less."""
        return min(float(self.usable), self.quota or float("inf"))


def measure_cores(read: ReadText, sleep: Callable[[float], None], usable: int) -> CpuMeasurement:
    """Sample the machine for `SAMPLE_S`. `read` gives the content of a file, `usable` is the number of cores in the affinity."""
    before = _cpu_ticks(read)
    sleep(SAMPLE_S)
    busy, stolen, whole = (after - first for after, first in zip(_cpu_ticks(read), before, strict=True))
    names = {
        read(f"/sys/devices/system/cpu/cpu{number}/cpufreq/scaling_governor").strip() for number in range(usable)
    } - {""}
    return CpuMeasurement(
        usable=usable,
        quota=cgroup_quota(read),
        busy_ratio=busy / max(1, whole),
        stolen_ratio=stolen / max(1, whole),
        governors=tuple(sorted(names)),
    )


def check_cores(measured: CpuMeasurement) -> list[Finding]:
    """Findings on the number of cores, other load, steal time, governor."""
    return [_core_count(measured), _busy(measured), _stolen(measured), _governor(measured)]


def _cpu_ticks(read: ReadText) -> tuple[int, int, int]:
    """Ticks of all cores since boot: busy, stolen, all (proc(5))."""
    found = re.search(r"^cpu +(.*)$", read("/proc/stat"), re.MULTILINE)
    if found is None:
        return 0, 0, 0
    # guest time is already part of user time, so the last two columns are left out
    user, nice, system, idle, waiting, hard, soft, stolen = [*map(int, found[1].split()), *[0] * 8][:8]
    busy = user + nice + system + hard + soft
    return busy, stolen, busy + stolen + idle + waiting


def _core_count(measured: CpuMeasurement) -> Finding:
    of = "" if measured.quota is None else f"; the control group grants {measured.quota:g}"
    change = ""
    if measured.available < ENOUGH_CORES:
        change = "give the machine a second core, or put the server on another machine (docker run --cpus=2; kubernetes: limits.cpu)"
    verdict = at_least(measured.available, ENOUGH_CORES, TOO_FEW_CORES)
    return Finding(
        "cores",
        f"{measured.usable}{of}",
        f"{ENOUGH_CORES:g}",
        verdict,
        change,
        {"usable": measured.usable, "quota": measured.quota},
    )


def _busy(measured: CpuMeasurement) -> Finding:
    verdict = at_most(measured.busy_ratio, BUSY_RATIO, TOO_BUSY_RATIO)
    change = "" if verdict is Fitness.OK else "stop what else runs: ps -eo pcpu,pid,args --sort=-pcpu | head"
    needed = f"at most {format_ratio(BUSY_RATIO)}"
    return Finding(
        "load now",
        f"other processes keep {format_ratio(measured.busy_ratio)} of the cores busy",
        needed,
        verdict,
        change,
        {"busy_ratio": measured.busy_ratio},
    )


def _stolen(measured: CpuMeasurement) -> Finding:
    verdict = at_most(measured.stolen_ratio, STOLEN_RATIO, TOO_STOLEN_RATIO)
    change = (
        ""
        if verdict is Fitness.OK
        else "other virtual machines use this one's CPU time: use a machine with dedicated cores"
    )
    needed = f"at most {format_ratio(STOLEN_RATIO)}"
    return Finding(
        "steal time",
        format_ratio(measured.stolen_ratio),
        needed,
        verdict,
        change,
        {"stolen_ratio": measured.stolen_ratio},
    )


def _governor(measured: CpuMeasurement) -> Finding:
    slow = [name for name in measured.governors if name != "performance"]
    change = "cpupower frequency-set -g performance" if slow else ""
    text = ", ".join(measured.governors) or "none (set by the host)"
    verdict = Fitness.WARN if slow else Fitness.OK
    return Finding("governor", text, "performance", verdict, change, {"governors": ", ".join(measured.governors)})


# --- clock

_READS = 20_000
_CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
FINE_S, TOO_COARSE_S = 1e-6, 1e-3
CHEAP_S, TOO_COSTLY_S = 1e-6, 20e-6
"""An attempt reads the clock six times: at 20 µs that costs as much as the rest of its work."""
_TIME_ERROR_STATE = 5
"""TIME_ERROR of adjtimex(2): the clock is not synchronised."""


@dataclass(frozen=True, slots=True)
class ClockMeasurement:
    """The monotonic clock as measured, and whether the time of day is synchronised."""

    source: str
    step_s: float
    """The smallest step between two readings."""
    read_s: float
    """The cost of one reading."""
    synchronised: bool | None
    """Whether the kernel reports the time of day as synchronised; None if it does not tell."""


def measure_clock(
    clock: Callable[[], float], read: ReadText, synchronised: Callable[[], bool | None]
) -> ClockMeasurement:
    """Measure resolution and cost of `clock` by many readings in a row; `synchronised` asks the kernel."""
    readings = [clock() for _ in range(_READS)]
    steps = (later - earlier for earlier, later in itertools.pairwise(readings) if later > earlier)
    return ClockMeasurement(
        source=read(_CLOCK_SOURCE).strip() or "unknown",
        step_s=min(steps, default=float("inf")),
        read_s=(readings[-1] - readings[0]) / (_READS - 1),
        synchronised=synchronised(),
    )


def check_clock(measured: ClockMeasurement) -> list[Finding]:
    """Findings on the monotonic clock, which every time is taken from, and on the time of day, which is only a label."""
    verdict = worst([at_most(measured.step_s, FINE_S, TOO_COARSE_S), at_most(measured.read_s, CHEAP_S, TOO_COSTLY_S)])
    change = (
        "" if verdict is Fitness.OK else f"echo tsc > {_CLOCK_SOURCE} (if available_clocksource beside it lists tsc)"
    )
    step = "never moved" if measured.step_s == float("inf") else f"steps of {format_duration(measured.step_s)}"
    answer = {True: "yes", False: "no", None: "unknown"}[measured.synchronised]
    figures = {
        "source": measured.source,
        "step_s": None if measured.step_s == float("inf") else measured.step_s,
        "read_s": measured.read_s,
    }
    return [
        Finding(
            "clock",
            f"{measured.source}, {step}, {format_duration(measured.read_s)} per reading",
            "both within 1 µs",
            verdict,
            change,
            figures,
        ),
        Finding(
            "time of day", f"synchronised: {answer}", "for several machines", Fitness.OK, "", {"synchronised": answer}
        ),
    ]


class _Timex(ctypes.Structure):
    """The kernel's struct timex (adjtimex(2)); with modes = 0 it only reads, so the fields' meaning doesn't matter, just the size."""

    _fields_ = (("modes", ctypes.c_uint), ("rest", ctypes.c_long * 64))


def is_synchronised() -> bool | None:
    """Whether the kernel reports a synchronised clock (adjtimex(2)): false until something like NTP has set it; None if unknown."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(_Timex()))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR_STATE


# --- timers

SLEEP_S = 0.001
SLEEPS = 500
PUNCTUAL_SLEEP_S, LATE_SLEEP_S = 0.001, 0.005
"""5 ms at p99: a run whose lateness is above that is INVALID. No attempt is more punctual than its timer."""


def measure_timer(clock: Callable[[], float], sleep: Callable[[float], None]) -> list[float]:
    """By how many seconds each of `SLEEPS` sleeps took longer than `SLEEP_S`."""
    overshoots = []
    for _ in range(SLEEPS):
        began = clock()
        sleep(SLEEP_S)
        overshoots.append(clock() - began - SLEEP_S)
    return overshoots


def check_timer(overshoots_s: Sequence[float]) -> list[Finding]:
    """The finding, by the 99th percentile."""
    p50, p99, most = (float(np.quantile(overshoots_s, quantile)) for quantile in (0.5, 0.99, 1.0))
    verdict = at_most(p99, PUNCTUAL_SLEEP_S, LATE_SLEEP_S)
    change = "" if verdict is Fitness.OK else "stop what else runs; in a virtual machine, use dedicated cores"
    measured = f"a sleep overshoots by {format_duration(p50)} (p50), {format_duration(p99)} (p99), {format_duration(most)} (max)"
    return [
        Finding(
            "timers",
            measured,
            f"p99 at most {format_duration(PUNCTUAL_SLEEP_S)}",
            verdict,
            change,
            {"p50_s": p50, "p99_s": p99, "max_s": most},
        )
    ]
