"""What each process of a run used, from the samples of harness/measure/process_monitor.py and the exporters' word on their loops.

A worker of another machine can't be looked at from outside: of it stands what its own exporter told, once a second too.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np

from harness.analysis.chart_types import ProcessHealth
from harness.analysis.scraped_metrics import (
    BUSY_RATIO,
    CPU,
    DESCRIPTORS,
    GENERATOR_LAG,
    MEMORY,
    SERVER_LAG,
    SERVER_TARGET,
    RunSeries,
)
from harness.analysis.time_series import TargetSeries
from harness.measure import process_monitor
from harness.measure.process_monitor import ProcessSample

_SHORTEST_SPAN_S = 0.5
"""CPU over less than this is mostly the kernel's rounding (a clock tick is 10 ms)."""

_LAG_FROM_S = 1.0
"""A loop's gauge tells of the second before the scrape: what was before T0 (planning) is no part of the run."""


_REMOTE_PID = 0
"""Stands for the id of a process on another machine."""


def load_process_health(path: Path, exporters: RunSeries) -> list[ProcessHealth]:
    """A row a process, in the order in which they were first seen; then the workers that were on other machines."""
    samples = sorted(process_monitor.read_samples(path), key=lambda one: one.process)
    if not samples:
        return []
    seen = {name: list(group) for name, group in groupby(samples, key=lambda one: one.process)}
    lags = {_name(curves): curves.greatest(GENERATOR_LAG, _LAG_FROM_S) for curves in exporters.workers}
    lags[SERVER_TARGET] = exporters.server.greatest(SERVER_LAG, _LAG_FROM_S)
    for curves in exporters.workers:
        if (name := _name(curves)) not in seen and (told := _exporter_samples(name, curves)):
            seen[name] = told
    return [_health(name, seen[name], lags.get(name)) for name in sorted(seen, key=lambda name: _sort_key(seen[name]))]


def _name(curves: TargetSeries) -> str:
    return curves.target.replace("-", " ")


def _sort_key(samples: list[ProcessSample]) -> tuple[bool, float]:
    return samples[0].pid == _REMOTE_PID, samples[0].t_s


def _exporter_samples(name: str, curves: TargetSeries) -> list[ProcessSample]:
    """What an exporter said of its own process, as samples; none where it never told all of it."""
    columns = [curves.total(series) for series in (CPU, MEMORY, DESCRIPTORS)]
    known = [column for column in columns if column is not None]
    if len(known) < len(columns):
        return []
    rows = np.column_stack([curves.t_s, *known])
    return [
        ProcessSample(float(t_s), name, _REMOTE_PID, float(cpu_s), int(memory), int(descriptors), None)
        for t_s, cpu_s, memory, descriptors in rows[~np.isnan(rows).any(axis=1)]
    ]


def _health(name: str, samples: list[ProcessSample], told_lag_s: float | None) -> ProcessHealth:
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
