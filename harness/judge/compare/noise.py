"""What calibration has measured on a machine: how much a figure varies between identical runs. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.analysis.bootstrap import log_ratio, student_t
from harness.analysis.comparable import JUDGED_FIGURES
from harness.judge.compare.run import IGNORED_KEYS, host_facts
from harness.run_folder.layout import RunRecord

MIN_RUNS = 3
"""Fewest runs that a calibration needs."""
ALPHA = 0.05 / len(JUDGED_FIGURES)
"""Probability with which the interval of a single figure may miss, so that those of all judged figures hold with 95 %."""
POWER = 0.9
"""Probability with which the smallest detectable change is detected."""


class FigureNoise(BaseModel):
    """One figure over the runs of a calibration."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    values: list[float]
    """One value per run, in the order of the runs."""
    log_sd: float
    """Standard deviation of the values' logarithms: 0.01 is about 1 %."""

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the deviation."""
        return len(self.values) - 1

    def half_width(self, alpha: float, base_runs: int = 1, runs: int = 1) -> float:
        """Half the width of an interval of a difference of logarithms that noise alone leaves with probability `alpha`."""
        return student_t(self.freedom, 1 - alpha / 2) * self._of_difference(base_runs, runs)

    def detectable(self, alpha: float, base_runs: int = 1, runs: int = 1) -> float:
        """The smallest relative change that is detected with 90 % probability (0.05 is 5 %).

        (t of 1 - alpha/2 + t of 0.9) · s · √(1/n + 1/m): Bloom, Minimum Detectable Effects (1995).
        """
        power = student_t(self.freedom, POWER) * self._of_difference(base_runs, runs)
        return math.expm1(min(self.half_width(alpha, base_runs, runs) + power, 700.0))  # e^709 is the largest float

    def _of_difference(self, base_runs: int, runs: int) -> float:
        return self.log_sd * math.sqrt(1 / base_runs + 1 / runs)


class Noise(BaseModel):
    """The content of a calibration file."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    format: int = 1
    key: str
    made_at: str
    """UTC, to the second."""
    scenario: str
    """Its name."""
    seed: int
    runs: int
    versions: dict[str, str]
    host: dict[str, Any]
    figures: dict[str, FigureNoise]


def noise_key(record: RunRecord) -> str:
    """The key under which a calibration is stored: equal for runs of one scenario on one machine, whatever their seed.

    It does not depend on the harness's version: an update would silently discard the calibration.
    """
    scenario = {key: value for key, value in record.scenario.items() if key not in IGNORED_KEYS}
    parts = [scenario, host_facts(record.host), len(record.workers), record.own_server]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def compute_noise(record: RunRecord, values: Mapping[str, Sequence[float]], made_at: str) -> Noise:
    """The noise of identical runs; figures that are 0 or infinite in one of them, and so have no logarithm, are left out."""
    usable = {key: list(found) for key, found in values.items() if all(0 < value < math.inf for value in found)}
    return Noise(
        key=noise_key(record),
        made_at=made_at,
        scenario=record.name,
        seed=record.seed,
        runs=max(map(len, values.values()), default=0),
        versions=record.versions,
        host=record.host,
        figures={
            key: FigureNoise(values=found, log_sd=_log_sd(found))
            for key, found in usable.items()
            if len(found) >= MIN_RUNS
        },
    )


def _log_sd(values: Sequence[float]) -> float:
    logs = [log_ratio(values[0], value) for value in values]
    mean = sum(logs) / len(logs)
    return math.sqrt(sum((value - mean) ** 2 for value in logs) / (len(logs) - 1))
