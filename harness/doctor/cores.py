"""Cores: how many may be used, what else keeps them busy, what a hypervisor takes away, and whether they run at full speed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.doctor.finding import Finding, Fitness, ReadText, at_least, at_most
from reports.number_format import format_ratio

SAMPLE_S = 1.0
"""How long the machine is watched: /proc/stat counts in hundredths of a second."""
ENOUGH_CORES, TOO_FEW_CORES = 2.0, 1.0
"""One for the generator and one for the server."""
BUSY_RATIO, TOO_BUSY_RATIO = 0.1, 0.5
STOLEN_RATIO, TOO_STOLEN_RATIO = 0.01, 0.05
_CGROUP_ROOT = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class CpuMeasurement:
    """What was seen of them."""

    usable: int
    """That this process may run on."""
    quota: float | None
    """Cores' worth of time that the control group grants; None without a limit."""
    busy_ratio: float
    """Of all cores' time, while the harness itself slept."""
    stolen_ratio: float
    governors: tuple[str, ...]
    """Distinct scaling governors; empty where there are none, as in most virtual machines."""

    @property
    def there(self) -> float:
        """Cores' worth of time."""
        return min(float(self.usable), self.quota or float("inf"))


def measure_cores(read: ReadText, sleep: Callable[[float], None], usable: int) -> CpuMeasurement:
    """Watch the machine for `SAMPLE_S`."""
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


def check_cores(seen: CpuMeasurement) -> list[Finding]:
    """Number, what else runs, steal time, governor."""
    return [_core_count(seen), _busy(seen), _stolen(seen), _governor(seen)]


def cgroup_quota(read: ReadText) -> float | None:
    """Cores' worth of time that the narrowest of this process's control groups (version 1 or 2) grants; None without a limit."""
    granted = []
    for line in read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        folder = PurePosixPath(path)
        for group in (str(one).rstrip("/") for one in (folder, *folder.parents)):
            if controllers == "":
                roots = (_CGROUP_ROOT, f"{_CGROUP_ROOT}/unified")
                granted += [_quota_cores(*_quota_fields(read(f"{root}{group}/cpu.max"))) for root in roots]
            elif "cpu" in controllers.split(","):
                for root in (f"{_CGROUP_ROOT}/cpu", f"{_CGROUP_ROOT}/{controllers}"):
                    both = [read(f"{root}{group}/cpu.cfs_{name}_us") for name in ("quota", "period")]
                    granted.append(_quota_cores(*_quota_fields(" ".join(both))))
    return min((cores for cores in granted if cores is not None), default=None)


def _quota_fields(text: str) -> tuple[str, str]:
    words = text.split()
    return (words[0], words[1]) if len(words) == 2 else ("max", "0")


def _quota_cores(quota_us: str, period_us: str) -> float | None:
    """Quota over period; "max" and -1 mean no limit."""
    return None if quota_us == "max" or int(quota_us) < 0 else int(quota_us) / int(period_us)


def _cpu_ticks(read: ReadText) -> tuple[int, int, int]:
    """Of all cores since boot, in ticks: busy, stolen, all."""
    found = re.search(r"^cpu +(.*)$", read("/proc/stat"), re.MULTILINE)
    if found is None:
        return 0, 0, 0
    user, nice, system, idle, waiting, hard, soft, stolen = [*map(int, found[1].split()), *[0] * 8][:8]
    busy = user + nice + system + hard + soft
    return busy, stolen, busy + stolen + idle + waiting


def _core_count(seen: CpuMeasurement) -> Finding:
    of = "" if seen.quota is None else f"; the control group grants {seen.quota:g}"
    change = ""
    if seen.there < ENOUGH_CORES:
        change = (
            "give it a second core, or put the server on another machine (docker run --cpus=2; kubernetes: limits.cpu)"
        )
    verdict = at_least(seen.there, ENOUGH_CORES, TOO_FEW_CORES)
    return Finding(
        "cores",
        f"{seen.usable}{of}",
        f"{ENOUGH_CORES:g}",
        verdict,
        change,
        {"usable": seen.usable, "quota": seen.quota},
    )


def _busy(seen: CpuMeasurement) -> Finding:
    verdict = at_most(seen.busy_ratio, BUSY_RATIO, TOO_BUSY_RATIO)
    change = "" if verdict is Fitness.OK else "stop what else runs: ps -eo pcpu,pid,args --sort=-pcpu | head"
    needed = f"at most {format_ratio(BUSY_RATIO)}"
    return Finding(
        "load now",
        f"others keep {format_ratio(seen.busy_ratio)} of the cores busy",
        needed,
        verdict,
        change,
        {"busy_ratio": seen.busy_ratio},
    )


def _stolen(seen: CpuMeasurement) -> Finding:
    verdict = at_most(seen.stolen_ratio, STOLEN_RATIO, TOO_STOLEN_RATIO)
    change = (
        "" if verdict is Fitness.OK else "other virtual machines take this one's time: use one with cores of its own"
    )
    needed = f"at most {format_ratio(STOLEN_RATIO)}"
    return Finding(
        "steal time", format_ratio(seen.stolen_ratio), needed, verdict, change, {"stolen_ratio": seen.stolen_ratio}
    )


def _governor(seen: CpuMeasurement) -> Finding:
    slow = [name for name in seen.governors if name != "performance"]
    change = "cpupower frequency-set -g performance" if slow else ""
    measured = ", ".join(seen.governors) or "none (the host sees to it)"
    verdict = Fitness.WARN if slow else Fitness.OK
    return Finding("governor", measured, "performance", verdict, change, {"governors": ", ".join(seen.governors)})
