"""The figures of an experiment: each cell's, and each variant against the first one, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from harness.analysis.chart_data import build_chart_data
from harness.analysis.rows import load_rows
from harness.analysis.scraped_metrics import read_run_series
from harness.analysis.student import student_t
from harness.analysis.summarise import load_summary
from harness.analysis.summary import Recovery
from harness.run_folder.layout import RunFolder

COMPARED_FIGURES = (
    "completed_by_deadline_ratio", "delivery_p50_s", "delivery_p95_s", "amplification", "resent_ratio", "wasted_work",
)  # fmt: skip


class _ExperimentModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class CellFigures(_ExperimentModel):
    """One run of the matrix in figures. None: there is no such figure (never, or nothing to count)."""

    variant: str
    seed: int
    run: str
    """Folder of the run, below the experiment's."""
    valid: bool
    completed_at: dict[str, float]
    """Seconds since T0 (as text) -> share of stations complete by then."""
    completed_by_deadline_ratio: float | None
    delivery_p50_s: float | None
    delivery_p95_s: float | None
    never_arrived: int
    """Pages that fell due and never arrived: where a percentile falls among them it is None."""
    amplification: float | None
    resent_ratio: float | None
    wasted_work: int | None
    recovered_after_s: float | None
    """The longest recovery of its faults; None without faults, and where one never recovered (then `never` is true)."""
    never_recovered: bool
    metastable: bool | None = None
    """Whether one of its faults left it down under a load that it could bear; None where there is no telling."""
    safety: bool | None
    """No acknowledged page is missing from the store; None where the store could not be read."""
    curve_t_s: list[float]
    curve: list[float]
    """Share of stations complete, a value a second."""


class PairedDifference(_ExperimentModel):
    """A variant minus the first one, over the seeds that both have."""

    mean: float
    low: float | None
    high: float | None
    """95 % interval of the mean difference (Student's t over seeds); None below two seeds."""
    seeds: int


class VariantFigures(_ExperimentModel):
    """A variant over its seeds."""

    name: str
    set: dict[str, Any]
    cells: list[CellFigures]
    mean: dict[str, float | None]
    """Mean over seeds of each compared figure; None where a seed has none."""
    difference: dict[str, PairedDifference | None]
    """Against the first variant, paired by seed; None where a pair lacks the figure."""


class ExperimentFigures(_ExperimentModel):
    """The content of experiment.json."""

    format: int = 1
    name: str
    title: str
    base: str
    seeds: list[int]
    at_s: list[float]
    deadline_s: float
    time_scale: float
    variants: list[VariantFigures]
    planned_cells: int


def compute_cell_figures(
    folder: RunFolder, variant: str, seed: int, at_s: Sequence[float], *, valid: bool, safety: bool | None
) -> CellFigures:
    """The figures of a finished run; `valid` and `safety` (None if unknown) are its verdict's."""
    summary, rows = load_summary(folder), load_rows(folder)
    completion = build_chart_data(rows, read_run_series(folder.scrapes)).completion.total
    stations = len(rows.completed_s)
    recoveries = summary.recovery
    never = any(recovery.recovered_after_s is None for recovery in recoveries)
    return CellFigures(
        variant=variant,
        seed=seed,
        run=folder.path.name,
        valid=valid,
        completed_at={f"{moment:g}": float((rows.completed_s <= moment).sum()) / stations for moment in at_s},
        completed_by_deadline_ratio=summary.stations.completed_by_deadline_ratio,
        delivery_p50_s=summary.delivery_seconds.p50,
        delivery_p95_s=summary.delivery_seconds.p95,
        never_arrived=summary.delivery_seconds.never,
        amplification=summary.attempts.amplification,
        resent_ratio=summary.attempts.resent_ratio,
        wasted_work=summary.server.wasted_work,
        recovered_after_s=None if never else max((r.recovered_after_s or 0.0 for r in recoveries), default=None),
        never_recovered=never,
        metastable=_any_metastable(recoveries),
        safety=safety,
        curve_t_s=completion.t_s.tolist(),
        curve=completion.value.tolist(),
    )


def _any_metastable(recoveries: Sequence[Recovery]) -> bool | None:
    told = [recovery.metastable for recovery in recoveries]
    if any(told):
        return True
    return None if None in told else False


def compute_variant_figures(
    name: str, changed: dict[str, Any], cells: Sequence[CellFigures], first: Sequence[CellFigures]
) -> VariantFigures:
    """A variant's means, and its differences from the first variant's cells."""
    return VariantFigures(
        name=name,
        set=changed,
        cells=list(cells),
        mean={figure: _mean([getattr(cell, figure) for cell in cells]) for figure in COMPARED_FIGURES},
        difference={figure: _difference(figure, cells, first) for figure in COMPARED_FIGURES},
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _difference(figure: str, cells: Sequence[CellFigures], first: Sequence[CellFigures]) -> PairedDifference | None:
    base = {cell.seed: getattr(cell, figure) for cell in first}
    pairs = [(getattr(cell, figure), base[cell.seed]) for cell in cells if cell.seed in base]
    if not pairs or any(value is None for pair in pairs for value in pair):
        return None
    return compute_paired_difference([float(ours - theirs) for ours, theirs in pairs])


def compute_paired_difference(differences: Sequence[float]) -> PairedDifference:
    """Mean of paired differences with its 95 % interval (Student's t with n - 1 degrees of freedom).

    >>> paired([1.0, 2.0, 3.0]).mean
    2.0
    """
    values = np.array(differences)
    mean = float(values.mean())
    if len(values) < 2:
        return PairedDifference(mean=mean, low=None, high=None, seeds=len(values))
    half = student_t(len(values) - 1, 0.975) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return PairedDifference(mean=mean, low=mean - half, high=mean + half, seeds=len(values))
