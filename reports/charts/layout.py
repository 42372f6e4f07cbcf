"""The measures of a chart, wide or narrow, in inches; and making room in a figure that is laid out in inches.

Every chart is drawn twice: 9 inches wide for the page and the files, and 4.5 inches wide for phones, print and comparisons,
where two stand side by side. As with fonts, matplotlib's rcParams tell a chart which of the two is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rcParams

from reports import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_WIDTH_IN = 1.85
"""The margin for labels right of the panels of a wide chart."""
BACK = "behind the panels"
"""The gid of the axes that `ChartFigure.back` is: its y axis counts inches below its top, as negative numbers."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How wide a chart is, and what depends on that."""

    width_in: float
    left_in: float
    """Margin left of the panels, for the labels of the y axis."""
    right_in: float
    """Margin right of the panels; in a wide chart the labels of the lines stand there."""
    title_characters: int
    """Characters of the title that fit on a line."""
    heading_characters: int
    """Characters of a panel's heading that fit on a line."""
    max_ticks: int
    """Of the time axis."""
    max_points: int
    """At this width more points of a line, or columns of a heat map, merge into each other."""
    narrow: bool
    """Labels stand above their panel instead of beside it."""

    @property
    def panel_in(self) -> float:
        """Width of a panel."""
        return self.width_in - self.left_in - self.right_in

    @property
    def style(self) -> dict[Any, Any]:
        """The rcParams that draw a chart in this layout."""
        return {**palette.STYLE, "figure.figsize": (self.width_in, self.width_in)}


WIDE = Layout(9.0, 0.62, LABEL_WIDTH_IN, 98, 110, 12, 400, narrow=False)
NARROW = Layout(4.5, 0.58, 0.16, 46, 50, 6, 200, narrow=True)


def current_layout() -> Layout:
    """The layout in which charts are being drawn: by the width in matplotlib's rcParams."""
    return NARROW if rcParams["figure.figsize"][0] <= NARROW.width_in else WIDE


def make_room(axes: Axes, by_in: float) -> None:
    """Make the figure taller by moving up everything above these axes; axes behind several panels grow instead."""
    figure: Figure = axes.figure  # type: ignore[assignment]
    old_in = figure.get_figheight()
    new_in = old_in + by_in
    above_in = axes.get_position().y1 * old_in - 0.01

    def moved(y: float) -> float:
        return (y * old_in + (by_in if y * old_in > above_in + 0.02 else 0.0)) / new_in

    boxes = [(one, one.get_position()) for one in figure.axes]
    figure.set_figheight(new_in)
    for one, box in boxes:
        low, high = moved(box.y0), moved(box.y1)
        one.set_position((box.x0, low, box.width, high - low))
        if one.get_gid() == BACK:
            one.set_ylim(-(high - low) * new_in, 0)
            for line in one.lines:
                top = max(float(y) for y in np.asarray(line.get_ydata()))
                line.set_ydata([-(high - low) * new_in, top])
    for text in figure.texts:
        x, y = text.get_position()
        text.set_position((x, moved(y)))
