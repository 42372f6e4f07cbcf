"""The dashboards against the types that Grafana publishes: the nearest there is to Grafana without Grafana."""

import json
import subprocess
from pathlib import Path

import pytest

DASHBOARDS = sorted((Path(__file__).parents[2] / "deploy" / "grafana").glob("*.json"))
OF_THE_DATA_SOURCE = ("expr", "step", "titleFormat")
"""What an annotation of a Prometheus has, and the published type of annotations in general has not."""

pytestmark = pytest.mark.slow


@pytest.fixture
def types(npm):
    """A folder where Grafana's types and a TypeScript compiler are installed."""
    return npm("grafana-types")


def written_out(board):
    """A program that only compiles if the dashboard and the options of its panels are of Grafana's types."""
    for annotation in board["annotations"]["list"]:
        for key in OF_THE_DATA_SOURCE:
            annotation.pop(key)
    lines = [
        'import type { Board, Custom, Options } from "./dashboard";',
        f"export const b: Board = {json.dumps(board)};",
    ]
    for panel in board["panels"]:
        number, kind = panel["id"], panel["type"]
        if kind != "row":
            lines.append(f'export const o{number}: Options["{kind}"] = {json.dumps(panel["options"])};')
        if custom := panel.get("fieldConfig", {}).get("defaults", {}).get("custom"):
            lines.append(f'export const c{number}: Custom["{kind}"] = {json.dumps(custom)};')
    return "\n".join([*lines, ""])


def compiled(folder, board):
    (folder / "board.ts").write_text(written_out(board), "utf-8")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext"]
    tsc = [folder / "node_modules" / ".bin" / "tsc", *options, "--target", "es2022", "board.ts"]
    return subprocess.run(tsc, cwd=folder, capture_output=True, text=True, check=False, timeout=120).stdout


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_what_grafana_calls_one(types, path):
    assert compiled(types, json.loads(path.read_text("utf-8"))) == ""


def test_a_word_that_grafana_does_not_know_is_found(types):
    board = json.loads(DASHBOARDS[0].read_text("utf-8"))
    panel = next(panel for panel in board["panels"] if panel["type"] == "timeseries")
    panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] = "lines"
    assert "not assignable" in compiled(types, board)
