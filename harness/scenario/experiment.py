"""Experiment files: one base scenario, named variants of it, and seeds, resolved into a fixed matrix of cells.

All cells are validated before the first one runs. The same seed gives the same stations, arrivals and photos in every variant,
and the mock draws the same service times (common random numbers), so that variants are compared seed by seed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from harness.base.errors import ConfigurationError
from harness.base.safe_files import LIST_AS_TUPLE, parse_toml, resolve_inside, validate_content
from harness.scenario.loader import PlannedDueReader, load_scenario, read_source, shipped_scenarios, shipped_titles
from harness.scenario.scenario import Scenario
from mock_server.profile.units import Duration, FrozenModel
from mock_server.profile.validation_messages import describe_item

EXPERIMENT_FOLDER = resources.files("harness") / "experiments"


class Variant(FrozenModel):
    """One column of the matrix: changes to the base scenario."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    """Name in the comparison."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted key -> value, as with --set. Empty: the unchanged base."""

    @property
    def slug(self) -> str:
        """The name as a part of a folder's name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "variant"


class Experiment(FrozenModel):
    """A matrix of runs and one comparison."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    """Name of its folder."""
    title: str = ""
    """One line for readers."""
    base: str
    """Name of a shipped scenario, or a file beside this one."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], LIST_AS_TUPLE, Field(min_length=1)] = (
        1, 2, 3,
    )  # fmt: skip
    """Every variant runs once with each seed."""
    at: Annotated[tuple[Duration, ...], LIST_AS_TUPLE] = ()
    """Times at which completion is reported, besides the deadline."""
    variants: Annotated[tuple[Variant, ...], LIST_AS_TUPLE, Field(min_length=1)]
    """The others are compared with the first one."""

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        # slugs, not names: two variants must not share a run folder
        slugs = [variant.slug for variant in self.variants]
        for what, values in (("seeds", list(map(str, self.seeds))), ("variants", slugs)):
            duplicates = {value for value in values if values.count(value) > 1}
            if duplicates:
                message = f"{what}: duplicate {min(duplicates)}"
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


def shipped_experiments() -> dict[str, str]:
    """Name -> title of every experiment shipped with the package."""
    return shipped_titles(EXPERIMENT_FOLDER)


def load_experiment(
    source: str, planned_due: PlannedDueReader | None = None, seeds: int | None = None
) -> tuple[Experiment, list[Cell]]:  # fmt: skip
    """The experiment of a shipped name or a file's path, and its cells: all variants of the first seed, then of the next.

    `seeds` is how many there are, if not as many as in the file: its first ones, or all of them and the numbers above.
    `planned_due` reads the due times of an earlier run, if the base replays one.

    Raises ConfigurationError with all problems of the file and of every variant, UsageError if there is no such experiment.
    """
    label, text, folder = read_source(source, EXPERIMENT_FOLDER, "experiment")
    experiment = validate_content(label, parse_toml(label, text), Experiment)
    if seeds is not None:
        more = range(max(experiment.seeds) + 1, max(experiment.seeds) + 1 + seeds)
        experiment = experiment.model_copy(update={"seeds": (*experiment.seeds, *more)[:seeds]})
    base = resolve_base(experiment.base, label, folder)
    cells: list[Cell] = []
    problems: list[str] = []
    for variant in experiment.variants:
        overrides = [f"{key}={to_toml(value)}" for key, value in variant.set.items()]
        try:
            cells += [
                Cell(variant, seed, load_scenario(base, overrides, seed, planned_due, trusted_overrides=False))
                for seed in experiment.seeds
            ]
        except ConfigurationError as error:
            problems += [f'variant "{variant.name}": {problem}' for problem in error.problems]
    problems += _find_late_moments(experiment, cells)
    if problems:
        raise ConfigurationError(label, problems)
    # seed by seed: after an interruption all variants have about the same number of runs, and the photos of a seed are made once
    position = {seed: number for number, seed in enumerate(experiment.seeds)}
    return experiment, sorted(cells, key=lambda cell: position[cell.seed])


def _find_late_moments(experiment: Experiment, cells: list[Cell]) -> list[str]:
    """One line for each moment of `at` that comes after the deadline of a variant: its column would repeat the end."""
    return [
        f'{describe_item("at", number)} = "{moment:g}s" is after the deadline of "{name}", "{deadline:g}s": remove it'
        for number, moment in enumerate(experiment.at)
        for name, deadline in {cell.variant.name: cell.scenario.deadline for cell in cells}.items()
        if moment > deadline
    ]


def resolve_base(name: str, label: str, folder: Path | None) -> str:
    """The base as `load_scenario` takes it. Raises ConfigurationError for a file outside the experiment's folder."""
    if not name.endswith(".toml"):
        if name in shipped_scenarios():
            return name
        raise ConfigurationError(label, [f'base = "{name}" is neither a shipped scenario nor a .toml file'])
    if folder is None:
        raise ConfigurationError(label, [f'base = "{name}": a shipped experiment has a shipped base'])
    try:
        return str(resolve_inside(folder, name))
    except ValueError as error:
        raise ConfigurationError(label, [f'base = "{name}" {error}']) from None


def to_toml(value: Any) -> str:
    """A value in TOML syntax, as `--set` takes it."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case dict():
            return "{" + ", ".join(f'"{key}" = {to_toml(inner)}' for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(to_toml, value)) + "]"
        case _:
            return repr(value)
