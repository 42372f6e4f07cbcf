"""The Grafana dashboards as files. What their expressions are worth is asked of a real Prometheus in tests/integration."""

import json
from itertools import combinations
from pathlib import Path

import pytest

from harness.base.model import OUTCOMES
from reports import palette

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))


def board(path):
    return json.loads(path.read_text("utf-8"))


def test_there_are_three_and_each_is_documented():
    said = (ROOT / "docs" / "how-to" / "prometheus.md").read_text("utf-8")
    assert [path.name for path in DASHBOARDS] == ["generator.json", "run.json", "server.json"]
    assert all(f"`{path.name}`" in said for path in DASHBOARDS)
    assert len({board(path)["uid"] for path in DASHBOARDS}) == 3


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_no_panel_lies_upon_another_or_beyond_the_edge(path):
    places = [panel["gridPos"] for panel in board(path)["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = [
            one[low] + one[size] <= other[low] or other[low] + other[size] <= one[low]
            for low, size in (("x", "w"), ("y", "h"))
        ]
        assert any(apart), (one, other)
    assert len({panel["id"] for panel in board(path)["panels"]}) == len(places)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_says_what_it_shows_of_one_run_from_the_chosen_prometheus(path):
    for panel in board(path)["panels"]:
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            for target in panel["targets"]:
                assert target["datasource"]["uid"] == "${datasource}"
                assert target["expr"].count('run="$run"') == target["expr"].count("{"), target["expr"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_an_outcome_has_its_colour_of_the_report(path):
    outcomes = {str(outcome) for outcome in OUTCOMES}
    for panel in board(path)["panels"]:
        if any(target["legendFormat"] in {"{{outcome}}", "{{reason}}"} for target in panel.get("targets", ())):
            overrides = panel["fieldConfig"]["overrides"]
            colours = {one["matcher"]["options"]: one["properties"][0]["value"]["fixedColor"] for one in overrides}
            if panel["title"] != "Refused for overload":  # by reasons of the server's, no outcomes
                assert colours == {outcome: palette.outcome_colour(outcome) for outcome in outcomes}


def test_every_rule_is_documented():
    said = (ROOT / "docs" / "how-to" / "prometheus.md").read_text("utf-8")
    for line in (ROOT / "deploy" / "rules" / "harness.yml").read_text("utf-8").splitlines():
        key, _, name = line.strip().removeprefix("- ").partition(": ")
        if key in {"alert", "record"}:
            assert f"`{name}`" in said
