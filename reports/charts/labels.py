"""Labels at the ends of lines, placed so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import ScaledTranslation

from harness.analysis.chart_types import ChartLine
from reports import palette
from reports.charts.layout import LABEL_WIDTH_IN, current_layout, make_room

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_GAP_IN = 0.165
"""The least distance of two labels' centres."""
KEY_ROW_IN, SAMPLE_IN, KEY_GAP_IN = 0.175, 0.2, 0.16
"""Height of a row of labels above a panel, length of the sample of a line before its label, gap between two labels."""
CHARACTER_IN, BOLD_IN = 0.074, 0.083
"""Width of a character, measured for DejaVu Sans at 9 points: asking matplotlib needs a draw for each label."""
_LEADER_GAP_IN = 1 / 72
"""Between a dotted line and its point; twice as much before its label."""
HEADING = "heading"
"""The gid of a panel's heading."""


@dataclass(frozen=True, slots=True)
class EndLabel:
    """A label at the end of a line: the point it belongs to, its text and its colour."""

    t_s: float
    value: float
    text: str
    colour: str
    bold: bool = False


def end_label(line: ChartLine, text: str, colour: str, *, bold: bool = False) -> EndLabel | None:
    """A label for a line's last finite point; None if the line has none."""
    finite = np.flatnonzero(np.isfinite(line.value))
    if not len(finite):
        return None
    last = finite[-1]
    return EndLabel(float(line.t_s[last]), float(line.value[last]), text, colour, bold)


def draw_end_labels(axes: Axes, labels: Sequence[EndLabel | None], *, beside: bool = False) -> None:
    """Write each label to the right of its line's end, as near as the other labels allow; None is skipped.

    The limits of the axes must be final, because positions are computed from them. The labels go into the margin, or
    into the panel if all lines end early enough to leave room there (`beside` forbids that). A narrow chart has no room beside its panels: there
    the labels stand above, each behind a sample of its line.
    """
    wanted = [label for label in labels if label is not None]
    if current_layout().narrow:
        _draw_key(axes, [_KeyEntry(label.text.replace("\n", " "), label.colour, label.bold) for label in wanted])
        return
    dpi = axes.figure.dpi
    box = axes.get_window_extent()
    points = [axes.transData.transform((label.t_s, label.value)) for label in wanted]
    ends_in = [float(point[0] - box.x0) / dpi for point in points]
    heights = [float(point[1] - box.y0) / dpi for point in points]
    wide, high = box.width / dpi, box.height / dpi
    latest = max(ends_in, default=wide)
    start = latest if latest + LABEL_WIDTH_IN < wide and not beside else wide
    # more labels than fit beside the panel may stand out above and below it, evenly
    slack = max(0.0, (len(wanted) * LABEL_GAP_IN - high) / 2)
    lowest = (
        LABEL_GAP_IN * 0.6 * max((label.text.count("\n") + 1 for label in wanted), default=1) if start < wide else 0
    )
    placed = place_labels(heights, LABEL_GAP_IN, lowest - slack, high + slack)
    for label, height, target, end in zip(wanted, placed, heights, ends_in, strict=True):
        # a label that had to move gets a dotted line back to the point it names
        moved = abs(height - target) > 0.03 or start - end > 0.06
        if moved:
            # a plain line: matplotlib looks for the places where an arrow meets text and point by bisection, for 4 ms
            begin_in, end_in = (end + _LEADER_GAP_IN, target), (start + 0.2 - 2 * _LEADER_GAP_IN, height)
            _draw_leader(axes, begin_in, end_in, label.colour)
        axes.annotate(
            label.text,
            xy=(label.t_s, label.value),
            xytext=((start + (0.2 if moved else 0.08)) / wide, height / high),
            textcoords="axes fraction",
            color=label.colour,
            weight="bold" if label.bold else "normal",
            size=_fitting_size(label),
            va="center",
            annotation_clip=False,
        )


def _draw_leader(axes: Axes, begin_in: tuple[float, float], end_in: tuple[float, float], colour: str) -> None:
    """A dotted line between two places in inches from the lower left corner of the panel."""
    figure: Figure = axes.figure  # type: ignore[assignment]
    from_corner = figure.dpi_scale_trans + ScaledTranslation(0, 0, axes.transAxes)  # type: ignore[arg-type]
    x, y = zip(begin_in, end_in, strict=True)
    figure.add_artist(
        Line2D(x, y, color=colour, linewidth=0.8, linestyle=(0, (1, 1.5)), dash_capstyle="round", transform=from_corner)
    )


def draw_shades(axes: Axes, heading: str, entries: Sequence[tuple[str, str]]) -> None:
    """Write the key of a heat map, (text, shade) from the fewest on: right of the panel, or above it in a narrow chart."""
    if current_layout().narrow:
        first = _KeyEntry(heading, palette.MUTED, swatch=palette.PAPER)
        _draw_key(axes, [first, *(_KeyEntry(text, palette.MUTED, swatch=shade) for text, shade in entries)])
        return

    def write(text: str, right_pt: float, row: int, colour: str) -> None:
        place = (right_pt, 2 + 13 * row)
        axes.annotate(
            text, (1, 0), place, "axes fraction", "offset points", color=colour, size=9, annotation_clip=False
        )

    for number, (text, shade) in enumerate(entries):
        write("\N{BLACK SQUARE}", 8, number, shade)
        write(text, 20, number, palette.MUTED)
    write(heading, 8, len(entries), palette.MUTED)


