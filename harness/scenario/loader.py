"""Scenario files: the shipped ones, the user's, `--set` overrides, and every problem of a file at once."""

from __future__ import annotations

import re
import ssl
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from harness.base.errors import ConfigurationError, RunFolderError, UsageError
from harness.base.safe_files import resolve_inside
from harness.base.toml import load_toml, parse_toml, read_text, validate_content
from harness.run_folder.layout import PLAN_FILE
from harness.scenario.arrivals import ReplayArrivals
from harness.scenario.scenario import REGIONS, Scenario, Threshold
from mock_server.profile.units import FrozenModel
from mock_server.profile.validation_messages import key_path, suggestion

SCENARIO_FOLDER = resources.files("harness") / "scenarios"
TEMPLATE_FILE = "template.toml.txt"
_SET_OPTION = "--set"
_DISCRIMINATORS = {"strategy", "kind", "distribution"}


def shipped_scenarios() -> dict[str, str]:
    """Name -> title of every scenario that comes with the package."""
    found = {}
    for entry in sorted(SCENARIO_FOLDER.iterdir(), key=lambda path: path.name):
        if entry.name.endswith(".toml"):
            found[entry.name.removesuffix(".toml")] = str(tomllib.loads(entry.read_text("utf-8")).get("title", ""))
    return found


PlannedDueReader = Callable[[Path], dict[str, float]]
"""Run folder -> station code -> due time, seconds; raises BrokenRunError where there is no plan to read."""


def load_scenario(
    source: str,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    planned_due: PlannedDueReader | None = None,
    *,
    own_words: bool = True,
) -> Scenario:
    """The scenario of a shipped name or a file's path, with `--set` overrides ("client.retry.strategy=none").

    `planned_due` reads an earlier run's due times, where the scenario replays one. Paths in the file keep to its folder;
    those in overrides go anywhere if they are the user's `own_words` (and not from another file). Raises ConfigurationError with every
    problem of the file, or UsageError where there is no such scenario.
    """
    label, text, folder = _read_source(source)
    content = parse_toml(label, text)
    switched = _Overridden()
    for override in overrides:
        _apply_override(content, override, switched)
    if seed is not None:
        content["seed"] = seed
    _drop_replaced_keys(content, switched)
    words = {override.partition("=")[0].strip() for override in overrides} if own_words else set()
    place = _ScenarioFolder(folder, label, frozenset(words))
    return _resolve_replay(_validate_scenario(label, content, place), planned_due, place)


def scenario_template(name: str) -> str:
    """The text of a commented scenario of that name.

    Raises UsageError for a name that can't be one.
    """
    pattern = Scenario.model_fields["name"].metadata[0].pattern
    if not re.match(pattern, name):
        message = f'"{name}" can\'t be a name: small letters, digits, "-" and "_", beginning with a letter or digit'
        raise UsageError(message)
    return (SCENARIO_FOLDER / TEMPLATE_FILE).read_text("utf-8").replace("@NAME@", name)


class _ThresholdsFile(FrozenModel):
    thresholds: Annotated[tuple[Threshold, ...], Field(strict=False)]


def load_thresholds(path: Path) -> list[str]:
    """The assertions of a thresholds file (`[[thresholds]]`, each with `assert`).

    Raises ConfigurationError with every problem of the file.
    """
    return [threshold.assertion for threshold in load_toml(path, _ThresholdsFile).thresholds]


def _read_source(source: str) -> tuple[str, str, Path | None]:
    names = shipped_scenarios()
    if source in names:
        return f"{source} (shipped)", (SCENARIO_FOLDER / f"{source}.toml").read_text("utf-8"), None
    path = Path(source)
    if not path.is_file():
        near = suggestion(source, names) or f"; shipped are {', '.join(names)}, or give a path to a .toml file"
        what = "file" if path.suffix == ".toml" else "scenario"
        message = f'there is no {what} "{source}"{near}'
        raise UsageError(message)
    return source, read_text(path), path.parent


@dataclass(frozen=True)
class _ScenarioFolder:
    """Where a path of a scenario is looked for."""

    path: Path | None
    """Of the scenario's file; None for a shipped one: where the command is given."""
    label: str
    words: frozenset[str]
    """Keys that the user has set: a path there may lead anywhere."""

    def place(self, key: str, name: str) -> Path:
        """The place that a key names. Raises ConfigurationError where the file may not name it."""
        folder = self.path or Path.cwd()
        if any(key == word or key.startswith(f"{word}.") for word in self.words):
            return (folder / name).resolve()
        try:
            return resolve_inside(folder, name)
        except ValueError as error:
            raise ConfigurationError(self.label, [f'{key} = "{name}" {error}']) from None


