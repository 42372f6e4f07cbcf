"""The JSON Schemas accept what the harness accepts: every file that ships, every example of the docs; and refuse what is mistyped."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import ValidationError

from harness.base.errors import UsageError
from harness.scenario.json_schema import FILES, schema_of
from harness.scenario.loader import scenario_template
from harness.scenario.scenario import Scenario
from mock_server.profile.server_profile import ServerProfile
from tests.support.documents import ROOT, Block, blocks

TOML_FILES = [
    *sorted((ROOT / "harness").rglob("*.toml")),
    *sorted((ROOT / "docs").rglob("*.toml")),
    *sorted((ROOT / "benchmarks").rglob("*.toml")),
]
NEEDED = {"name": "fragment", "deadline": "60s", "arrivals": {"kind": "poisson", "over": "10s"}}


@cache
def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(kind))


def kind_of(content: dict[str, Any]) -> str:
    if "variants" in content:
        return "experiment"
    if "base" in content:
        return "capacity"
    return "profile" if content.keys() & ServerProfile.model_fields.keys() else "scenario"


def problems(kind: str, content: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in validator(kind).iter_errors(content)]


@pytest.mark.parametrize("kind", FILES)
def test_every_schema_is_one_of_its_dialect(kind: str) -> None:
    Draft202012Validator.check_schema(schema_of(kind))


@pytest.mark.parametrize("path", TOML_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_ships_is_valid(path: Path) -> None:
    content = tomllib.loads(path.read_text("utf-8"))
    assert problems(kind_of(content), content) == []


def test_what_init_writes_is_valid() -> None:
    assert problems("scenario", tomllib.loads(scenario_template("mine"))) == []


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_every_example_of_the_docs_is_valid(block: Block) -> None:
    content = tomllib.loads(block.text)
    kind = kind_of(content)
    assert problems(kind, NEEDED | content if kind == "scenario" else content) == []


def test_another_implementation_of_json_schema_agrees(tmp_path: Path) -> None:
    """Taplo is the language server behind most editors' TOML."""
    (tmp_path / "scenario.schema.json").write_text(json.dumps(schema_of("scenario")), "utf-8")
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(f"#:schema ./scenario.schema.json\n{scenario_template('mine')}", "utf-8")
    bad.write_text(good.read_text("utf-8").replace('deadline = "30s"', "deadline = 30"), "utf-8")
    assert taplo(good).returncode == 0, taplo(good).stderr
    refused = taplo(bad)
    assert refused.returncode != 0
    assert "error: 30 is not " in refused.stderr


def taplo(path: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("taplo")), "check", "--no-auto-config", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in the content but tables and lists."""
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from leaves(value, (*path, key))
    else:
        yield path


def changed(content: Any, path: tuple[Any, ...], value: object) -> Any:
    found = deepcopy(content)
    place = found
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return found


FULL = tomllib.loads((ROOT / "harness" / "scenarios" / "kaliwates-incident.toml").read_text("utf-8"))
WRONG = [5, -1, 0.5, True, "5", "5s", "3 MB", "8Mbit/s", "95%", "x", []]


@pytest.mark.parametrize("path", list(leaves(FULL)), ids=lambda path: ".".join(map(str, path)))
def test_the_schema_accepts_whatever_the_harness_accepts(path: tuple[Any, ...]) -> None:
    for value in WRONG:
        content = changed(FULL, path, value)
        try:
            Scenario.model_validate(content)
        except ValidationError:
            continue
        assert problems("scenario", content) == [], value


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("deadline",), 60, "$.deadline"),
        (("deadline",), "60", "$.deadline"),
        (("deadline",), "60 seconds", "$.deadline"),
        (("photos", "size"), "2 Mb", "$.photos.size"),
        (("client", "link"), {"upload": "8"}, "$.client.link"),
        (("client", "retry"), {"strategy": "full_jiter"}, "$.client.retry"),
        (("client", "retry"), {}, "$.client.retry"),
        (("client", "retry"), {"strategy": "none", "base": "1s"}, "$.client.retry"),
        (("server", "workers"), 0, "$.server.workers"),
        (("server", "service_time"), {"mean": "1s"}, "$.server.service_time"),
        (("server", "worker"), 3, "$.server"),
        (("thresholds",), [{"asert": "p95(delivery_seconds) < 10s"}], "$.thresholds[0]"),
        (("faults",), [{"kind": "abort", "probability": "200 percent"}], "$.faults[0]"),
    ],
)
def test_a_mistyped_value_is_found_at_its_place(path: tuple[str, ...], value: object, where: str) -> None:
    scenario = {**NEEDED, "photos": {}, "client": {}, "server": {}}
    assert problems("scenario", scenario) == []
    found = problems("scenario", changed(scenario, path, value))
    assert found
    assert all(problem.startswith(where) for problem in found)


@pytest.mark.parametrize(
    "faults", [[{"kind": "abort", "status": 503}], [{"kind": "abort", "status": [{"status": 500, "weight": 2}]}]]
)
def test_a_status_may_be_one_or_a_weighted_list(faults: list[dict[str, Any]]) -> None:
    assert problems("profile", {"faults": faults}) == []


def test_statuses_may_be_numbers_and_classes() -> None:
    target = {"path": "/photos", "statuses": {"accepted": [201, "200"], "rejected": ["4xx"]}}
    assert problems("scenario", NEEDED | {"target": target}) == []


def test_defaults_are_written_as_in_a_file() -> None:
    keys = schema_of("scenario")["properties"]
    server = schema_of("scenario")["$defs"]["ServerProfile"]["properties"]
    assert keys["warm_up"]["default"] == "0s"
    assert server["max_body"]["default"] == "20000000B"
    assert server["workers"]["default"] == 8


@pytest.mark.parametrize("kind", FILES)
def test_every_key_says_what_it_does(kind: str) -> None:
    schema = schema_of(kind)
    tables = {"": schema, **schema["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, table in tables.items()
        if not re.match(r"StatusMeanings|(Fixed|Uniform|Exponential|Lognormal)-", name)
        for key, value in table.get("properties", {}).items()
        if not value.keys() & {"description", "const"}
        and value.get("$ref") != "#/$defs/AuditOptions"  # has the table's own words
    ]
    assert silent == []


def test_an_unknown_kind_is_named_with_what_there_is() -> None:
    with pytest.raises(UsageError, match="one of scenario, experiment, capacity, profile, thresholds; did you mean"):
        schema_of("profil")
