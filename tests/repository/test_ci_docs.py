"""The action, the snippets for CI, the schema of verdict.json and the grammar of thresholds: as documented, and valid."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from harness.analysis.places import PLACE_DIGITS
from harness.analysis.selection import ROW_LABELS
from harness.judge.results import ThresholdResult, Verdict, Window
from harness.judge.thresholds.condition import AGGREGATIONS, parse_condition
from harness.judge.thresholds.parser import MATCHERS, OPERATORS, WINDOWS
from harness.scenario.scenario import Threshold
from reports.ci import VALIDITY
from tests.support.documents import prose

ROOT = Path(__file__).parents[2]
CI = (ROOT / "docs" / "how-to" / "ci.md").read_text("utf-8")
THRESHOLDS = (ROOT / "docs" / "reference" / "thresholds.md").read_text("utf-8")
GITHUB, NIGHTLY, GITLAB, AZURE = re.findall(r"```yaml\n(.*?)```", CI, re.DOTALL)
(JENKINS,) = re.findall(r"```groovy\n(.*?)```", CI, re.DOTALL)
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
RELEASE = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
ACTION = (ROOT / "action.yml").read_text("utf-8")


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ("vendor.github-actions", ACTION),
        ("vendor.github-workflows", WORKFLOW),
        ("vendor.github-workflows", RELEASE),
        ("vendor.github-workflows", f"on: push\n{GITHUB}"),
        ("vendor.github-workflows", NIGHTLY),
        ("vendor.gitlab-ci", GITLAB),
        ("vendor.azure-pipelines", AZURE),
    ],
    ids=[
        "action.yml",
        "ci.yml",
        "release.yml",
        "the snippet for GitHub",
        "nightly",
        "the snippet for GitLab",
        "the snippet for Azure",
    ],
)
def test_what_ci_systems_read_follows_their_published_schemas(tmp_path, schema, text):
    file = tmp_path / "file.yml"
    file.write_text(text, "utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("text", [ACTION, WORKFLOW, RELEASE], ids=["action.yml", "ci.yml", "release.yml"])
def test_what_we_use_of_others_is_pinned_to_a_commit_and_says_its_version(text):
    used = re.findall(r"uses: (?!\./)(\S+?)@(\S+)(.*)", text)
    assert used
    for name, reference, comment in used:
        if name != "pypa/gh-action-pypi-publish":  # is used by its branch, which its own documentation asks for
            assert re.fullmatch(r"[0-9a-f]{40}", reference), name
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), name


def test_the_snippet_for_jenkins_is_a_declarative_pipeline_with_every_bracket_closed():
    """Jenkins' own linter needs a Jenkins: this holds it to the sections that such a pipeline may have."""
    depth = {"{": 0, "[": 0, "(": 0}
    opened = {"}": "{", "]": "[", ")": "("}
    sections = []
    for number, letter in enumerate(JENKINS):
        if letter in depth:
            if letter == "{" and depth["{"] == 1:
                sections.append(re.findall(r"(\w+)\s*$", JENKINS[:number])[-1])
            depth[letter] += 1
        elif letter in opened:
            depth[opened[letter]] -= 1
            assert depth[opened[letter]] >= 0
    assert depth == {"{": 0, "[": 0, "(": 0}
    assert JENKINS.startswith("pipeline {")
    assert sections == ["stages", "post"]


def test_the_actions_inputs_are_documented_and_no_others():
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    said = dict(re.findall(r"^\| `([a-z]+)` \| (needed|none|`[^`]*`) \|", CI, re.MULTILINE))
    there = {
        name: "needed" if one.get("required") else f"`{one['default']}`" if one["default"] else "none"
        for name, one in action["inputs"].items()
    }
    assert said == there
    for output in action["outputs"]:
        assert f"`{output}`" in CI


def test_this_repositorys_own_ci_is_gated_by_the_smoke_scenario_through_the_action():
    (step,) = (step for step in yaml.safe_load(WORKFLOW)["jobs"]["gate"]["steps"] if step.get("uses") == "./")
    assert step["with"]["scenario"] == "smoke"


SCHEMA: dict[str, Any] = json.loads((ROOT / "docs" / "reference" / "verdict.schema.json").read_text("utf-8"))


def test_the_schema_of_the_verdict_is_that_of_the_code():
    made = Verdict.model_json_schema(mode="serialization")
    assert {**SCHEMA, "title": made["title"]} == {"$schema": SCHEMA["$schema"], **made}, (
        "write Verdict.model_json_schema(mode='serialization') to docs/reference/verdict.schema.json"
    )


def verdict(**more):
    threshold = ThresholdResult(
        assertion="count(attempts) < 1 over 1s", observed=2.0, limit=1.0, unit="", window=Window(from_s=0.0, to_s=1.0), passed=False, reason="1 above",
    )  # fmt: skip
    made = {
        "verdict": "fail",
        "exit_code": 99,
        "ended": "deadline",
        "safety": True,
        "liveness": "unknown",
        "validity": {"valid": True, "reasons": []},
    }
    return Verdict.model_validate({**made, "thresholds": [threshold], **more}).model_dump(mode="json", by_alias=True)


def test_a_verdict_follows_its_schema_and_a_wrong_one_does_not():
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    assert validator.is_valid(verdict())
    assert not validator.is_valid({**verdict(), "verdict": "maybe"})
    assert not validator.is_valid({key: value for key, value in verdict().items() if key != "validity"})


def test_every_key_of_the_verdict_is_documented():
    section = CI[CI.index("## verdict.json") :]
    for key in (
        *Verdict.model_fields,
        "valid",
        "reasons",
        "assert",
        *ThresholdResult.model_fields,
        *Window.model_fields,
    ):
        if key not in {"assertion", "validity", "thresholds"}:
            assert re.search(rf"`(?:\w+(?:\[\])?\.)?{key}`", section), key
    assert VALIDITY in CI


def test_the_grammar_that_is_drawn_is_the_one_that_is_parsed():
    rules = dict(re.findall(r"^(\w+) +=\s(.*) ;$", THRESHOLDS, re.MULTILINE))

    def terminals(rule):
        return set(re.findall(r'"([^"]+)"', rules[rule]))

    assert terminals("operator") == set(OPERATORS)
    assert terminals("matcher") == set(MATCHERS)
    assert terminals("window") == {*WINDOWS, "of", "end"}
    assert terminals("aggregation") == {"p", "p(", ")", *AGGREGATIONS[1:]}


def test_every_example_of_a_threshold_is_one():
    examples = re.findall(r"^(?:    \{ )?assert = (['\"])(.*)\1(?: \},)?$", THRESHOLDS, re.MULTILINE)
    assert len(examples) >= 8
    for _, example in examples:
        parse_condition(example)


def test_every_metric_label_aggregation_window_and_key_of_thresholds_is_documented():
    named = set(re.findall(r"`([^`]+)`", prose(THRESHOLDS)))
    keys = {field.alias or name for name, field in Threshold.model_fields.items()}
    labels = {label for labels in ROW_LABELS.values() for label in labels}
    wanted = {*ROW_LABELS, *labels, *PLACE_DIGITS, *AGGREGATIONS, *keys, "target"}
    assert wanted <= named
    for window in WINDOWS:
        assert any(code.startswith(f"{window} ") for code in named), window