def _validate_scenario(label: str, content: dict[str, Any], folder: _ScenarioFolder) -> Scenario:
    scenario = _resolve_authority(label, validate_content(label, content, Scenario), folder)
    region = scenario.stations.region
    if region in REGIONS:
        return scenario
    if not region.endswith(".csv"):
        near = suggestion(region, REGIONS) or f"; shipped are {', '.join(REGIONS)}, or name a .csv file"
        raise ConfigurationError(label, [f'stations.region = "{region}" is not a region{near}'])
    file = folder.place("stations.region", region)
    if not file.is_file():
        raise ConfigurationError(label, [f'stations.region = "{region}": there is no file {file}'])
    stations = scenario.stations.model_copy(update={"region": str(file)})
    return scenario.model_copy(update={"stations": stations})


def _resolve_authority(label: str, scenario: Scenario, folder: _ScenarioFolder) -> Scenario:
    """The scenario with the whole path of the certificates that it trusts, once they are seen to be there."""
    tls = scenario.client.tls
    if tls.authority is None:
        return scenario
    file = folder.place("client.tls.authority", tls.authority)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError as error:  # an ssl.SSLError too: there is a file, and no certificate in it
        problem = f'client.tls.authority = "{tls.authority}": {file} should hold certificates (PEM): {error.strerror}'
        raise ConfigurationError(label, [problem]) from None
    client = scenario.client.model_copy(update={"tls": tls.model_copy(update={"authority": str(file)})})
    return scenario.model_copy(update={"client": client})


def _resolve_replay(scenario: Scenario, planned_due: PlannedDueReader | None, folder: _ScenarioFolder) -> Scenario:
    """The scenario with an earlier run's due times in it, so that it needs that run no more."""
    arrivals = scenario.arrivals
    if not isinstance(arrivals, ReplayArrivals) or arrivals.due is not None or planned_due is None:
        return scenario
    try:
        folder.place("arrivals.run", f"{arrivals.run}/{PLAN_FILE}")  # nor may the plan be a link that leads out
        due = planned_due(folder.place("arrivals.run", arrivals.run))
    except RunFolderError as error:
        raise ConfigurationError(
            folder.label, [f'arrivals.run = "{arrivals.run}" can\'t be replayed: {error}']
        ) from None
    return scenario.model_copy(update={"arrivals": arrivals.model_copy(update={"due": due})})


@dataclass
class _Overridden:
    """What the overrides have changed: tables whose kind is another now, and keys that were set by hand."""

    tables: list[dict[str, Any]] = field(default_factory=list)
    keys: set[tuple[int, str]] = field(default_factory=set)
    """(id of the table, key)."""


def _drop_replaced_keys(content: dict[str, Any], switched: _Overridden) -> None:
    """Drop what a file says for the strategy (kind, distribution) that an override has replaced by another.

    So that `--set client.retry.strategy=none` works on a file that gives the base and the cap of a backoff. A key that an
    override sets itself stays, and is an error where it doesn't fit.
    """
    if not switched.tables:
        return
    try:
        Scenario.model_validate(content)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            *path, last = key_path(detail["loc"], content)
            place: Any = content
            for part in path:
                place = place[part]
            is_switched = any(place is table for table in switched.tables)
            if detail["type"] == "extra_forbidden" and is_switched and (id(place), last) not in switched.keys:
                del place[last]


def _apply_override(content: dict[str, Any], override: str, switched: _Overridden) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError(_SET_OPTION, [f'"{override}" should be KEY=VALUE, as in client.retry.strategy=none'])
    *path, last = key.strip().split(".")
    place: Any = content
    for part in path:
        place = _enter(place, part, override)
    if isinstance(place, list):
        index = _list_index(place, last, override)
        place[index] = _parse_value(text)
    else:
        value = _parse_value(text)
        if last in _DISCRIMINATORS and place.get(last, value) != value:
            switched.tables.append(place)
        switched.keys.add((id(place), last))
        place[last] = value


def _enter(place: Any, part: str, override: str) -> Any:
    if isinstance(place, list):
        return place[_list_index(place, part, override)]
    inner = place.setdefault(part, {})
    if not isinstance(inner, dict | list):
        raise ConfigurationError(_SET_OPTION, [f'"{override}": {part} is {inner!r}, not a table'])
    return inner


def _list_index(place: Sequence[Any], part: str, override: str) -> int:
    names = [
        str(item.get("name", number)) if isinstance(item, dict) else str(number) for number, item in enumerate(place)
    ]
    numbers = [str(number) for number in range(len(place))]
    if part in names:
        return names.index(part)
    if part in numbers:
        return int(part)
    raise ConfigurationError(_SET_OPTION, [f'"{override}": "{part}" is none of {", ".join(names) or "an empty list"}'])


def _parse_value(text: str) -> Any:
    """A TOML value where it is one, else plain text (so that quotes needn't be quoted for the shell)."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
