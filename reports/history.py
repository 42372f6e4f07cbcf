"""The page of a history: the figures of one scenario's runs over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from harness.judge.history import HistoryEntry
from reports import palette
from reports.charts.style import Panel, titled_figure
from reports.number_format import plural
from reports.run_list import HISTORY_HEADERS, history_rows
from reports.simulation_page import PageChart, SimulationPage, SimulationTable, render_page_with_charts

_DRAWN = {
    "delivery_seconds.p95": "p95 of delivery, s",
    "rates.goodput_per_s": "goodput, pages/s",
    "attempts.amplification": "attempts per page",
}
_COLOURS = {"pass": palette.GOOD, "fail": palette.BAD, "invalid": palette.MUTED, "": palette.MUTED}
_MARKERS = {"pass": "o", "fail": "X", "invalid": "d", "": "d"}


def history_finding(entries: Sequence[HistoryEntry]) -> str:
    """A sentence on how the runs ended and whether anything changed."""
    counts = {word: sum(entry.run.verdict == word for entry in entries) for word in ("pass", "fail", "invalid")}
    words = {"pass": "passed", "fail": "failed", "invalid": "were not valid"}
    parts = [f"{number} {words[word]}" for word, number in counts.items() if number]
    head = f"Of {plural(len(entries), 'run')} {', '.join(parts) or 'none was judged'}"
    changed = sum(bool(entry.changes) for entry in entries)
    if changed:
        return f"{head}; {plural(changed, 'run')} changed a figure beyond the noise"
    compared = [entry.is_calibrated for entry in entries if entry.is_calibrated is not None]
    if not compared:
        return f"{head}; no two of them can be compared"
    if not all(compared):
        return f"{head}; what is noise is not known: harness calibrate measures it"
    return f"{head}; no figure changed beyond the noise"


def render_history(folder: Path, scenario: str, entries: Sequence[HistoryEntry]) -> Path:
    """Write the page into the folder; its path."""
    finding = history_finding(entries)
    page = SimulationPage(
        heading=scenario,
        finding=finding,
        note="A figure is compared with that of the latest valid run before, of the same scenario, seed and machine.",
        tables=[SimulationTable("runs", "Runs", ("started", *_SHOWN), [_page_row(entry) for entry in entries])],
        badge="HISTORY",
    )
    chart = PageChart("history", "Did it get better or worse?", finding, lambda: draw_history(finding, entries))
    return render_page_with_charts(folder, page, [chart])


def draw_history(finding: str, entries: Sequence[HistoryEntry]) -> Figure:
    """Each figure from run to run; runs that failed and that were not valid are marked, as is what changed beyond noise."""
    drawn = titled_figure(finding, [Panel(title, 1.4) for title in _DRAWN.values()])
    numbers = np.arange(1, len(entries) + 1)
    for axes, key in zip(drawn.panels, _DRAWN, strict=True):
        values = np.array([np.nan if (value := entry.run.figures[key]) is None else value for entry in entries])
        axes.plot(numbers, values, color=palette.MUTED, linewidth=1, zorder=1)
        for word, colour in _COLOURS.items():
            chosen = np.array([entry.run.verdict == word for entry in entries])
            axes.scatter(numbers[chosen], values[chosen], color=colour, marker=_MARKERS[word], s=36, zorder=2)
        for number, value, entry in zip(numbers, values, entries, strict=True):
            for change in entry.changes:
                if change.key == key:
                    text = f"{change.ratio:+.0%}".replace("%", " %")
                    axes.annotate(text, (number, value), (0, 8), textcoords="offset points", ha="center", weight="bold")
        axes.set_ylim(bottom=0)
        axes.tick_params(labelbottom=axes is drawn.panels[-1])
        axes.margins(y=0.25)
        axes.set_xlim(0.5, len(entries) + 0.5)
        axes.set_xticks(numbers if len(entries) <= 20 else numbers[:: len(entries) // 10])
    drawn.panels[-1].set_xlabel(
        "runs, oldest first; crosses failed, diamonds were not valid; a percentage: changed beyond the noise",
        loc="left",
    )
    return drawn.figure


_SHOWN = ("verdict", *HISTORY_HEADERS[2:])


def _page_row(entry: HistoryEntry) -> list[str]:
    verdict, started, *rest = history_rows([entry])[0]
    return [started, verdict, *rest]
