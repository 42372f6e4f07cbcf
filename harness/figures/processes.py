"""What each process of a run used, from the samples of harness/measure/vitals.py and the exporters' word on their loops."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np

from harness.figures.exporters import BUSY_RATIO, GENERATOR_LAG, SERVER, SERVER_LAG, Exporters
from harness.figures.series import ProcessHealth
from harness.measure import vitals
from harness.measure.vitals import Sample

_SHORTEST_SPAN_S = 0.5
"""CPU over less than this is mostly the kernel's rounding (a clock tick is 10 ms)."""

_TOLD_FROM_S = 1.0
"""A loop's gauge tells of the second before the scrape: what was before T0 (planning) is no part of the run."""


def processes_of(path: Path, exporters: Exporters) -> list[ProcessHealth]:
    """A row a process, in the order in which they were first seen."""
    samples = sorted(vitals.read(path), key=lambda one: one.process)
    seen = {name: list(group) for name, group in groupby(samples, key=lambda one: one.process)}
    lags = {
        curves.target.replace("-", " "): curves.greatest(GENERATOR_LAG, _TOLD_FROM_S) for curves in exporters.workers
    }
    lags[SERVER] = exporters.server.greatest(SERVER_LAG, _TOLD_FROM_S)
    return [_health(name, seen[name], lags.get(name)) for name in sorted(seen, key=lambda name: seen[name][0].t_s)]


def _health(name: str, samples: list[Sample], told_lag_s: float | None) -> ProcessHealth:
    t_s, cpu_s = np.array([one.t_s for one in samples]), np.array([one.cpu_s for one in samples])
    own = [one.lag_s for one in samples if one.lag_s is not None]
    kept = [0]
    for number in range(1, len(t_s)):
        if t_s[number] - t_s[kept[-1]] >= _SHORTEST_SPAN_S:
            kept.append(number)
    spans = np.diff(t_s[kept])
    shares = np.diff(cpu_s[kept]) / spans
    return ProcessHealth(
        name=name,
        cpu_mean_ratio=float((shares * spans).sum() / spans.sum()) if len(spans) else None,
        cpu_max_ratio=float(shares.max()) if len(shares) else None,
        cpu_above_90_s=float(spans[shares > BUSY_RATIO].sum()) if len(shares) else None,
        loop_lag_max_s=told_lag_s if told_lag_s is not None else max(own, default=None),
        memory_max_bytes=max(one.resident_bytes for one in samples),
        descriptors_max=max(one.descriptors for one in samples),
        samples=len(samples),
    )
