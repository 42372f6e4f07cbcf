"""The reference pages name every fault, key, policy, endpoint and metric of the mock server, and no others."""

import asyncio
import importlib
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from mock_server.__main__ import _parser
from mock_server.api.openapi import openapi_document
from mock_server.faults.base import Fault
from mock_server.faults.registry import KINDS
from mock_server.http.auth import StationCredentials
from mock_server.profile.server_profile import ServerProfile
from mock_server.profile_file import Profile
from mock_server.server import MockServer

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/reference/mock-server.md").read_text(encoding="utf-8")
FAULTS = (ROOT / "docs/reference/faults.md").read_text(encoding="utf-8")
PROFILE_KEYS = re.findall(
    r"^\| `([a-z_]+)` \| [^|]+ \| (.*?) ?\| [^|]+ \|$",
    (ROOT / "docs/reference/server-keys.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
"""Key and default of each row of the tables."""


def first_cells(title: str) -> list[str]:
    """The words in code of the first column of the tables under a title, down to the next title of its rank or above."""
    rank = len(title) - len(title.lstrip("#"))
    rest = TEXT.split(f"\n{title}\n", 1)[1]
    section = re.split(rf"\n#{{1,{rank}}} ", rest, maxsplit=1)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


def test_every_profile_key_is_documented_and_no_other():
    assert [key for key, _ in PROFILE_KEYS] == list(Profile.model_fields)


def test_the_defaults_in_the_table_are_the_defaults():
    for key, text in PROFILE_KEYS:
        if not text:  # nothing set, or no faults
            assert getattr(Profile(), key) in (None, [], ()), key
            continue
        value = tomllib.loads(f"value = {text.strip('`')}")["value"]
        assert getattr(Profile.model_validate({key: value}), key) == getattr(Profile(), key), key


def test_every_shed_policy_is_documented_and_no_other():
    assert first_cells("### Shedding")[1:] == list(get_args(ServerProfile.model_fields["shed"].annotation))


def test_every_fault_and_its_keys_are_documented_and_no_other():
    sections = {title: rest for title, _, rest in (part.partition("\n") for part in FAULTS.split("\n## ")[1:])}
    documented = {title: re.findall(r"^\| `([a-z_]+)` \|", rest, re.MULTILINE) for title, rest in sections.items()}
    assert documented.pop("All of them") == list(Fault.model_fields)
    assert documented.pop("match") == []  # its keys are match.station and so on
    assert documented.pop("status, weighted") == ["status", "weight"]  # a table within one of abort's keys
    assert documented == {
        get_args(kind.model_fields["kind"].annotation)[0]: [
            key for key in kind.model_fields if key not in Fault.model_fields
        ]
        for kind in KINDS
    }


@pytest.fixture
async def server(tmp_path):
    with_lines = Profile.model_validate({"ingress": "1MB/s", "egress": "1MB/s"})  # their metrics are there only then
    return MockServer(with_lines, StationCredentials(), tmp_path, "token")


async def test_every_metric_is_documented_and_no_other(server):
    families = {
        metric.name + ("_total" if metric.type == "counter" else "") for metric in server.metrics.registry.collect()
    }
    own = {name for name in families if not name.startswith("process_")}
    assert set(first_cells("## Metrics")) == own
    await asyncio.sleep(0)


def test_every_endpoint_of_the_data_port_is_documented_and_no_other():
    documented = set()
    for cell in first_cells("## Endpoints of the data port"):
        methods, _, path = cell.rpartition(" ")
        documented.add((methods or "several", path))
    paths = {path for _, path in documented if path.startswith("/")}
    assert paths == set(openapi_document()["paths"])


async def test_every_endpoint_of_the_admin_port_is_documented_and_no_other(server):
    routes = {
        f"{route.method} {resource.canonical}"
        for resource in server._runners[1].app.router.resources()
        for route in resource
        if route.method != "HEAD"
    }
    assert set(first_cells("## The admin port")) == routes


def test_every_flag_is_documented():
    flags = [option for action in _parser()._actions for option in action.option_strings if option.startswith("--")]
    unnamed = {flag for flag in flags if flag not in TEXT}
    assert unnamed <= {"--port", "--admin-port", "--host", "--admin-host", "--in-supervisor"}


def test_the_guide_to_adding_a_fault_names_every_place_where_one_can_act():
    guide = (ROOT / "docs/how-to/adding-a-fault.md").read_text(encoding="utf-8")
    places = {name for name in vars(Fault) if name.startswith("on_") or name in {"applies", "capacity_factor"}}
    assert {place for place in places if f"`{place}`" not in guide} == set()


def test_the_guides_example_works(tmp_path, monkeypatch):
    guide = (ROOT / "docs/how-to/adding-a-fault.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "klingon.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    kind = importlib.import_module("klingon").Klingon
    assert issubclass(kind, Fault)
    assert kind.model_validate({"kind": "klingon", "words": 2}).name == "klingon"


def test_each_fault_is_a_module_of_its_own_of_at_most_90_lines():
    for kind in KINDS:
        name = get_args(kind.model_fields["kind"].annotation)[0]
        path = ROOT / "mock_server" / "faults" / f"{name}.py"
        assert kind.__module__ == f"mock_server.faults.{name}"
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 90, name


def test_the_tests_that_the_promises_are_held_by_are_there():
    promised = set(
        re.findall(r"`(test_\w+)`", (ROOT / "docs/explanation/mock-server-tests.md").read_text(encoding="utf-8"))
    )
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert promised - there == set()
    assert len(promised) > 100
