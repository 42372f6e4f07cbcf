"""How many workers a plan needs on this machine: `--workers auto`. Pure, from a measured cost of an upload.

The costs are those of the generator itself (user and system time of a worker, journal, histograms and metrics on), measured by
`python -m benchmarks.hotpath` (and as ratios to other generators by `python -m benchmarks.peers`) on the machine of docs/how-to/many-machines.md; another machine may be faster or slower by a factor, which the
share below leaves room for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.base.errors import UsageError
from harness.plan import Plan
from harness.plan.peak_load import LoadForecast, forecast_load
from harness.scenario.scenario import Scenario

CPU_S_PER_UPLOAD = 110e-6
"""CPU seconds of an upload of a few bytes on a connection that is there already."""
CPU_S_PER_CONNECTION = 70e-6
"""CPU seconds more of one that opens a connection for itself."""
CPU_S_PER_BYTE = 0.31e-9
"""CPU seconds more a byte of its body: the kernel's copy to a socket, mostly."""
TARGET_CORE_RATIO = 0.6
"""Of its core a worker is to use that much in the plan's busiest second: above 0.9 its figures are not to be trusted."""
MAX_WORKERS = 64


@dataclass(frozen=True, slots=True)
class WorkerCount:
    """How many workers, and why."""

    workers: int
    needed: int
    """How many the plan needs, however many cores there are."""
    cpu_s: float
    """CPU seconds that the plan's busiest second takes."""
    peak: LoadForecast
    cores: int

    def __str__(self) -> str:
        text = (
            f"--workers auto: {self.workers} (the plan's busiest second has {self.peak.peak_uploads_per_s:,.0f} uploads, "
            f"{self.peak.peak_bytes_per_s / 1e6:,.1f} MB: about {self.cpu_s:.2f} s of CPU; {self.cores} cores here)"
        )
        if self.needed > self.workers:
            text += (
                f". It needs {self.needed}: expect INVALID, or use other machines too (--remote-workers {self.needed})"
            )
        return text


def choose_worker_count(scenario: Scenario, plan: Plan, cores: int) -> WorkerCount:
    """The workers that keep each within its share of a core in the plan's busiest second.

    At most one a core but one, which is the server's and the harness's own; at least one.
    """
    peak = forecast_load(plan, scenario.deadline)
    pages = len(plan.slots)
    opened = {"new": 1 / pages, "each": 1.0, "reuse": 0.0}[scenario.client.connection]
    each_s = CPU_S_PER_UPLOAD + CPU_S_PER_CONNECTION * opened
    cpu_s = peak.peak_uploads_per_s * each_s + peak.peak_bytes_per_s * CPU_S_PER_BYTE
    needed = min(MAX_WORKERS, max(1, math.ceil(cpu_s / TARGET_CORE_RATIO)))
    return WorkerCount(min(needed, max(1, cores - 1)), needed, cpu_s, peak, cores)


def parse_worker_count(text: str | None) -> int | None:
    """The number that `--workers` says, 1 where it isn't given, None for `auto`. Raises UsageError.

    >>> workers_of("auto"), workers_of(None), workers_of("3")
    (None, 1, 3)
    """
    if text is None:
        return 1
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MAX_WORKERS:
        message = f'--workers "{text}" should be a number from 1 to {MAX_WORKERS}, or auto'
        raise UsageError(message)
    return int(text)
