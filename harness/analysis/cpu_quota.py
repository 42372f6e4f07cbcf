"""How much of its control group's CPU quota a run used: above it the kernel stops every process, for up to 0.1 s at a time."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np

from harness.measure import process_monitor
from harness.run_folder.layout import RunRecord

QUOTA_FACT = "cpu_quota_cores"
"""Of run.json's `host`; absent without a quota."""


def cores_per_worker(record: RunRecord) -> float:
    """The share of a core that a worker can use at most: 1, or the control group's quota where that is less."""
    quota = _quota(record)
    return 1.0 if quota is None else min(1.0, quota)


def quota_above_ratio(path: Path, record: RunRecord, limit_ratio: float, until_s: float) -> float | None:
    """Share of the seconds up to `until_s` in which all processes of the run together used more than `limit_ratio` of the quota.

    `path` holds the samples of harness/measure/process_monitor.py. None without a quota, or without two samples.
    """
    quota = _quota(record)
    samples = (
        sorted(process_monitor.read_samples(path), key=lambda it: (it.process, it.t_s)) if quota is not None else []
    )
    last_s = min(until_s, max((it.t_s for it in samples), default=0.0))
    seconds = np.arange(0.0, last_s + 1e-9)
    if quota is None or len(seconds) < 2:
        return None
    used = np.zeros(len(seconds) - 1)
    for _, group in groupby(samples, key=lambda it: it.process):
        own = list(group)
        used += np.diff(np.interp(seconds, [it.t_s for it in own], [it.cpu_s for it in own]))
    return float((used > limit_ratio * quota).mean())


def _quota(record: RunRecord) -> float | None:
    quota = record.host.get(QUOTA_FACT)
    return float(quota) if isinstance(quota, int | float) and quota > 0 else None
