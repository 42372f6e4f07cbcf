"""The figures of an experiment: of each cell, and of each variant against the first one, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from harness.analysis.bootstrap import student_t
from harness.analysis.chart_data import build_chart_data
from harness.analysis.rows import load_rows
from harness.analysis.scraped_metrics import read_run_series
from harness.analysis.summarise import load_summary
from harness.analysis.summary import Recovery
from harness.run_folder.layout import RunFolder

COMPARED_FIGURES = (
    "completed_by_deadline_ratio", "delivery_p50_s", "delivery_p95_s", "amplification", "resent_ratio", "wasted_work",
    "recapitulation_late_s",
)  # fmt: skip


class _ExperimentModel(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class CellFigures(_ExperimentModel):
    """The figures of one run of the matrix. None: there is no such figure (it is infinite, or nothing was counted)."""

    variant: str
    seed: int
    run: str
    """Name of the run's folder, inside the experiment's."""
    valid: bool
    completed_at: dict[str, float]
    """Share of stations that were complete at each time; the keys are seconds since T0 as text."""
    completed_by_deadline_ratio: float | None
    delivery_p50_s: float | None
    delivery_p95_s: float | None
    never_arrived: int
    """Pages that were due and never acknowledged; a percentile that falls among them is None."""
    amplification: float | None
    resent_ratio: float | None
    wasted_work: int | None
    recapitulation_late_s: float | None = None
    """How much later the recapitulation ends than with every upload there at once, in election time; None without one."""
    recovered_after_s: float | None
    """The longest recovery from its faults; None without faults, or if one never recovered (see `never_recovered`)."""
    never_recovered: bool
    metastable: bool | None = None
    """Whether one of its faults left it down under a load below capacity; None if that cannot be determined."""
    safety: bool | None
    """Whether the audit found it safe; None if that is unknown."""
    curve_t_s: list[float]
    curve: list[float]
    """Share of stations complete, one value per second."""


class PairedDifference(_ExperimentModel):
    """A variant minus the first one, over the seeds that both have."""

    mean: float
    low: float | None
    high: float | None
    """95 % interval of the mean difference (Student's t over seeds); None with fewer than two seeds."""
    seeds: int


class VariantFigures(_ExperimentModel):
    """A variant over its seeds."""

    name: str
    set: dict[str, Any]
    cells: list[CellFigures]
    mean: dict[str, float | None]
    """Mean of each compared figure over the seeds; None if a seed lacks it."""
    difference: dict[str, PairedDifference | None]
    """Against the first variant, paired by seed; None if a pair lacks the figure."""


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
    simulated: bool = False
    """Its cells were played in virtual time."""


def compute_cell_figures(
    folder: RunFolder, variant: str, seed: int, at_s: Sequence[float], *, valid: bool, safety: bool | None
) -> CellFigures:
    """The figures of a finished run; `valid` and `safety` (None if unknown) come from its verdict.

    `at_s` are the times, in seconds since T0, at which completion is reported. Raises RunFolderError without summary.json.
    """
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
        recapitulation_late_s=None if summary.recapitulation is None else summary.recapitulation.late_s,
        recovered_after_s=None if never else max((r.recovered_after_s or 0.0 for r in recoveries), default=None),
        never_recovered=never,
        metastable=_any_metastable(recoveries),
        safety=safety,
        curve_t_s=completion.t_s.tolist(),
        curve=completion.value.tolist(),
    )


def _any_metastable(recoveries: Sequence[Recovery]) -> bool | None:
    found = [recovery.metastable for recovery in recoveries]
    if any(found):
        return True
    return None if None in found else False


def compute_variant_figures(
    name: str, changed: dict[str, Any], cells: Sequence[CellFigures], first: Sequence[CellFigures]
) -> VariantFigures:
    """The means of a variant, and its differences from the cells of the first variant."""
    return VariantFigures(
        name=name,
        set=changed,
        cells=list(cells),
        mean={figure: _mean([getattr(cell, figure) for cell in cells]) for figure in COMPARED_FIGURES},
        difference={figure: _difference(figure, cells, first) for figure in COMPARED_FIGURES},
    )


def _mean(values: Sequence[float | None]) -> float | None:
    # A mean over some of the seeds would flatter the variant: the seeds that lack a figure are its worst ones.
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _difference(figure: str, cells: Sequence[CellFigures], first: Sequence[CellFigures]) -> PairedDifference | None:
    base = {cell.seed: getattr(cell, figure) for cell in first}
    pairs = [(getattr(cell, figure), base[cell.seed]) for cell in cells if cell.seed in base]
    if not pairs or any(value is None for pair in pairs for value in pair):
        return None
    return compute_paired_difference([float(own - first_one) for own, first_one in pairs])


def compute_paired_difference(differences: Sequence[float]) -> PairedDifference:
    """The mean of paired differences with its 95 % interval (Student's t with n - 1 degrees of freedom).

    >>> compute_paired_difference([1.0, 2.0, 3.0]).mean
    2.0
    """
    values = np.array(differences)
    mean = float(values.mean())
    if len(values) < 2:
        return PairedDifference(mean=mean, low=None, high=None, seeds=len(values))
    half = student_t(len(values) - 1, 0.975) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return PairedDifference(mean=mean, low=mean - half, high=mean + half, seeds=len(values))
