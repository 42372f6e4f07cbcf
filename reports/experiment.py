"""An experiment: its table, its two charts and the HTML page that links every run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harness.analysis.experiment import CellFigures, ExperimentFigures, PairedDifference, VariantFigures
from reports import number_format, palette, svg
from reports.charts.labels import CHARACTER_IN
from reports.charts.layout import current_layout
from reports.charts.style import TITLE_LINE_IN, Panel, titled_figure
from reports.drawing import drawing_into
from reports.html import chart_script, stylesheet, template_environment
from reports.number_format import format_quantity

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

    FloatArray = npt.NDArray[np.float64]

HEADERS = ("variant", "delivery p50", "p95", "amplification", "resent", "wasted work", "recovery", "safety")


def headers(figures: ExperimentFigures) -> list[str]:
    """The headers, with one column for each moment at which the experiment reports completion."""
    moments = [f"complete at {moment_label(figures, moment)}" for moment in figures.at_s]
    late = ["recapitulation late by"] if _has_recapitulation(figures) else []
    return [HEADERS[0], *moments, "at the deadline", "against the first", *HEADERS[1:], *late]


def _has_recapitulation(figures: ExperimentFigures) -> bool:
    return any(cell.recapitulation_late_s is not None for variant in figures.variants for cell in variant.cells)


def moment_label(figures: ExperimentFigures, moment_s: float) -> str:
    """A moment in hours of the election if the experiment runs in scaled time, else in seconds."""
    return f"{moment_s * figures.time_scale / 3600:g} h" if figures.time_scale >= 60 else f"{moment_s:g} s"


def rows(figures: ExperimentFigures) -> list[list[str]]:
    """One row per variant, in the order of the experiment file."""
    return [_row(figures, variant) for variant in figures.variants]


BRIEF_COLUMNS = (
    "variant",
    "at the deadline",
    "against the first",
    "recapitulation late by",
    "amplification",
    "wasted work",
    "safety",
)


def brief_table(figures: ExperimentFigures) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the columns that fit a terminal."""
    names = headers(figures)
    moments = names[1 : 1 + len(figures.at_s)]
    chosen = [number for number, name in enumerate(names) if name in BRIEF_COLUMNS or name in moments]
    return [names[number] for number in chosen], [[row[number] for number in chosen] for row in rows(figures)]


def ranked(figures: ExperimentFigures) -> list[VariantFigures]:
    """Variants with at least one finished run, the one with most stations complete by the deadline first."""
    known = [variant for variant in figures.variants if variant.cells]
    return sorted(known, key=lambda variant: -(variant.mean["completed_by_deadline_ratio"] or 0.0))


def finding(figures: ExperimentFigures) -> str:
    """A sentence that compares the best variant with the first one; it claims nothing that the runs do not show."""
    doubt = _why_nothing_is_claimed(figures)
    if doubt:
        return doubt
    order, first = ranked(figures), figures.variants[0]
    best, base = _completed(order[0]), _completed(first)
    if len(order) == 1:
        return f"“{first.name}” completed {_format_ratio(base)} of the stations by the deadline"
    if _completed(order[-1]) == best:
        return f"The variants tie: each completed {_format_ratio(best)} of the stations by the deadline"
    # the first variant is the baseline of the experiment
    if base == best:
        return f"No variant completed more stations by the deadline than “{first.name}”: {_format_ratio(base)}"
    winners = [variant for variant in order if _completed(variant) == best]
    named = " and ".join(f"“{variant.name}”" for variant in winners[:2])
    named = f"“{winners[0].name}” and {len(winners) - 1} more variants" if len(winners) > 2 else named
    text = f"With {named} {_format_ratio(best)} of stations completed by the deadline, with “{first.name}” {_format_ratio(base)}"
    change = winners[0].difference["completed_by_deadline_ratio"]
    if change is not None and change.low is not None and change.low <= 0:
        return f"{text}; with {change.seeds} seeds that may be chance"
    return text


