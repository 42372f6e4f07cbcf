"""Every block of code in the documents is what it says: it parses, and a command in it exists as it is written."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from docs._generate.cli_page import parser
from harness.judge.thresholds.condition import parse_condition
from harness.judge.thresholds.parser import InvalidAssertionError
from harness.scenario.capacity_file import CapacityFile
from harness.scenario.experiment import Experiment
from harness.scenario.scenario import Scenario
from mock_server.__main__ import _parser
from mock_server.profile.server_profile import ServerProfile
from mock_server.profile_file import Profile
from tests.support.documents import DOCUMENTS, ROOT, Block, blocks, prose

LANGUAGES = {"sh", "toml", "json", "yaml", "python", "text", "ebnf", "groovy"}
FOREIGN = {
    "apt-get", "cp", "curl", "docker", "duckdb", "export", "git", "kubectl", "mkdir", "moto_server", "mutmut", "nginx", "node", "npm", "pip", "printf", "prometheus",
    "promtool", "source", "ssh",
}  # fmt: skip
"""Programs of others: listed here, so that a mistyped command of the project isn't taken for one of them."""
OURS = re.compile(r"^(?:docs|deploy|experiments|harness|tests|mock_server|reports)/[\w./-]+$")
NEEDED = {"name": "fragment", "deadline": "60s", "arrivals": {"kind": "poisson", "over": "10s"}}
REDIRECTED = re.compile(r"\s*(?:[0-9]?>.*|&)$")


def named(block: Block) -> str:
    return str(block)


def test_every_block_says_its_language() -> None:
    assert {str(block): block.language for block in blocks() if block.language not in LANGUAGES} == {}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_block_is_only_indented(path: Path) -> None:
    lines = [line for line in prose(path.read_text("utf-8")).splitlines() if line.strip()]
    in_list, indented = False, []
    for line in lines:
        in_list = bool(re.match(r"\s*(?:[-*]|\d+\.) ", line)) or (in_list and line.startswith(" "))
        if line.startswith("    ") and not in_list:
            indented.append(line)
    assert indented == [], "write it between ``` and ```, with its language"


@pytest.mark.parametrize("block", blocks("toml"), ids=named)
def test_every_toml_is_a_scenario_an_experiment_or_a_profile_or_a_part_of_one(block: Block) -> None:
    content = tomllib.loads(block.text)
    if "variants" in content:
        Experiment.model_validate(content)
    elif "base" in content:
        CapacityFile.model_validate(content)
    elif content.keys() & ServerProfile.model_fields.keys():
        Profile.model_validate(content)
    else:
        Scenario.model_validate(NEEDED | content)
        for threshold in content.get("thresholds", []):
            parse_condition(threshold["assert"])


@pytest.mark.parametrize("block", blocks("json"), ids=named)
def test_every_json_parses(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("yaml"), ids=named)
def test_every_yaml_parses(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.text), dict)


@pytest.mark.parametrize("block", blocks("python"), ids=named)
def test_every_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", blocks("sh"), ids=named)
def test_every_command_exists_as_it_is_written(block: Block) -> None:
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        words = shlex.split(REDIRECTED.sub("", line), comments=True)
        while words and re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", words[0]):
            words.pop(0)
        if words:
            check(words)


def check(words: list[str]) -> None:
    """Fail unless the project's command has these options and arguments, or the command is a known one of others."""
    program = words[0].removeprefix(".venv/bin/")
    if program in {"harness", "pytest", "locust", "python", "make"}:
        missing = [word for word in words[1:] if OURS.match(word) and not (ROOT / word).exists()]
        assert missing == []
    if program == "harness":
        parsed(words[1:])
    elif program == "python" and words[1].startswith("docs/targets/"):
        assert OURS.match(words[1])  # a script that is there: checked above
    elif program == "python":
        assert words[1] == "-m"
        check_module(words[2], words[3:])
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets)
    else:
        assert program in FOREIGN | {"locust", "pytest"}, f"{program} is neither ours nor in FOREIGN"


def parsed(words: list[str]) -> Any:
    """The command line as the real parser takes it, without carrying it out."""
    group = parser()
    name = words[0]
    assert name in group.commands or name == "--help", name
    if "--help" in words:
        return None
    command = group.commands[name]
    return command.make_context(name, words[1:])


def check_module(module: str, words: list[str]) -> None:
    path = ROOT / module.replace(".", "/")
    assert path.is_dir() or path.with_suffix(".py").is_file(), module
    if module == "mock_server" and "--help" not in words:
        _parser().parse_args(words)


def inline() -> list[tuple[Path, str]]:
    """Every command of the project that stands in backticks within the prose."""
    return [
        (path, code)
        for path in DOCUMENTS
        for code in re.findall(r"`(harness [a-z][^`]*)`", prose(path.read_text("utf-8")))
    ]


def test_every_command_in_the_prose_exists_with_its_options() -> None:
    commands = parser().commands
    seen = inline()
    assert len(seen) > 20
    for path, code in seen:
        name, *words = code.split()[1:]
        where = f"{path.relative_to(ROOT)}: {code}"
        if name == "COMMAND":
            continue
        assert name in commands, where
        known = {option for one in commands[name].params for option in one.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help", "--"} <= known, where


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["harness", "rum", "kaliwates"], AssertionError),
        (["harness", "run", "kaliwates", "--sett", "a=1"], Exception),
        (["harness", "run"], Exception),
        (["make", "tests"], AssertionError),
        (["python", "-m", "mock_server", "--prot", "1"], SystemExit),
        (["locust", "-f", "harness/drive/locust.py"], AssertionError),
        (["harnes", "run"], AssertionError),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistyped_command_would_be_found(words: list[str], error: type[BaseException]) -> None:
    with pytest.raises(error):
        check(words)


def test_a_mistyped_threshold_would_be_found() -> None:
    with pytest.raises(InvalidAssertionError, match="did you mean"):
        parse_condition("p95(delivery_second) < 10s")
