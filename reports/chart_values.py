"""The values that a chart shows, read from its figure: what the page's script gives a reader who points at it, and its table.

A series is an artist with a gid, by which the SVG names it too; everything else in a panel is decoration. Times are seconds, all
values in base units.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle, StepPatch

from reports.charts.labels import HEADING
from reports.charts.layout import BACK
from reports.charts.style import cells_of

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    FloatArray = npt.NDArray[np.float64]

_MARKS = {"limit", "due"}
_DIGITS = 4
"""A reader of a chart needs no more; the rows have the exact values."""


def read_values(figure: Figure, narrow: Figure | None = None) -> str:
    """The values of every panel as JSON; `narrow` is the same chart's other drawing.

    `grids` are the x of series, once for all that have the same. A panel: its heading; its place in both drawings, as left, top, width and height in parts of the whole; x and y axis; series
    (points), bars (from, to) and cells. "" if no panel has any.
    """
    panels: list[dict[str, Any]] = []
    grids = _Grids()
    others = _panels(narrow) if narrow is not None else []
    for number, axes in enumerate(_panels(figure)):
        found = _panel(axes, grids)
        if found is None:
            continue
        if not found["y"]["unit"] and not axes.yaxis.get_ticklabels()[0].get_text() and panels:
            found["y"]["unit"] = panels[0]["y"]["unit"]  # a small multiple: its axis has no labels of its own
        found["place"] = _place(axes)
        found["narrow"] = _place(others[number]) if number < len(others) else found["place"]
        panels.append(found)
    if not panels:
        return ""
    return json.dumps({"grids": grids.found, "panels": panels}, separators=(",", ":"), ensure_ascii=False)


class _Grids:
    """The x of series, each kept once."""

    def __init__(self) -> None:
        self.found: list[list[float]] = []

    def add(self, x: Any) -> int:
        """The number of these x."""
        values = [_rounded(value, _DIGITS + 2) for value in np.asarray(x, dtype=float).tolist()]
        if values not in self.found:
            self.found.append(values)
        return self.found.index(values)


def _panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_gid() != BACK]


def _place(axes: Axes) -> list[float]:
    box = axes.get_position()
    return [round(value, 5) for value in (box.x0, 1 - box.y1, box.width, box.height)]


def _panel(axes: Axes, grids: _Grids) -> dict[str, Any] | None:
    """What a panel shows; None if it shows nothing that has a value."""
    series = [*_lines(axes, grids), *_steps(axes, grids)]
    bars, cells = _bars(axes), _cells(axes)
    if not series and not bars and cells is None:
        return None
    low, high = (float(value) for value in axes.get_xlim())
    return {
        "heading": _heading(axes),
        "x": {"from": _rounded(low), "to": _rounded(high), "kind": _kind_of_x(axes)},
        "y": {"from": _rounded(axes.get_ylim()[0]), "to": _rounded(axes.get_ylim()[1]), "unit": _unit_of(axes)},
        "series": series,
        "bars": bars,
        "cells": cells,
    }


def _lines(axes: Axes, grids: _Grids) -> list[dict[str, Any]]:
    return [
        _series(str(line.get_gid()), line.get_color(), grids.add(line.get_xdata()), line.get_ydata())
        for line in axes.lines
        # limits and marks are drawn in parts of the panel, and are not series
        if line.get_gid() and line.get_gid() not in _MARKS and line.get_transform() == axes.transData
    ]


def _steps(axes: Axes, grids: _Grids) -> list[dict[str, Any]]:
    """Stacked areas: each with its own height, not the stack's."""
    found = []
    for patch in axes.patches:
        if isinstance(patch, StepPatch) and patch.get_gid():
            values, edges, baseline = patch.get_data()
            middle = (np.asarray(edges)[:-1] + np.asarray(edges)[1:]) / 2
            below = 0.0 if baseline is None else np.asarray(baseline)
            found.append(
                _series(str(patch.get_gid()), patch.get_facecolor(), grids.add(middle), np.asarray(values) - below)
            )
    return found


def _series(name: str, colour: Any, grid: int, y: Any) -> dict[str, Any]:
    values = [_rounded(value) if math.isfinite(value) else None for value in np.asarray(y, dtype=float).tolist()]
    return {"name": name, "colour": to_hex(colour), "grid": grid, "y": values}


def _bars(axes: Axes) -> list[dict[str, Any]]:
    """Horizontal bars, each named by its gid, or by its label and the tick that it stands at."""
    ticks = {
        round(float(place), 3): label.get_text()
        for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=False)
    }
    group_of = {id(bar): str(group.get_label()) for group in axes.containers for bar in group}
    found = []
    for patch in axes.patches:
        if not isinstance(patch, Rectangle) or not patch.get_width():
            continue
        middle = round(patch.get_y() + patch.get_height() / 2, 3)
        group = group_of.get(id(patch), "")
        name = str(
            patch.get_gid() or " ".join(filter(None, [ticks.get(middle, ""), group if group[:1] != "_" else ""]))
        )
        if name and patch.get_transform().contains_branch(axes.transData):
            found.append(
                {
                    "name": name,
                    "from": _rounded(patch.get_x()),
                    "to": _rounded(patch.get_x() + patch.get_width()),
                    "low": _rounded(patch.get_y()),
                    "high": _rounded(patch.get_y() + patch.get_height()),
                }
            )
    return found


def _cells(axes: Axes) -> dict[str, Any] | None:
    """The counts of a heat map, row by row from the lowest, and the edges of its cells."""
    found = cells_of(axes)
    if found is None:
        return None
    edges = {"x": [_rounded(value) for value in found.edges_x], "y": [_rounded(value) for value in found.edges_y]}
    return {"name": found.name, **edges, "counts": [[int(count) for count in row] for row in found.counts]}


def _heading(axes: Axes) -> str:
    return next((text.get_text().replace("\n", " ") for text in axes.texts if text.get_gid() == HEADING), "")


def _kind_of_x(axes: Axes) -> str:
    """time: seconds since the start. tail: -log10(1 - share), as in the spectrum. number: anything else."""
    figure: Figure = axes.figure  # type: ignore[assignment]
    labels = " ".join(one.get_xlabel() for one in figure.axes)
    if "since the start" in labels:
        return "time"
    return "tail" if axes.get_xlabel() == "percentile" else "number"


def _unit_of(axes: Axes) -> str:
    """The unit of the y axis, by how it would write a half."""
    text = str(axes.yaxis.get_major_formatter()(0.5, 0))
    for ending, unit in (("ms", "s"), ("%", "ratio"), ("B", "B")):
        if text.endswith(ending):
            return unit
    return ""


def _rounded(value: float, digits: int = _DIGITS) -> float:
    """Whole numbers without their fraction, which JSON would write."""
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() else short
