"""What calibration found out about a machine: how much a figure differs between runs that are the same. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.analysis.bootstrap import log_ratio
from harness.analysis.comparable import JUDGED_FIGURES
from harness.analysis.student import student_t
from harness.judge.compare.comparability import IGNORED_KEYS, host_facts
from harness.run_folder.layout import RunRecord

MIN_RUNS = 3
"""Runs that a calibration needs at least."""
ALPHA = 0.05 / len(JUDGED_FIGURES)
"""With which probability the interval of a single figure may miss, so that those of all judged ones hold with 95 %."""
POWER = 0.9
"""With which probability the smallest detectable change is found."""


class FigureNoise(BaseModel):
    """One figure over the runs of a calibration."""

    model_config = ConfigDict(frozen=True)

    values: list[float]
    """A value a run, in the order of the runs."""
    log_sd: float
    """Standard deviation of the values' logarithms: 0.01 is about 1 %."""

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the deviation."""
        return len(self.values) - 1

    def half_width(self, alpha: float, base_runs: int = 1, runs: int = 1) -> float:
        """Half the interval of a difference of logarithms that comes from noise alone, missed with `alpha`."""
        return student_t(self.freedom, 1 - alpha / 2) * self._of_difference(base_runs, runs)

    def detectable(self, alpha: float, base_runs: int = 1, runs: int = 1) -> float:
        """The smallest relative change that is told from none with 90 % probability (0.05 is 5 %).

        (t of 1 - alpha/2 + t of 0.9) · s · √(1/n + 1/m): Bloom, Minimum Detectable Effects (1995).
        """
        power = student_t(self.freedom, POWER) * self._of_difference(base_runs, runs)
        return math.expm1(min(self.half_width(alpha, base_runs, runs) + power, 700.0))

    def _of_difference(self, base_runs: int, runs: int) -> float:
        return self.log_sd * math.sqrt(1 / base_runs + 1 / runs)


class Noise(BaseModel):
    """The content of a calibration's file."""

    model_config = ConfigDict(frozen=True)

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
    """What a calibration is kept under: the same for runs of one scenario on one machine, whatever their seed.

    The harness's versions are not in it: an update would silently forget the calibration.
    """
    scenario = {key: value for key, value in record.scenario.items() if key not in IGNORED_KEYS}
    parts = [scenario, host_facts(record.host), len(record.workers), record.own_server]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def compute_noise(record: RunRecord, values: Mapping[str, Sequence[float]], made_at: str) -> Noise:
    """The noise of runs that were the same; figures that are infinite or nothing in one of them are left out."""
    usable = {key: list(seen) for key, seen in values.items() if all(0 < value < math.inf for value in seen)}
    return Noise(
        key=noise_key(record),
        made_at=made_at,
        scenario=record.name,
        seed=record.seed,
        runs=max(map(len, values.values()), default=0),
        versions=record.versions,
        host=record.host,
        figures={
            key: FigureNoise(values=seen, log_sd=_log_sd(seen)) for key, seen in usable.items() if len(seen) >= MIN_RUNS
        },
    )


def _log_sd(values: Sequence[float]) -> float:
    logs = [log_ratio(values[0], value) for value in values]
    mean = sum(logs) / len(logs)
    return math.sqrt(sum((value - mean) ** 2 for value in logs) / (len(logs) - 1))
