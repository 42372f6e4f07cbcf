"""Sides of a comparison made by hand: what each page took, station by station."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.analysis.bootstrap import Statistic
from harness.analysis.comparable import (
    COMPARABLE_FIGURES,
    MissingFigure,
    QuantileStatistic,
    RateStatistic,
    RatioStatistic,
)
from harness.judge.compare.run import ComparedRun
from harness.run_folder.layout import RunRecord, WorkerRecord

STATIONS = 120


def record(**changes: Any) -> RunRecord:
    """A plain record; `changes` override fields."""
    return RunRecord(
        **{
            "id": "made", "name": "made", "title": "", "scenario": {"name": "made", "server": {"workers": 8}, "seed": 1},
            "seed": 1, "target": "http://127.0.0.1:1", "own_server": True, "deadline_s": 72.0, "time_scale": 1.0,
            "client_timeout_s": 10.0, "workers": [WorkerRecord(rank=0)], "versions": {"harness": "0.1.0"},
            "host": {"cpu": "made", "cores": 2, "memory_bytes": 2**34, "name": "one"}, "command": ["harness"], **changes,
        }
    )  # fmt: skip


def pages(seed: int, *, slower: float = 1.0, own: float = 0.01) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Seconds for three pages per station: the same in every run but for noise of `own` (0.01: about 1 %), times `slower`."""
    common = np.random.default_rng(0).lognormal(-1.0, 0.4, size=3 * STATIONS)
    return common * slower * np.exp(np.random.default_rng(seed).normal(size=3 * STATIONS) * own)


def compared(
    took_s: np.ndarray[Any, np.dtype[np.float64]], *, seed: int = 1, reasons: Sequence[str] = (), unsafe: int = 0, name: str = "run",
    figures: dict[str, Statistic | MissingFigure] | None = None, **changes: Any,
) -> ComparedRun:  # fmt: skip
    """A run in which every page took this long and arrived; infinite means that it did not."""
    stations = len(took_s) // 3
    unit = np.repeat(np.arange(stations), 3)
    every = np.ones(stations)
    arrived = np.bincount(unit, np.isfinite(took_s)).astype(np.float64)
    made: dict[str, Statistic | MissingFigure] = {key: MissingFigure("n/a (needs more)") for key in COMPARABLE_FIGURES}
    for sample in ("delivery_seconds", "response_seconds", "service_seconds"):
        for word, quantile in (("p50", 0.5), ("p95", 0.95)):
            made[f"{sample}.{word}"] = QuantileStatistic(took_s, unit, stations, quantile)
    made["rates.goodput_per_s"] = RateStatistic(
        arrived, np.bincount(unit, np.where(np.isfinite(took_s), took_s, 0.0)).astype(np.float64), 10.0
    )
    made["attempts.amplification"] = RatioStatistic(3 * every, 3 * every)
    made["stations.completed_by_deadline_ratio"] = RatioStatistic((arrived == 3).astype(np.float64), every)
    return ComparedRun(
        path=f"runs/{name}",
        record=record(seed=seed, **changes),
        arrivals=f"plan of seed {seed}",
        figures={**made, **(figures or {})},
        reasons=list(reasons),
        unsafe=unsafe,
    )
