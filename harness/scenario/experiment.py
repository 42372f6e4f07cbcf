"""An experiment file -> a frozen matrix of cells: one base scenario, named variants of it, seeds.

Every cell is validated before the first one runs. The same seed plans the same stations, arrivals and photos, and draws the
same service times, in every variant (common random numbers), so that variants are compared seed by seed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.base.errors import ConfigurationError
from harness.base.safe_files import resolve_inside
from harness.base.toml import load_toml
from harness.scenario.loader import PlannedDueReader, load_scenario, shipped_scenarios
from harness.scenario.scenario import Scenario
from mock_server.profile.units import Duration, FrozenModel


def _list_as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


class Variant(FrozenModel):
    """One column of the matrix: what is changed in the base scenario."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    """What the comparison calls it."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted key -> value, as with --set. Empty: the base as it is."""

    @property
    def slug(self) -> str:
        """The name as part of a folder's name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "variant"


class Experiment(FrozenModel):
    """A matrix of runs and one comparison."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    """What its folder is called."""
    title: str = ""
    """A line for people."""
    base: str
    """A shipped scenario's name, or a file beside this one."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_list_as_tuple), Field(min_length=1)] = (
        1,
        2,
        3,
    )
    """Every variant runs once with each."""
    at: Annotated[tuple[Duration, ...], BeforeValidator(_list_as_tuple)] = ()
    """Moments at which completion is reported, beside the deadline."""
    variants: Annotated[tuple[Variant, ...], BeforeValidator(_list_as_tuple), Field(min_length=1)]
    """The first one is what the others are compared with."""

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        slugs = [variant.slug for variant in self.variants]
        for what, values in (("seeds", list(map(str, self.seeds))), ("variants", slugs)):
            twice = {value for value in values if values.count(value) > 1}
            if twice:
                message = f"{what}: {min(twice)} stands twice"
                raise ValueError(message)
        return self


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the matrix."""

    variant: Variant
    seed: int
    scenario: Scenario

    @property
    def name(self) -> str:
        """Name of its run folder."""
        return f"{self.variant.slug}-{self.seed}"


def load_experiment(path: Path, planned_due: PlannedDueReader | None = None) -> tuple[Experiment, list[Cell]]:
    """The experiment in a TOML file and its cells: all variants of the first seed, then of the next.

    `planned_due` reads an earlier run's due times, where the base replays one.

    Raises ConfigurationError with every problem of the file and of every variant.
    """
    experiment = load_toml(path, Experiment)
    base = _resolve_base(experiment.base, path)
    cells: list[Cell] = []
    problems: list[str] = []
    for variant in experiment.variants:
        overrides = [f"{key}={_to_toml(value)}" for key, value in variant.set.items()]
        try:
            cells += [
                Cell(variant, seed, load_scenario(base, overrides, seed, planned_due, own_words=False))
                for seed in experiment.seeds
            ]
        except ConfigurationError as error:
            problems += [f'variant "{variant.name}": {problem}' for problem in error.problems]
    if problems:
        raise ConfigurationError(str(path), problems)
    order = {seed: number for number, seed in enumerate(experiment.seeds)}
    return experiment, sorted(cells, key=lambda cell: order[cell.seed])


def _resolve_base(name: str, path: Path) -> str:
    """The base as `load_scenario` takes it. Raises ConfigurationError for a file outside the experiment's folder."""
    if not name.endswith(".toml"):
        if name in shipped_scenarios():
            return name
        raise ConfigurationError(str(path), [f'base = "{name}" is neither a shipped scenario nor a .toml file'])
    try:
        return str(resolve_inside(path.parent, name))
    except ValueError as error:
        raise ConfigurationError(str(path), [f'base = "{name}" {error}']) from None


def _to_toml(value: Any) -> str:
    """A value as TOML writes it (what `--set` reads)."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case dict():
            return "{" + ", ".join(f'"{key}" = {_to_toml(inner)}' for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_to_toml, value)) + "]"
        case _:
            return repr(value)
