"""Labels at the ends of lines, placed so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.chart_types import ChartLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL_WIDTH_IN, LABEL_GAP_IN = 1.85, 0.165
"""The margin right of the panels, and the least distance of two labels' centres."""


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


def draw_end_labels(axes: Axes, labels: Sequence[EndLabel | None]) -> None:
    """Write each label to the right of its line's end, as near as the other labels allow; None is skipped.

    The limits of the axes must be final, because positions are computed from them. The labels go into the margin, or
    into the panel if all lines end early enough to leave room there (a run that ended long before its deadline).
    """
    wanted = [label for label in labels if label is not None]
    dpi = axes.figure.dpi
    box = axes.get_window_extent()
    points = [axes.transData.transform((label.t_s, label.value)) for label in wanted]
    ends_in = [float(point[0] - box.x0) / dpi for point in points]
    heights = [float(point[1] - box.y0) / dpi for point in points]
    wide, high = box.width / dpi, box.height / dpi
    latest = max(ends_in, default=wide)
    start = latest if latest + LABEL_WIDTH_IN < wide else wide
    # more labels than fit beside the panel may stand out above and below it, evenly
    slack = max(0.0, (len(wanted) * LABEL_GAP_IN - high) / 2)
    lowest = (
        LABEL_GAP_IN * 0.6 * max((label.text.count("\n") + 1 for label in wanted), default=1) if start < wide else 0
    )
    placed = place_labels(heights, LABEL_GAP_IN, lowest - slack, high + slack)
    for label, height, target, end in zip(wanted, placed, heights, ends_in, strict=True):
        # a label that had to move gets a dotted line back to the point it names
        moved = abs(height - target) > 0.03 or start - end > 0.06
        line = {"arrowstyle": "-", "color": label.colour, "lw": 0.8, "ls": (0, (1, 1.5)), "shrinkA": 0, "shrinkB": 1}
        axes.annotate(
            label.text,
            xy=(label.t_s, label.value),
            xytext=((start + (0.2 if moved else 0.08)) / wide, height / high),
            textcoords="axes fraction",
            color=label.colour,
            weight="bold" if label.bold else "normal",
            size=_fitting_size(label),
            va="center",
            arrowprops=line | {"relpos": (0, 0.5)} if moved else None,
            annotation_clip=False,
        )


def _fitting_size(label: EndLabel) -> float:
    """Font size in points: 9, or less for a text wider than the margin."""
    # widths of a character measured for DejaVu Sans at 9 points: asking matplotlib needs a draw for each label
    wide_in = max(map(len, label.text.splitlines())) * (0.083 if label.bold else 0.074)
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