def _why_nothing_is_claimed(figures: ExperimentFigures) -> str:
    """Why the variants can't be compared; empty if they can."""
    cells = [cell for variant in figures.variants for cell in variant.cells]
    if not cells:
        return "No run has finished yet"
    if len(cells) < figures.planned_cells:
        return f"{len(cells)} of {figures.planned_cells} runs have finished: the variants are compared when all have"
    invalid = sum(not cell.valid for cell in cells)
    if invalid:
        return f"Nothing can be concluded: {invalid} of {len(cells)} runs {'is' if invalid == 1 else 'are'} INVALID"
    return ""


def _completed(variant: VariantFigures) -> float:
    """The mean share of stations complete by the deadline, without the noise of adding up floats."""
    return round(variant.mean["completed_by_deadline_ratio"] or 0.0, 9)


def _row(figures: ExperimentFigures, variant: VariantFigures) -> list[str]:
    cells = variant.cells
    if not cells:
        return [variant.name, *([""] * (len(headers(figures)) - 1))]
    is_first = variant.name == figures.variants[0].name
    return [
        variant.name,
        *(_format_ratio(_mean([cell.completed_at[f"{moment:g}"] for cell in cells])) for moment in figures.at_s),
        _format_ratio(variant.mean["completed_by_deadline_ratio"]),
        "" if is_first else format_difference(variant.difference["completed_by_deadline_ratio"]),
        _format_wait(variant, "delivery_p50_s"),
        _format_wait(variant, "delivery_p95_s"),
        format_quantity(variant.mean["amplification"], ""),
        _format_ratio(variant.mean["resent_ratio"]),
        format_quantity(variant.mean["wasted_work"], ""),
        _recovery(cells),
        _safety(cells),
        # experiment.json of an earlier version has no such mean
        *([format_quantity(variant.mean.get("recapitulation_late_s"), "s")] if _has_recapitulation(figures) else []),
    ]


def format_difference(found: PairedDifference | None) -> str:
    """A paired difference of two ratios in percentage points, with its interval if there is one."""
    if found is None:
        return ""
    mean = f"{found.mean * 100:+.0f} points"
    if found.low is None or found.high is None:
        return mean
    return f"{mean} ({found.low * 100:+.0f} to {found.high * 100:+.0f})"


def _format_wait(variant: VariantFigures, figure: str) -> str:
    # a percentile among pages that were never acknowledged has no mean, but "n/a" would hide that it is infinite
    if variant.mean[figure] is not None:
        return format_quantity(variant.mean[figure], "s")
    return "never" if any(cell.never_arrived for cell in variant.cells) else "n/a"


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _format_ratio(value: float | None) -> str:
    return "" if value is None else format_quantity(value, "ratio")


def _recovery(cells: list[CellFigures]) -> str:
    never = sum(cell.never_recovered for cell in cells)
    if never:
        metastable = sum(cell.metastable is True for cell in cells)
        text = "never" if never == len(cells) else f"never in {never} of {len(cells)}"
        return f"{text} (metastable{'' if metastable == never else f' in {metastable}'})" if metastable else text
    known = [cell.recovered_after_s for cell in cells if cell.recovered_after_s is not None]
    # the worst seed: a mean would hide a run that nearly failed
    return format_quantity(max(known), "s") if known else ""


def _safety(cells: list[CellFigures]) -> str:
    lost = [cell for cell in cells if cell.safety is False]
    unknown = [cell for cell in cells if cell.safety is None]
    invalid = [cell for cell in cells if not cell.valid]
    text = "LOST" if lost else "unknown" if unknown else "nothing lost"
    return f"{text}; {len(invalid)} of {len(cells)} INVALID" if invalid else text


_PANEL_IN, _BETWEEN_IN, _NAME_IN, _FOOT_IN = 1.35, 0.62, 0.34, 0.72
"""Height of a small panel, room between two (ticks, and a name of two lines), above the first, and below the last."""
_ROW_IN, _NARROW_ROW_IN = 0.3, 0.5
_PERCENT = PercentFormatter(1.0, symbol=" %")


