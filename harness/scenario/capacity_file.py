"""Capacity files: what `harness capacity` is to search, with the same keys as its options, to be kept beside the scenario."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from harness.base.errors import ConfigurationError
from harness.base.safe_files import LIST_AS_TUPLE, parse_toml, read_text, validate_content
from harness.scenario.experiment import resolve_base, to_toml
from mock_server.profile.units import Duration, FrozenModel, Probability

_OWN_KEYS = {"base", "vary"}
"""Keys by which a capacity file is known: a scenario has none of them."""


class CapacityFile(FrozenModel):
    """One capacity search. An option on the command line takes precedence over the file's key of the same name."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    """Name of its folder below runs/capacity."""
    base: str
    """Name of a shipped scenario, or a file beside this one."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted key -> value, as with --set: changes to the scenario."""
    seed: Annotated[int | None, Field(ge=0)] = None
    """First seed, instead of the scenario's."""
    vary: Annotated[str | None, Field(pattern=r"^[\w.-]+ *= *[^.=]+.*\.\.")] = None
    """The key to vary, and its range from the weakest to the strongest: "server.workers=1..64"."""
    width: str | None = None
    """Step between two levels: "1", or "5%"."""
    load: Annotated[tuple[Annotated[str, Field(pattern=r"^ *[\d.]+ *x *$")], ...], LIST_AS_TUPLE, Field(min_length=1)] = (
        "1x",
    )  # fmt: skip
    """Loads, as factors on the scenario's stations."""
    map: Annotated[tuple[str, ...], LIST_AS_TUPLE] = ()
    """Instead of `vary`: the keys of a map, as with --map; each may have its values behind it."""
    goal: Annotated[tuple[str, ...], LIST_AS_TUPLE] = ()
    """Assertions that must hold, instead of the scenario's thresholds."""
    probability: Probability = 0.95
    """In how many runs the goal must be met: 50% to 99.9%."""
    confidence: Probability = 0.95
    """How certain that must be: 50% to 99.9%."""
    budget: Annotated[Duration | None, Field(gt=0)] = None
    """Stop after this time with what is known."""
    simulate_only: bool = False
    """Leave out the measured runs at the end."""

    @model_validator(mode="after")
    def _asks_one_question(self) -> Self:
        if (self.vary is None) == (not self.map):
            message = "needs either vary or map"
            raise ValueError(message)
        return self


@dataclass(frozen=True, slots=True)
class LoadedCapacityFile:
    """A capacity file, and its scenario as `load_scenario` takes it."""

    options: CapacityFile
    base: str
    overrides: tuple[str, ...]


def load_capacity_file(source: str) -> LoadedCapacityFile | None:
    """The capacity file at a path; None if that is not one, but a scenario's file or name.

    Raises ConfigurationError with all problems of the file.
    """
    path = Path(source)
    if path.suffix != ".toml" or not path.is_file():
        return None
    text = read_text(path)
    try:
        if not _OWN_KEYS & tomllib.loads(text).keys():
            return None
    except tomllib.TOMLDecodeError:
        pass  # named by parse_toml
    content = parse_toml(source, text)
    if "variants" in content:
        raise ConfigurationError(source, ["is an experiment: give it to harness experiment"])
    options = validate_content(source, content, CapacityFile)
    base = resolve_base(options.base, source, path.parent)
    return LoadedCapacityFile(options, base, tuple(f"{key}={to_toml(value)}" for key, value in options.set.items()))
