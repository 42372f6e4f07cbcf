"""Predicted beside measured: the tables for terminal and page, and the page with both completion curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.analysis.against import Against, FigurePair, RunPair
from harness.analysis.run_figures import RunFigures
from reports import palette
from reports.number_format import NOT_AVAILABLE, format_quantity, plural
from reports.simulation_page import (
    NEVER,
    CurveBand,
    SimulationPage,
    SimulationTable,
    draw_bands,
    render_simulation_page,
)

PAIR_HEADERS = ("figure", "predicted", "measured", "error")
BRIEF_FIGURES = ("completed_by_deadline_ratio", "finished_s", "delivery_p50_s", "delivery_p95_s", "amplification")
BRIEF_HEADERS = ("run", "stations by the deadline", "last page", "p50", "p95", "amplification", "verdict")
ERROR_HEADERS = ("run", "stations", "last page", "p50", "p95", "ampl.", "verdict")
_NOTE = (
    "Predicted: the run's own scenario and seed in virtual time. An error is predicted minus measured, in points where the "
    "figure is a percentage and relative to the measured value elsewhere."
)


def pair_rows(pair: RunPair) -> list[list[str]]:
    """One row per figure that either side has: name, predicted, measured, error; the verdicts come last."""
    rows = [
        [one.title, _format(one, one.predicted), _format(one, one.measured), format_error(one)]
        for one in pair.figures
        if one.predicted is not None or one.measured is not None
    ]
    predicted, measured = pair.predicted.verdict.upper(), pair.measured.verdict.upper()
    return [*rows, ["verdict", predicted, measured, "" if predicted == measured else "differs"]]


def brief_rows(against: Against) -> list[list[str]]:
    """One row per run: each figure predicted and measured, with its error."""
    return [
        [
            Path(pair.run).name,
            *(_describe(pair.figure(key)) for key in BRIEF_FIGURES),
            pair.predicted.verdict.upper()
            if _agrees(pair)
            else f"{pair.predicted.verdict} for {pair.measured.verdict}",
        ]
        for pair in against.pairs
    ]


def error_rows(against: Against) -> list[list[str]]:
    """One row per run: the errors alone, for a narrow terminal; what only one side has is named."""
    return [
        [
            Path(pair.run).name,
            *(_error_alone(pair.figure(key)) for key in BRIEF_FIGURES),
            "agrees" if _agrees(pair) else f"{pair.predicted.verdict} for {pair.measured.verdict}",
        ]
        for pair in against.pairs
    ]


def format_error(pair: FigurePair) -> str:
    """An error with its unit: points of a percentage, else percent of the measured value; "" if there is none."""
    error = pair.error
    if error is None:
        return ""
    return f"{error * 100:+.1f} {'points' if pair.unit == 'ratio' else '%'}"


def against_finding(against: Against) -> str:
    """A sentence on the stations by the deadline: predicted and measured."""
    if len(against.pairs) == 1:
        stations = against.pairs[0].figure("completed_by_deadline_ratio")
        return f"Predicted {_format(stations, stations.predicted)} of the stations by the deadline, measured {_format(stations, stations.measured)}"
    errors = [abs(pair.figure("completed_by_deadline_ratio").error or 0.0) for pair in against.pairs]
    agreeing = sum(map(_agrees, against.pairs))
    return (
        f"In {plural(len(against.pairs), 'run')} the stations by the deadline are off by at most "
        f"{max(errors) * 100:.1f} points; {agreeing} of {len(against.pairs)} verdicts agree"
    )


def render_against(folder: Path, against: Against) -> Path:
    """Write the page into the folder; its path."""
    finding = against_finding(against)
    tables = [SimulationTable("runs", "Runs", BRIEF_HEADERS, brief_rows(against))] if len(against.pairs) > 1 else []
    tables += [
        SimulationTable(f"run-{number}", f"{pair.name}, seed {pair.seed}", PAIR_HEADERS, pair_rows(pair))
        for number, pair in enumerate(against.pairs)
    ]
    names = ", ".join(dict.fromkeys(pair.name for pair in against.pairs))
    page = SimulationPage(f"{names}: predicted and measured", finding, _NOTE, tables)
    deadline_s = max(pair.deadline_s for pair in against.pairs)
    return render_simulation_page(folder, page, lambda: draw_bands(finding, _bands(against), deadline_s))


def _bands(against: Against) -> list[CurveBand]:
    measured = _band("measured", [pair.measured for pair in against.pairs], palette.VERMILION, dashed=True)
    predicted = _band("predicted", [pair.predicted for pair in against.pairs], palette.GOODPUT)
    return [predicted, measured]


def _band(label: str, runs: Sequence[RunFigures], colour: str, *, dashed: bool = False) -> CurveBand:
    """The curve of one run; of several their median, and a band from the least to the greatest."""
    times = np.linspace(0.0, max(run.curve_t_s[-1] for run in runs), len(runs[0].curve_t_s))
    curves = np.vstack([np.interp(times, run.curve_t_s, run.curve) for run in runs])
    middle = np.median(curves, axis=0)
    low, high = (None, None) if len(runs) == 1 else (curves.min(axis=0), curves.max(axis=0))
    return CurveBand(label, times, middle, low, high, colour, dashed)


def _agrees(pair: RunPair) -> bool:
    return pair.predicted.verdict == pair.measured.verdict


def _error_alone(pair: FigurePair) -> str:
    if pair.measured is None and pair.predicted is None:
        return NOT_AVAILABLE
    return format_error(pair) or f"{_format(pair, pair.predicted)} for {_format(pair, pair.measured)}"


def _describe(pair: FigurePair) -> str:
    error = format_error(pair)
    text = f"{_format(pair, pair.predicted)} for {_format(pair, pair.measured)}"
    return f"{text} ({error})" if error else text


def _format(pair: FigurePair, value: float | None) -> str:
    return NEVER if value is None else format_quantity(value, pair.unit)