def completion_band(
    cells: Sequence[CellFigures], end_s: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Seconds, and the minimum, median and maximum completion over the seeds at each second up to `end_s`; shapes (n,).

    A run that ended early keeps its last value: everything was delivered, or nothing more would be.
    """
    seconds = np.arange(0.0, end_s + 1.0)
    curves = np.vstack([np.interp(seconds, cell.curve_t_s, cell.curve) for cell in cells])
    return seconds, curves.min(axis=0), np.median(curves, axis=0), curves.max(axis=0)


def draw_curves(figures: ExperimentFigures) -> Figure:
    """One small panel per variant, the best first; the first variant's median is repeated in grey in each."""
    order = ranked(figures)
    if not order:
        return _empty_chart(figures)
    layout = current_layout()
    columns = 2 if layout.narrow else 3
    lines = -(-len(order) // columns)
    title = textwrap.wrap(number_format.non_breaking(finding(figures)), layout.title_characters)
    top_in = 0.32 + TITLE_LINE_IN * len(title) + _NAME_IN
    height = top_in + lines * _PANEL_IN + (lines - 1) * _BETWEEN_IN + _FOOT_IN
    figure = Figure(figsize=(layout.width_in, height))
    at = (0.12 / layout.width_in, 1 - 0.1 / height)
    figure.text(*at, "\n".join(title), va="top", weight="bold", size=11, linespacing=1.3)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=layout.left_in / layout.width_in, right=1 - 0.14 / layout.width_in, top=1 - top_in / height,
        bottom=_FOOT_IN / height, hspace=_BETWEEN_IN / _PANEL_IN, wspace=0.1,
    )  # fmt: skip
    first = figures.variants[0]
    for place, axes in enumerate(grid.flat):
        if place < len(order):  # the last line of panels need not be full
            _draw_panel(figures, axes, order[place], columns)
            # the lowest of its column, whether or not the last line of panels is full
            axes.tick_params(labelbottom=place + columns >= len(order))
        else:
            axes.set_axis_off()
    deadline = moment_label(figures, figures.deadline_s)
    foot = f"seconds since the start, to the deadline ({deadline}); stations complete; dashed: “{first.name}”"
    text = "\n".join(textwrap.wrap(foot, int(layout.title_characters * 1.25)))
    figure.text(at[0], 0.06 / height, text, size=9, color=palette.MUTED)
    return figure


def _draw_panel(figures: ExperimentFigures, axes: Axes, variant: VariantFigures, columns: int) -> None:
    first = figures.variants[0]
    if first.cells:
        seconds, _, median, _ = completion_band(first.cells, figures.deadline_s)
        axes.plot(seconds, median, color=palette.GREY, linewidth=1.2, linestyle=(0, (4, 2)), gid="first")
    # a band of minimum to maximum, not of a percentile: experiments have three to ten seeds
    seconds, least, median, most = completion_band(variant.cells, figures.deadline_s)
    axes.fill_between(seconds, least, most, color=palette.SKY, alpha=0.25, linewidth=0)
    axes.plot(seconds, median, color=palette.GOODPUT, linewidth=2.0, gid=variant.name)
    fitting = int((current_layout().panel_in + 1.2) / columns / CHARACTER_IN * 0.9)
    axes.set_title(
        "\n".join(textwrap.wrap(variant.name, fitting, break_on_hyphens=False)),
        loc="left",
        size=9.5,
        color=palette.INK,
        pad=4,
    )
    axes.text(
        0.98, 0.06, number_format.format_ratio(float(median[-1])), transform=axes.transAxes, ha="right", size=9.5,
        color=palette.GOODPUT, weight="bold",
    )  # fmt: skip
    axes.set_ylim(0, 1.03)
    axes.set_xlim(0, figures.deadline_s)
    axes.set_yticks([0, 0.5, 1])
    axes.yaxis.set_major_formatter(_PERCENT)


def draw_rank(figures: ExperimentFigures) -> Figure:
    """Variants by the ratio of stations complete by the deadline: one dot per seed, a bar at the mean."""
    order = [variant for variant in ranked(figures) if variant.mean["completed_by_deadline_ratio"] is not None]
    if not order:
        return _empty_chart(figures)
    narrow = current_layout().narrow
    height_in = (_NARROW_ROW_IN if narrow else _ROW_IN) * len(order) + 0.1
    drawn = titled_figure(finding(figures), [Panel("stations complete by the deadline", height_in)])
    axes = drawn.panels[0]
    box = axes.get_position()
    # the names stand left of the dots, or above them in a narrow chart
    across = (0.05, box.y0, 0.8, box.height) if narrow else (0.27, box.y0, 0.62, box.height)
    axes.set_position(across)
    drawn.back.set_position(across)
    for place, variant in enumerate(reversed(order)):
        _draw_variant(figures, axes, place, variant)
    axes.set_yticks(range(len(order)), ["" if narrow else variant.name for variant in reversed(order)])
    axes.tick_params(axis="y", labelcolor=palette.INK)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(_PERCENT)
    return drawn.figure


def _draw_variant(figures: ExperimentFigures, axes: Axes, place: int, variant: VariantFigures) -> None:
    ratios = [cell.completed_by_deadline_ratio or 0.0 for cell in variant.cells]
    mean = sum(ratios) / len(ratios)
    # the baseline is grey in both charts
    colour = palette.GREY if variant.name == figures.variants[0].name else palette.GOODPUT
    narrow = current_layout().narrow
    # in a narrow chart the name stands above the dots
    middle, half = (place - 0.2, 0.22) if narrow else (place, 0.3)
    axes.plot(ratios, [middle] * len(ratios), "o", color=colour, markersize=4, alpha=0.6, gid=variant.name)
    axes.plot([mean, mean], [middle - half, middle + half], color=colour, linewidth=2.4)
    if narrow:
        axes.annotate(
            variant.name, (0.0, place + 0.45), (0, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="top", size=9, color=palette.INK,
        )  # fmt: skip
    axes.annotate(
        number_format.format_ratio(mean), (1.0, middle), (12, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
        va="center", size=9, color=colour, weight="bold",
    )  # fmt: skip


def _empty_chart(figures: ExperimentFigures) -> Figure:
    drawn = titled_figure(finding(figures), [Panel("", 1.0)])
    drawn.panels[0].set_axis_off()
    return drawn.figure


CHARTS = (
    ("curves", "When were the stations complete?", draw_curves),
    ("rank", "What would have helped most?", draw_rank),
)


@dataclass(frozen=True, slots=True)
class ConfirmedCells:
    """Cells of a simulated experiment that were also run for real: a sentence and a table for the page."""

    finding: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


def render_experiment(folder: Path, figures: ExperimentFigures, confirmed: ConfirmedCells | None = None) -> Path:
    """Write report/index.html and both charts as SVG and PNG into the experiment's folder; return the page's path."""
    into = folder / "report"
    into.mkdir(parents=True, exist_ok=True)
    pictures = []
    with drawing_into(into) as draw_chart:
        for name, question, draw in CHARTS:
            drawings = draw_chart(name, partial(draw, figures))
            embedded = svg.embed_drawings(name, question, drawings.wide, drawings.narrow, drawings.values)
            pictures.append({"name": name, "question": question, "svg": embedded})
    environment = template_environment()
    runs = [cell.run for variant in figures.variants for cell in variant.cells]
    page = into / "index.html"
    page.write_text(
        environment.get_template("experiment.html.j2").render(
            figures=figures,
            finding=finding(figures),
            headers=headers(figures),
            rows=rows(figures),
            charts=pictures,
            confirmed=confirmed,
            done=len(runs),
            drawn={run for run in runs if (folder / "runs" / run / "report" / "index.html").exists()},
            css=stylesheet(environment),
            script=chart_script(environment),
        ),
        encoding="utf-8",
    )
    return page
