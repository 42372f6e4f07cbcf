"""The schema of capacity.json: what a capacity search has tried and found. harness/capacity/ fills it, reports/ draws it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

LevelDecision = Literal["passes", "fails", "undecided"]


class _CapacityModel(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class PlayedSeed(_CapacityModel):
    """What one seed showed at one level. Times are seconds since T0; None is never."""

    seed: int
    met: bool | None
    """Whether the goal was met; None if nobody can tell, as in an INVALID run."""
    breached: list[str] = []
    """The thresholds that did not hold, and "safety" if an acknowledged page was lost."""
    completed_ratio: float | None
    """Share of the stations that were complete by the deadline."""
    complete_95_s: float | None
    """When 95 % of the stations were complete."""
    finish_s: float | None
    """When all stations were complete."""
    amplification: float | None
    why_unknown: str = ""
    """Why nobody can tell; empty otherwise."""


class CapacityLevel(_CapacityModel):
    """One level of the varied key under one load."""

    level: float
    """The value in the unit of `vary.unit`."""
    value: str
    """The same as a scenario has it."""
    decision: LevelDecision
    passed: int
    failed: int
    unknown: int
    probability_low: float
    probability_high: float
    """Clopper and Pearson's bounds of the probability that the goal is met, each with the confidence of the search."""
    breached: dict[str, int]
    """Threshold -> seeds in which it did not hold, most frequent first; "safety" is one of them."""
    binds: str | None
    """The resource of which the plan needs the greatest share, by arithmetic; None if the scenario limits none."""
    used_ratio: float | None
    """That share."""
    used: dict[str, float] = {}
    """Resource -> the share of it that the plan needs at least, of those that the scenario limits."""
    seeds: list[PlayedSeed]
    """The simulated ones."""
    measured: list[PlayedSeed] = []
    """The runs for real, INVALID ones among them."""


class CapacityBracket(_CapacityModel):
    """Between which values the demand lies."""

    passes: str | None
    """The least that passes; None if none of those tried does."""
    fails: str | None
    """The greatest below it that fails; None if none was shown to."""
    undecided: list[str] = []
    """Values between the two that were tried and could not be decided."""
    out_of_order: list[str] = []
    """Values above the least that passes which do not pass."""
    is_complete: bool
    """False if the search was interrupted or its budget spent: then values between the two are untried."""


class LoadConfirmation(_CapacityModel):
    """What measured runs of the least level that passes and of the one below it say."""

    passes: str | None
    """The least level that passes and is not contradicted; None if nothing up to the strongest does."""
    fails: str | None
    """The level below that fails and is not contradicted; None if the weakest passes."""
    state: Literal["confirmed", "moved", "unknown"]
    """Moved: reality contradicted the simulation, and the bracket is that of the runs."""
    why_unknown: str = ""
    """Why nobody can tell; empty otherwise."""


class LoadDemand(_CapacityModel):
    """The search under one load."""

    load: float
    """Factor on the scenario's own load."""
    stations: int
    pages: int
    least_by_arithmetic: float | None
    """Less than this cannot complete every station, in the unit of `vary.unit`; None if arithmetic knows no bound for the key."""
    bracket: CapacityBracket
    """By simulation."""
    confirmation: LoadConfirmation | None = None
    """None if nothing was measured under this load."""
    levels: list[CapacityLevel]
    """Every level that was tried, from the weakest to the strongest."""

    @property
    def found_passes(self) -> str | None:
        """The least that suffices: as measured where that is known, else as simulated."""
        return self.bracket.passes if self.confirmation is None else self.confirmation.passes

    @property
    def found_fails(self) -> str | None:
        """The greatest below that does not."""
        if self.confirmation is None or self.confirmation.state == "unknown":
            return self.bracket.fails
        return self.confirmation.fails

    @property
    def is_beyond_range(self) -> bool:
        """Whether nothing in the range suffices: every level that was tried fails, or runs say so of the strongest."""
        if self.confirmation is not None:
            return self.confirmation.passes is None
        is_complete = self.bracket.is_complete and self.bracket.passes is None
        return is_complete and bool(self.levels) and all(level.decision == "fails" for level in self.levels)


class CapacityCondition(_CapacityModel):
    """All loads, with or without the scenario's faults."""

    name: Literal["bears", "recovers"]
    """Bears: without faults. Recovers: with them."""
    faults: list[str]
    """Names of the faults that act."""
    durations_s: dict[str, float | None] = {}
    """How long each of them acts; None without end."""
    goal: list[str]
    """The thresholds; safety is always among them."""
    left_out: list[str] = []
    """Thresholds that refer to a fault that does not act here."""
    loads: list[LoadDemand]


class VariedResource(_CapacityModel):
    """What is varied."""

    key: str
    unit: str
    weakest: str
    strongest: str
    step: str
    """Width between two levels: a number or a percentage."""


class CapacityFigures(_CapacityModel):
    """The content of capacity.json."""

    format: int = 1
    """Version of the file format: raised by a change that breaks readers, not by a new key."""
    name: str
    title: str
    deadline_s: float
    time_scale: float
    t0_s: float | None = None
    """Time of day of the election at T0, if the scenario has it ([recapitulation])."""
    vary: VariedResource
    probability: float
    confidence: float
    first_seed: int
    conditions: list[CapacityCondition]
    """Bears first; one alone if the scenario has no faults."""
    exit_code: int
    why_unknown: str = ""
    """Why nobody can tell (exit code 3); empty otherwise."""