@dataclass(frozen=True, slots=True)
class _KeyEntry:
    """One label above a panel: its text and colour, and for an area the colour of its swatch (a line has a sample)."""

    text: str
    colour: str
    bold: bool = False
    swatch: str = ""

    @property
    def width_in(self) -> float:
        return SAMPLE_IN + 0.06 + len(self.text) * (BOLD_IN if self.bold else CHARACTER_IN)


def _draw_key(axes: Axes, entries: Sequence[_KeyEntry]) -> None:
    """Write entries above a panel, below its heading, in as many rows as they need; the figure grows by them."""
    if not entries:
        return
    wide_in = axes.get_position().width * axes.figure.get_figwidth()  # type: ignore[union-attr]
    rows: list[list[tuple[float, _KeyEntry]]] = [[]]
    right_in = 0.0
    for entry in entries:
        if rows[-1] and right_in + entry.width_in > wide_in:
            rows.append([])
            right_in = 0.0
        rows[-1].append((right_in, entry))
        right_in += entry.width_in + KEY_GAP_IN
    make_room(axes, len(rows) * KEY_ROW_IN)
    for heading in axes.texts:
        if isinstance(heading, Annotation) and heading.get_gid() == HEADING:
            heading.xyann = (0, 5 + 72 * len(rows) * KEY_ROW_IN)
    for number, row in enumerate(reversed(rows)):
        for left_in, entry in row:
            _draw_entry(axes, entry, left_in, 0.1 + number * KEY_ROW_IN)


def _draw_entry(axes: Axes, entry: _KeyEntry, x: float, y: float) -> None:
    """One entry with a sample of its line, at a place in inches from the upper left corner of the panel."""
    figure: Figure = axes.figure  # type: ignore[assignment]
    from_corner = figure.dpi_scale_trans + ScaledTranslation(0, 1, axes.transAxes)  # type: ignore[arg-type]
    sample = Line2D(
        [x, x + SAMPLE_IN], [y, y], color=entry.swatch or entry.colour, linewidth=5.0, transform=from_corner
    )
    # width and dashes of the line of this colour: by them lines differ in greyscale
    line = next((one for one in axes.lines if one.get_gid() and to_hex(one.get_color()) == entry.colour), None)
    if line is not None and not entry.swatch:
        sample.set(linewidth=line.get_linewidth(), linestyle=(0, (3, 1.5)) if line.is_dashed() else "-")
    figure.add_artist(sample)
    axes.text(
        x + SAMPLE_IN + 0.06, y, entry.text, transform=from_corner, color=entry.colour, size=9, va="center",
        weight="bold" if entry.bold else "normal",
    )  # fmt: skip


def _fitting_size(label: EndLabel) -> float:
    """Font size in points: 9, or less for a text wider than the margin."""
    wide_in = max(map(len, label.text.splitlines())) * (BOLD_IN if label.bold else CHARACTER_IN)
    return 9 * min(1.0, (LABEL_WIDTH_IN - 0.22) / wide_in)


def place_labels(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions as near to `wanted` as possible, at least `gap` apart and, if they fit, within low..high; all in one unit.

    They keep the order of `wanted`. Labels that would overlap form a cluster around the mean of their wanted positions;
    clusters that touch are merged, which is the pool-adjacent-violators algorithm of isotonic regression.

    >>> place_labels([1.0, 1.0, 5.0], gap=1.0, low=0.0, high=10.0)
    [0.5, 1.5, 5.0]
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    clusters: list[tuple[float, int]] = []  # (centre, members)
    for index in order:
        centre, members = wanted[index], 1
        while True:
            half = (members - 1) / 2 * gap
            centre = min(max(centre, low + half), high - half)
            if not clusters or clusters[-1][0] + (clusters[-1][1] - 1) / 2 * gap + gap <= centre - half + 1e-9:
                break
            above, more = clusters.pop()
            centre, members = (above * more + centre * members) / (more + members), members + more
        clusters.append((centre, members))
    placed = [centre + (place - (members - 1) / 2) * gap for centre, members in clusters for place in range(members)]
    result = [0.0] * len(wanted)
    for index, position in zip(order, placed, strict=True):
        result[index] = position
    return result


def assign_rows(spans: Sequence[tuple[float, float]]) -> list[int]:
    """The row of each span: the lowest one in which it overlaps no earlier span.

    >>> assign_rows([(0, 10), (5, 12), (11, 20)])
    [0, 1, 0]
    """
    taken: list[list[tuple[float, float]]] = []
    result = []
    for start, end in spans:
        for number, row in enumerate(taken):
            if all(end <= other_start or start >= other_end for other_start, other_end in row):
                row.append((start, end))
                result.append(number)
                break
        else:
            taken.append([(start, end)])
            result.append(len(taken) - 1)
    return result
