"""Predicted beside measured: how far a simulation is from the run that it plays again."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from harness.analysis.run_figures import FIGURES, RunFigures

MOMENTS = (0.25, 0.5, 0.75)
"""Shares of the deadline at which completion is compared, besides the deadline itself."""


class FigurePair(BaseModel):
    """One figure, predicted and measured."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    key: str
    title: str
    unit: str
    measured: float | None
    predicted: float | None
    """None: it never happened, or there are too few samples."""

    @property
    def error(self) -> float | None:
        """Predicted minus measured: of a ratio in ratio points, of anything else relative to the measured value.

        None if one of them is missing, or nothing can be relative to a measured 0.
        """
        if self.measured is None or self.predicted is None:
            return None
        if self.unit == "ratio":
            return self.predicted - self.measured
        if self.measured == 0:
            return 0.0 if self.predicted == 0 else None
        return self.predicted / self.measured - 1


class RunPair(BaseModel):
    """One run and the simulation of its scenario and seed."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    run: str
    """The run's folder."""
    name: str
    seed: int
    deadline_s: float
    measured: RunFigures
    predicted: RunFigures

    @property
    def figures(self) -> list[FigurePair]:
        """Stations at moments and by the deadline, the other key figures, and attempts by outcome."""
        first, *rest = FIGURES
        outcomes = {**self.measured.by_outcome, **self.predicted.by_outcome}
        return [
            *(self._at(share) for share in MOMENTS),
            *(self._pair(key) for key in (first, *rest)),
            *(
                FigurePair(
                    key=f"by_outcome.{outcome}", title=f"attempts {outcome}", unit="",
                    measured=self.measured.by_outcome.get(outcome, 0), predicted=self.predicted.by_outcome.get(outcome, 0),
                )
                for outcome in outcomes
            ),
        ]  # fmt: skip

    def figure(self, key: str) -> FigurePair:
        """One of `figures` by its key. Raises KeyError."""
        return {pair.key: pair for pair in self.figures}[key]

    def _pair(self, key: str) -> FigurePair:
        kind = FIGURES[key]
        measured, predicted = self.measured.values[key], self.predicted.values[key]
        return FigurePair(key=key, title=kind.title, unit=kind.unit, measured=measured, predicted=predicted)

    def _at(self, share: float) -> FigurePair:
        at_s = share * self.deadline_s
        measured, predicted = (_share_at(one, at_s) for one in (self.measured, self.predicted))
        title = f"stations at {at_s:g} s"
        return FigurePair(key=f"at_{share:g}", title=title, unit="ratio", measured=measured, predicted=predicted)


class Against(BaseModel):
    """The content of against.json."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    format: int = 1
    pairs: list[RunPair]


def _share_at(figures: RunFigures, at_s: float) -> float:
    """The last known share at or before a moment: a curve of steps is not interpolated."""
    known = [share for t_s, share in zip(figures.curve_t_s, figures.curve, strict=True) if t_s <= at_s]
    return known[-1] if known else 0.0
