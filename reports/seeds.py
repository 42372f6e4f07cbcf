"""Many seeds of one scenario: the tables for terminal and page, and the page with the completion band."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.analysis.run_figures import FIGURES
from harness.analysis.seeds import BAND, FigureBand, SeedsFigures, ThresholdOdds
from reports.number_format import format_ratio, plural
from reports.simulation_page import (
    CurveBand,
    SimulationPage,
    SimulationTable,
    draw_bands,
    format_figure,
    render_simulation_page,
)

FIGURE_HEADERS = ("figure", "median", "90 % of the seeds")
ODDS_HEADERS = ("threshold", "held in", "probability that it holds")
_NOTE = (
    "Each seed draws other arrivals, service times and retries. The band holds the middle 90 % of the seeds; the interval of "
    "a probability is 95 % (Clopper-Pearson). Nothing was sent and nothing was measured."
)


def seeds_finding(figures: SeedsFigures) -> str:
    """A sentence on how many stations are complete by the deadline."""
    band = figures.figures["completed_by_deadline_ratio"]
    seeds = plural(len(figures.seeds), "seed")
    low, middle, high = (format_ratio(value or 0.0) for value in (band.low, band.median, band.high))
    spread = f"in the middle 90 % of {seeds}" if low == high else f"in the median of {seeds} ({low} to {high} in 90 %)"
    return f"By the deadline {middle} of the stations are complete {spread}"


def figure_rows(figures: SeedsFigures) -> list[list[str]]:
    """One row per key figure that occurred: its name, median and band."""
    return [
        [FIGURES[key].title, format_figure(key, band.median), _format_band(key, band, len(figures.seeds))]
        for key, band in figures.figures.items()
        if band.never < len(figures.seeds) or key == "finished_s"
    ]


def _format_band(key: str, band: FigureBand, seeds: int) -> str:
    low, high = format_figure(key, band.low), format_figure(key, band.high)
    never = f"; never in {band.never} of {seeds}" if 0 < band.never < seeds else ""
    return f"{low if low == high else f'{low} to {high}'}{never}"


def odds_rows(figures: SeedsFigures) -> list[list[str]]:
    """One row per threshold: in how many seeds it held, and the interval of its probability."""
    return [[odds.assertion, f"{odds.held} of {odds.seeds}", format_odds(odds)] for odds in figures.thresholds]


def format_odds(odds: ThresholdOdds) -> str:
    """The probability that a threshold holds, with its interval."""
    return f"{format_ratio(odds.ratio)} ({format_ratio(odds.low)} to {format_ratio(odds.high)})"


def completion_of(figures: SeedsFigures) -> CurveBand:
    """Median and middle 90 % of the completion curves, at each of their times."""
    times = np.linspace(0.0, max(run.curve_t_s[-1] for run in figures.runs), len(figures.runs[0].curve_t_s))
    curves = np.vstack([np.interp(times, run.curve_t_s, run.curve) for run in figures.runs])
    low, middle, high = np.quantile(curves, [BAND[0], 0.5, BAND[1]], axis=0, method="inverted_cdf")
    return CurveBand("median", times, middle, low, high)


def render_seeds(folder: Path, figures: SeedsFigures) -> Path:
    """Write the page into the folder; its path."""
    finding = seeds_finding(figures)
    tables = [SimulationTable("figures", "Key figures", FIGURE_HEADERS, figure_rows(figures))]
    if figures.thresholds:
        tables.insert(0, SimulationTable("thresholds", "Thresholds", ODDS_HEADERS, odds_rows(figures)))
    heading = f"{figures.title or figures.name}; {plural(len(figures.seeds), 'seed')}"
    page = SimulationPage(heading, finding, _NOTE, tables)
    return render_simulation_page(
        folder, page, lambda: draw_bands(finding, [completion_of(figures)], figures.deadline_s)
    )
