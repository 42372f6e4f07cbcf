"""The schema of comparison.json, as frozen types."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from harness.base.safe_files import load_json
from harness.run_folder.layout import RunFolder

ComparisonVerdict = Literal["pass", "fail", "inconclusive"]
FigureVerdict = Literal["pass", "fail", "inconclusive", "not compared", "not judged"]
IntervalMethod = Literal["blocks of time", "pairs of seeds", "runs", ""]


class _ComparisonModel(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class RunFacts(_ComparisonModel):
    """One run of a side."""

    path: str
    id: str
    seed: int
    valid: bool
    reasons: list[str]
    """Why its measurement cannot be compared; empty if it can."""


UNINFORMATIVE_FACTOR = 10.0
"""A bound this many times the estimate, or this small a part of it, says nothing but that nothing is known."""


class RelativeChange(_ComparisonModel):
    """The relative change from base to run: 0.2 is 20 % more. None: there is no bound, or no figure."""

    change: float | None
    low: float | None
    high: float | None
    how: IntervalMethod
    """What the interval was computed from; empty if there is none."""
    drawn_from: str
    """The same as a phrase, with numbers."""

    @property
    def informative_bounds(self) -> tuple[float | None, float | None]:
        """`low` and `high`; also None if a bound is so far from the change that it says nothing."""
        if self.change is None:
            return None, None
        middle = 1 + self.change
        low = None if self.low is None or (1 + self.low) * UNINFORMATIVE_FACTOR < middle else self.low
        return low, None if self.high is None or 1 + self.high > UNINFORMATIVE_FACTOR * middle else self.high


class FigureComparison(_ComparisonModel):
    """One figure of both sides."""

    key: str
    unit: Literal["s", "ratio", "per_s", ""]
    better: Literal["lower", "higher"]
    base: float | None
    """In base units; the geometric mean of several runs. None if there is no such figure, or it is infinite."""
    run: float | None
    change: RelativeChange | None
    tolerance: float | None
    """How much worse it may be; None if it is shown and not judged."""
    detectable: float | None
    """The smallest change that can be detected on this machine, as calibrated; None without a calibration."""
    verdict: FigureVerdict
    reason: str
    """Why it has this verdict; may be empty."""


class Comparison(_ComparisonModel):
    """The content of comparison.json: base against run."""

    format: int = 1
    verdict: ComparisonVerdict
    exit_code: int
    finding: str
    """The result in one sentence."""
    reasons: list[str]
    """What overrides the figures: invalid runs, lost pages."""
    unlike: list[str]
    """What else differs between the runs; only ever filled with --force."""
    confidence: float
    """Of the intervals of all judged figures together."""
    calibration: str
    """Which calibration was used; empty for none."""
    base: list[RunFacts]
    run: list[RunFacts]
    figures: list[FigureComparison]


def load_comparison(folder: RunFolder) -> Comparison | None:
    """How a run compared with its baseline; None if it was not compared.

    Raises RunFolderError if the file is not a valid comparison.
    """
    return load_json(folder.comparison, Comparison)


def format_percent(ratio: float) -> str:
    """A change or a tolerance as a percentage, with as many digits as are useful.

    >>> [format_percent(ratio) for ratio in (0.05, 0.1234, -0.2, 0.0523, 0.00523, 0.0004, 30.0)]
    ['5 %', '12 %', '-20 %', '5.2 %', '0.5 %', '0.04 %', '3,000 %']
    """
    size = abs(ratio) * 100
    text = f"{size:,.{0 if size >= 9.95 else 1 if size >= 0.095 else 2}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{'-' if ratio < 0 and text != '0' else ''}{text} %"


def format_signed_percent(ratio: float) -> str:
    """A change as a percentage with its sign.

    >>> [format_signed_percent(ratio) for ratio in (0.2, -0.0312, 0.0, -0.000001)]
    ['+20 %', '-3.1 %', '0 %', '0 %']
    """
    text = format_percent(ratio)
    return f"+{text}" if ratio > 0 and text != "0 %" else text
