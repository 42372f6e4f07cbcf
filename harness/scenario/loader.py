"""Loading scenario files: shipped or the user's own, with `--set` overrides. All problems of a file are reported at once."""

from __future__ import annotations

import re
import ssl
import tomllib
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from harness.base.errors import ConfigurationError, RunFolderError, UsageError
from harness.base.safe_files import load_toml, parse_toml, read_text, resolve_inside, validate_content
from harness.run_folder.layout import PLAN_FILE
from harness.scenario.arrivals import ReplayArrivals
from harness.scenario.client import BUILT_IN_PROTOCOLS
from harness.scenario.clock_times import ClockTimeError, resolve_clock_times
from harness.scenario.own_client import (
    class_name_of,
    explain_unknown,
    installed_names,
    module_file,
    parse_resolved_name,
)
from harness.scenario.scenario import Scenario, Threshold, parse_resolved
from harness.scenario.stations import REGIONS
from mock_server.profile.units import FrozenModel
from mock_server.profile.validation_messages import key_path, suggestion

SCENARIO_FOLDER = resources.files("harness") / "scenarios"
TEMPLATE_FILE = "template.toml.txt"
TARGET_TEMPLATE_FILE = "target.toml.txt"
_SET_OPTION = "--set"
_DISCRIMINATORS = {"strategy", "kind", "distribution"}
_DOES_NOT_BELONG = {"extra_forbidden", "literal_error", "none_required"}
"""Errors of a key that a strategy does not have, or of which it allows one value only."""


def shipped_scenarios() -> dict[str, str]:
    """Name -> title of every scenario shipped with the package."""
    return shipped_titles(SCENARIO_FOLDER)


PlannedDueReader = Callable[[Path], dict[str, float]]
"""Run folder -> station code -> due time in seconds. Raises RunFolderError if the folder has no plan."""


def load_scenario(
    source: str,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    planned_due: PlannedDueReader | None = None,
    *,
    trusted_overrides: bool = True,
) -> Scenario:
    """The scenario of a shipped name or a file's path, with `--set` overrides ("client.retry.strategy=none").

    `planned_due` reads the due times of an earlier run if the scenario replays one (an argument, because this package may not
    read Parquet). Paths in the file must stay within its folder; those in overrides may lead anywhere if `trusted_overrides`,
    that is if the user typed them.

    Raises ConfigurationError with all problems of the file, or UsageError if there is no such scenario.
    """
    label, text, folder = read_source(source, SCENARIO_FOLDER, "scenario")
    content = parse_toml(label, text)
    overridden = _Overridden()
    for override in overrides:
        _apply_override(content, override, overridden)
    if seed is not None:
        content["seed"] = seed
    _drop_replaced_keys(content, overridden)
    trusted_keys = {override.partition("=")[0].strip() for override in overrides} if trusted_overrides else set()
    place = _ScenarioFolder(folder, label, frozenset(trusted_keys))
    try:
        content = resolve_clock_times(content)
    except ClockTimeError as error:
        raise ConfigurationError(label, [str(error)]) from None
    return _resolve_replay(_validate_scenario(label, content, place), planned_due, place)


def override_resolved(content: dict[str, Any], overrides: Sequence[str]) -> Scenario:
    """The scenario of a run (as `Scenario.resolved` gave it) with `--set` overrides; `content` stays as it is.

    Raises ConfigurationError or ValidationError for what can't be overridden so.
    """
    changed = deepcopy(content)
    overridden = _Overridden()
    for override in overrides:
        _apply_override(changed, override, overridden)
    _drop_replaced_keys(changed, overridden)
    return parse_resolved(changed)


def scenario_template(name: str, *, for_target: bool = False) -> str:
    """The text of a commented scenario with that name, to start from; `for_target`: for a server of the user's own.

    Raises UsageError for an invalid name.
    """
    pattern = Scenario.model_fields["name"].metadata[0].pattern
    if not re.match(pattern, name):
        message = f'"{name}" is not a valid name: use lowercase letters, digits, "-" and "_", beginning with a letter or digit'
        raise UsageError(message)
    return (
        (SCENARIO_FOLDER / (TARGET_TEMPLATE_FILE if for_target else TEMPLATE_FILE))
        .read_text("utf-8")
        .replace("@NAME@", name)
    )


class ThresholdsFile(FrozenModel):
    """Other thresholds for a finished run."""

    thresholds: Annotated[tuple[Threshold, ...], Field(strict=False)]
    """Conditions that the run must meet."""


def load_thresholds(path: Path) -> list[str]:
    """The assertions of a thresholds file (`[[thresholds]]`, each with `assert`).

    Raises ConfigurationError with all problems of the file.
    """
    return [threshold.assertion for threshold in load_toml(path, ThresholdsFile).thresholds]


