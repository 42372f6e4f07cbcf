"""What the runs of the experiment came to, measured and simulated, as one record (docs/data/kaliwates.json)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from harness.analysis.experiment import CellFigures, ExperimentFigures
from harness.analysis.summarise import load_summary
from harness.base.errors import HarnessError, UsageError
from harness.run_folder.layout import RunFolder

FORMAT = 1
NEWS_HOURS = 48
"""The news of 20 % was of the second day after the vote."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RemedyRun(_Record):
    """One cell of the experiment."""

    seed: int
    at_news_ratio: float
    """Share of the stations complete 48 hours after the vote."""
    at_deadline_ratio: float
    recapitulation_late_s: float
    """How much later the recapitulation ended than with every upload there at once; election time."""
    amplification: float
    wasted_work: int
    """Uploads that the server worked on after their client had left."""


class Remedy(_Record):
    """One variant: the runs that were run for real, and those played in virtual time."""

    name: str
    measured: list[RemedyRun]
    simulated: list[RemedyRun]
    at: str = ""
    """When it was measured, if later than the others; "" for together with them."""
    host: Mapping[str, str | int] = {}
    """The machine on which it was measured then."""


class RemedyResults(_Record):
    """Every variant, and the machine on which it was measured."""

    format: int = FORMAT
    at: str
    """UTC, ISO 8601."""
    host: Mapping[str, str | int]
    deadline_hours: float
    remedies: list[Remedy]
    """In the order of the experiment: the unchanged run first."""

    def with_remedy(self, remedy: Remedy, at: str, host: Mapping[str, str | int]) -> RemedyResults:
        """These results with one more remedy, or another measurement of one: made at another time, maybe elsewhere."""
        later = remedy.model_copy(update={"at": at, "host": host})
        others = [one for one in self.remedies if one.name != remedy.name]
        return self.model_copy(update={"remedies": [*others, later]})

    @property
    def ranked(self) -> list[Remedy]:
        """Most stations at 48 hours first, by what was measured; among equals, who did least work for nobody."""
        return sorted(self.remedies, key=_rank)


def _rank(remedy: Remedy) -> tuple[float, ...]:
    averages = {figure.key: figure.average(remedy.measured) for figure in FIGURES}
    return (
        -round(averages["at_news_ratio"], 3),
        -round(averages["at_deadline_ratio"], 3),
        averages["recapitulation_late_s"],
        averages["wasted_work"],
    )


class Figure(NamedTuple):
    """One figure of an run."""

    key: str
    title: str
    value: Callable[[RemedyRun], float]

    def average(self, runs: Sequence[RemedyRun]) -> float:
        """The mean over the runs that were measured."""
        return mean(self.value(run) for run in runs)

    def middle(self, runs: Sequence[RemedyRun]) -> float:
        """The median over the runs that were simulated."""
        return median(self.value(run) for run in runs)

    def band(self, runs: Sequence[RemedyRun]) -> tuple[float, float]:
        """Between which values nine of ten runs lie."""
        low, high = np.quantile([self.value(run) for run in runs], (0.05, 0.95))
        return float(low), float(high)


FIGURES = (
    Figure("at_news_ratio", f"stations complete at {NEWS_HOURS} h", lambda run: run.at_news_ratio),
    Figure("at_deadline_ratio", "at the deadline", lambda run: run.at_deadline_ratio),
    Figure("recapitulation_late_s", "recapitulation late by", lambda run: run.recapitulation_late_s),
    Figure("amplification", "attempts per page", lambda run: run.amplification),
    Figure("wasted_work", "wasted work", lambda run: float(run.wasted_work)),
)


def read_remedies(measured: Path, simulated: Path) -> tuple[list[Remedy], float]:
    """The variants of two finished experiment folders, and the deadline in hours of the election.

    Raises UsageError if one isn't finished, has an INVALID cell, or they are of different variants.
    """
    real, played = _read_experiment(measured, simulated=False), _read_experiment(simulated, simulated=True)
    names = [variant.name for variant in real.variants]
    if names != [variant.name for variant in played.variants]:
        message = f"{measured} and {simulated} don't have the same variants"
        raise UsageError(message)
    runs, simulations = _read_runs(measured, real), _read_runs(simulated, played)
    remedies = [Remedy(name=name, measured=runs[name], simulated=simulations[name]) for name in names]
    return remedies, real.deadline_s * real.time_scale / 3600


def read_simulated(folder: Path) -> dict[str, list[RemedyRun]]:
    """The runs of a finished simulated experiment, by variant. Raises UsageError as `read_remedies` does."""
    return _read_runs(folder, _read_experiment(folder, simulated=True))


def _read_runs(folder: Path, figures: ExperimentFigures) -> dict[str, list[RemedyRun]]:
    return {variant.name: [_read_run(folder, cell, figures) for cell in variant.cells] for variant in figures.variants}


def _read_experiment(folder: Path, *, simulated: bool) -> ExperimentFigures:
    path = folder / "experiment.json"
    try:
        figures = ExperimentFigures.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValidationError) as error:
        message = f"{path}: {error}"
        raise UsageError(message) from error
    cells = [cell for variant in figures.variants for cell in variant.cells]
    if len(cells) < figures.planned_cells:
        message = f"{path}: {len(cells)} of {figures.planned_cells} cells are finished"
        raise UsageError(message)
    if figures.simulated is not simulated:
        message = f"{path}: expected {'simulated' if simulated else 'measured'} cells"
        raise UsageError(message)
    invalid = [f"{cell.variant}, seed {cell.seed}" for cell in cells if not cell.valid]
    if invalid:
        message = f"{path}: INVALID cells prove nothing; run them again: {'; '.join(invalid)}"
        raise UsageError(message)
    return figures


def _read_run(folder: Path, cell: CellFigures, figures: ExperimentFigures) -> RemedyRun:
    moment_s = NEWS_HOURS * 3600 / figures.time_scale
    found = load_summary(RunFolder(folder / "runs" / cell.run))
    recapitulation, wasted = found.recapitulation, found.server.wasted_work
    at_news = cell.completed_at.get(f"{moment_s:g}")
    if recapitulation is None or wasted is None or at_news is None or cell.amplification is None:
        message = f"{folder / 'runs' / cell.run}: lacks the recapitulation, the work of the server or the stations at {NEWS_HOURS} h"
        raise UsageError(message)
    return RemedyRun(
        seed=cell.seed,
        at_news_ratio=at_news,
        at_deadline_ratio=cell.completed_by_deadline_ratio or 0.0,
        recapitulation_late_s=recapitulation.late_s,
        amplification=cell.amplification,
        wasted_work=wasted,
    )


def write_results(path: Path, results: RemedyResults) -> None:
    """Write the record."""
    path.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")


def read_results(path: Path) -> RemedyResults:
    """The record. Raises HarnessError if the file is not one."""
    try:
        return RemedyResults.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValidationError) as error:
        message = f"{path}: {error}"
        raise HarnessError(message) from error
