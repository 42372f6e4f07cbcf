"""How long an experiment's cells will take: the estimate of the time left. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.scenario.experiment import Cell

RUN_OVERHEAD_S = 12.0
"""Starting, draining, judging and drawing a run take about so long, less for a small one (measured: 4 to 12 s)."""


@dataclass
class TimeLeftEstimator:
    """What is known of how long cells take."""

    took_s: dict[str, list[float]] = field(default_factory=dict)
    """Variant -> seconds of each finished cell."""
    ratios: list[float] = field(default_factory=list)
    """Seconds of each finished cell ÷ its longest."""

    @property
    def is_known(self) -> bool:
        """Whether any cell has told how long it took; before, all that is known is the longest that cells can take."""
        return bool(self.ratios)

    def finished(self, cell: Cell, seconds: float) -> None:
        """Learn from a cell."""
        self.took_s.setdefault(cell.variant.name, []).append(seconds)
        self.ratios.append(seconds / max_cell_s(cell))

    def expects_s(self, cell: Cell) -> float:
        """Seconds that a cell will take: as its variant's others did, else as far below the longest as all others were."""
        known = self.took_s.get(cell.variant.name)
        if known:
            return sum(known) / len(known)
        share = sum(self.ratios) / len(self.ratios) if self.ratios else 1.0
        return max_cell_s(cell) * share

    def left_s(self, cells: Sequence[Cell]) -> float:
        """Seconds that all these cells will take, on a machine that stays as fast as it was."""
        return sum(self.expects_s(cell) for cell in cells)


def max_cell_s(cell: Cell) -> float:
    """Seconds that a cell takes if it runs to its deadline and all attempts then time out."""
    return cell.scenario.longest_s + RUN_OVERHEAD_S