def shipped_titles(folder: Traversable) -> dict[str, str]:
    """Name -> title of every TOML file in a folder of the package, sorted by name."""
    texts = {name: (folder / f"{name}.toml").read_text("utf-8") for name in _shipped_names(folder)}
    return {name: str(tomllib.loads(text).get("title", "")) for name, text in texts.items()}


def _shipped_names(folder: Traversable) -> list[str]:
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_source(source: str, shipped: Traversable, kind: str) -> tuple[str, str, Path | None]:
    """Label for messages, text, and folder (None for a shipped one) of a scenario or experiment (`kind`).

    `source` is the name of a file in the package's folder `shipped`, or a path; a shipped name takes precedence. Raises
    UsageError if there is neither.
    """
    names = _shipped_names(shipped)
    if source in names:
        return f"{source} (shipped)", (shipped / f"{source}.toml").read_text("utf-8"), None
    path = Path(source)
    if path.is_dir():
        message = (
            f'"{source}" is a directory, not {"an" if kind[0] in "aeiou" else "a"} {kind}: give a path to a .toml file'
        )
        raise UsageError(message)
    if not path.is_file():
        near = suggestion(source, names) or f"; shipped are {', '.join(names)}, or give a path to a .toml file"
        message = f'there is no {"file" if path.suffix == ".toml" else kind} "{source}"{near}'
        raise UsageError(message)
    return source, read_text(path), path.parent


@dataclass(frozen=True)
class _ScenarioFolder:
    """Resolves the paths in a scenario."""

    path: Path | None
    """Folder of the scenario's file; None for a shipped one, whose paths are relative to the working directory."""
    label: str
    trusted_keys: frozenset[str]
    """Keys that the user has set on the command line: their paths may lead anywhere."""

    def resolve(self, key: str, name: str) -> Path:
        """The absolute path that a key names. Raises ConfigurationError if the file may not lead there."""
        folder = self.path or Path.cwd()
        if any(key == trusted or key.startswith(f"{trusted}.") for trusted in self.trusted_keys):
            return (folder / name).resolve()
        try:
            return resolve_inside(folder, name)
        except ValueError as error:
            raise ConfigurationError(self.label, [f'{key} = "{name}" {error}']) from None


def _validate_scenario(label: str, content: dict[str, Any], folder: _ScenarioFolder) -> Scenario:
    scenario = _resolve_authority(label, validate_content(label, content, Scenario), folder)
    scenario = _resolve_own_client(label, scenario, folder)
    if scenario.photos.folder is not None:
        scenario = _resolve_photos(label, scenario, scenario.photos.folder, folder)
    region = scenario.stations.region
    if scenario.stations.file is not None or scenario.stations.accounts is not None:
        scenario = _resolve_station_files(label, scenario, folder)
    if region in REGIONS:
        return scenario
    if not region.endswith(".csv"):
        near = suggestion(region, REGIONS) or f"; shipped are {', '.join(REGIONS)}, or name a .csv file"
        raise ConfigurationError(label, [f'stations.region = "{region}" is not a region{near}'])
    file = folder.resolve("stations.region", region)
    if not file.is_file():
        raise ConfigurationError(label, [f'stations.region = "{region}": file not found: {file}'])
    stations = scenario.stations.model_copy(update={"region": str(file)})
    return scenario.model_copy(update={"stations": stations})


def _resolve_photos(label: str, scenario: Scenario, name: str, folder: _ScenarioFolder) -> Scenario:
    """The scenario with the absolute path of the user's own photos."""
    path = folder.resolve("photos.folder", name)
    if not path.is_dir():
        raise ConfigurationError(label, [f'photos.folder = "{name}": not a folder: {path}'])
    return scenario.model_copy(update={"photos": scenario.photos.model_copy(update={"folder": str(path)})})


def _resolve_station_files(label: str, scenario: Scenario, folder: _ScenarioFolder) -> Scenario:
    """The scenario with the absolute paths of its own station list and accounts, which exist."""
    found: dict[str, str] = {}
    for key in ("file", "accounts"):
        name = getattr(scenario.stations, key)
        if name is None:
            continue
        path = folder.resolve(f"stations.{key}", name)
        if not path.is_file():
            raise ConfigurationError(label, [f'stations.{key} = "{name}": file not found: {path}'])
        found[key] = str(path)
    return scenario.model_copy(update={"stations": scenario.stations.model_copy(update=found)})


def _resolve_authority(label: str, scenario: Scenario, folder: _ScenarioFolder) -> Scenario:
    """The scenario with the absolute path of the certificates that it trusts, which have been loaded once."""
    tls = scenario.client.tls
    if tls.authority is None:
        return scenario
    file = folder.resolve("client.tls.authority", tls.authority)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError as error:  # ssl.SSLError is one: the file exists but contains no certificate
        problem = (
            f'client.tls.authority = "{tls.authority}": {file} should contain certificates (PEM): {error.strerror}'
        )
        raise ConfigurationError(label, [problem]) from None
    client = scenario.client.model_copy(update={"tls": tls.model_copy(update={"authority": str(file)})})
    return scenario.model_copy(update={"client": client})


def _resolve_own_client(label: str, scenario: Scenario, folder: _ScenarioFolder) -> Scenario:
    """The scenario with the absolute path of its own client, whose file exists. Nothing of it is run here."""
    name, key = scenario.client.own, "client.protocol"
    if not name:
        return scenario
    module = module_file(name)
    if not module:
        # A path is what only a loaded scenario has: a file's own would lead anywhere.
        if parse_resolved_name(name) is None and name in installed_names():
            return scenario
        raise ConfigurationError(label, [f'{key} = "{name}" {explain_unknown(name, BUILT_IN_PROTOCOLS)}'])
    file = folder.resolve(key, module)
    if not file.is_file():
        raise ConfigurationError(label, [f'{key} = "{name}": file not found: {file}'])
    client = scenario.client.model_copy(update={"protocol": f"{file}:{class_name_of(name)}"})
    return scenario.model_copy(update={"client": client})


def _resolve_replay(scenario: Scenario, planned_due: PlannedDueReader | None, folder: _ScenarioFolder) -> Scenario:
    """The scenario with the due times of the run that it replays, so that it does not depend on that run any more."""
    arrivals = scenario.arrivals
    if not isinstance(arrivals, ReplayArrivals) or arrivals.due is not None or planned_due is None:
        return scenario
    try:
        folder.resolve("arrivals.run", f"{arrivals.run}/{PLAN_FILE}")  # the plan itself could be a link
        due = planned_due(folder.resolve("arrivals.run", arrivals.run))
    except RunFolderError as error:
        raise ConfigurationError(
            folder.label, [f'arrivals.run = "{arrivals.run}" cannot be replayed: {error}']
        ) from None
    return scenario.model_copy(update={"arrivals": arrivals.model_copy(update={"due": due})})


@dataclass
class _Overridden:
    """What the overrides have changed: tables that are of another kind now, and keys that were set explicitly."""

    tables: list[dict[str, Any]] = field(default_factory=list)
    keys: set[tuple[int, str]] = field(default_factory=set)
    """(id of the table, key)."""


def _drop_replaced_keys(content: dict[str, Any], overridden: _Overridden) -> None:
    """Remove the file's keys that belong to a strategy (kind, distribution) which an override has replaced.

    So that `--set client.retry.strategy=none` works with a file that sets the base and cap of a backoff. A key that an
    override sets itself stays, and is an error if it does not belong there.
    """
    if not overridden.tables:
        return
    try:
        Scenario.model_validate(content)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            *path, last = key_path(detail["loc"], content)
            table: Any = content
            for part in path:
                table = table[part]
            is_replaced = any(table is other for other in overridden.tables)
            if detail["type"] in _DOES_NOT_BELONG and is_replaced and (id(table), last) not in overridden.keys:
                del table[last]


def _apply_override(content: dict[str, Any], override: str, overridden: _Overridden) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError(_SET_OPTION, [f'"{override}" should be KEY=VALUE, as in client.retry.strategy=none'])
    *path, last = key.strip().split(".")
    table: Any = content
    for part in path:
        table = _enter(table, part, override)
    if isinstance(table, list):
        index = _list_index(table, last, override)
        table[index] = _parse_value(text)
    else:
        value = _parse_value(text)
        if last in _DISCRIMINATORS and table.get(last, value) != value:
            overridden.tables.append(table)
        overridden.keys.add((id(table), last))
        table[last] = value


def _enter(table: Any, part: str, override: str) -> Any:
    """The table or list named `part` within `table`, created if missing."""
    if isinstance(table, list):
        return table[_list_index(table, part, override)]
    inner = table.setdefault(part, {})
    if not isinstance(inner, dict | list):
        raise ConfigurationError(_SET_OPTION, [f'"{override}": {part} is {inner!r}, not a table'])
    return inner


def _list_index(items: Sequence[Any], part: str, override: str) -> int:
    """Index of an item, given by its name (`faults.brownout.start`) or its number."""
    names = [
        str(item.get("name", number)) if isinstance(item, dict) else str(number) for number, item in enumerate(items)
    ]
    numbers = [str(number) for number in range(len(items))]
    if part in names:
        return names.index(part)
    if part in numbers:
        return int(part)
    raise ConfigurationError(
        _SET_OPTION, [f'"{override}": "{part}" is not in the list: {", ".join(names) or "it is empty"}']
    )


def _parse_value(text: str) -> Any:
    """A TOML value if the text is one, else the text itself: quotes need not be escaped for the shell."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
