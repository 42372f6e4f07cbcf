"""The server for agents, asked by the official SDK's client."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from harness.base.errors import UsageError
from harness.judge.verdict import judge_run
from harness.mcp.server import make_server
from harness.mcp.tools import RunQuestions
from tests.support.small_run import small_run

PNG = b"\x89PNG\r\n\x1a\n made up"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with one judged run, and beside it a file that is nobody's business."""
    folder = small_run(tmp_path / "runs" / "a-run")
    judge_run(folder, [])
    folder.report.mkdir(exist_ok=True)
    (folder.report / "throughput.png").write_bytes(PNG)
    (tmp_path / "secret.csv").write_text("a\n1\n", "utf-8")
    small_run(tmp_path / "elsewhere")
    return tmp_path / "runs"


async def ask(runs: Path, tool: str, **arguments: Any) -> Any:
    async with Client(make_server(runs)) as client:
        return await client.call_tool(tool, arguments)


async def answer(runs: Path, tool: str, **arguments: Any) -> Any:
    found = await ask(runs, tool, **arguments)
    assert not found.is_error, found.content
    content = found.structured_content
    return content["result"] if set(content) == {"result"} else content


async def refusal(runs: Path, tool: str, **arguments: Any) -> str:
    found = await ask(runs, tool, **arguments)
    assert found.is_error
    return str(found.content[0].text)


async def test_every_tool_says_what_it_does_and_that_it_only_reads(runs: Path) -> None:
    async with Client(make_server(runs)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    changing = [name for name, tool in tools.items() if not tool.annotations or not tool.annotations.read_only_hint]
    assert changing == ["simulate_scenario"]
    assert all(tool.description for tool in tools.values())
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "agents.md").read_text("utf-8")
    assert [name for name in tools if f"| `{name}` |" not in page] == []


async def test_runs_are_listed_with_their_figures(runs: Path) -> None:
    (found,) = await answer(runs, "list_runs")
    assert (found["run"], found["verdict"], found["attempts.amplification"]) == ("a-run", "fail", 1.25)
    assert await answer(runs, "list_runs", verdict="pass") == []


async def test_a_run_is_summarised_and_its_parts_are_given_in_full(runs: Path) -> None:
    summary = await answer(runs, "summarise_run", run="a-run")
    assert summary["verdict"] == "fail"
    assert any(figure["name"] for figure in summary["figures"])
    part = await answer(runs, "summarise_run", run="a-run", section="pages")
    assert part["pages"]["delivered"] == 3
    assert "did you mean" in await refusal(runs, "summarise_run", run="a-run", section="pagse")


async def test_a_verdict_is_explained_with_what_is_unsafe(runs: Path) -> None:
    found = await answer(runs, "explain_verdict", run="a-run")
    assert (found["verdict"], found["safety"], found["unsafe_pages"]) == ("fail", False, {"lost": 1})
    assert found["try_first"]["change"] == "Repair what the server stores"


async def test_rows_are_queried_within_a_limit(runs: Path) -> None:
    tables = await answer(runs, "describe_tables", run="a-run")
    assert tables["pages"]["rows"] == 4
    assert tables["pages"]["columns"]["delivery_s"] == "DOUBLE"
    found = await answer(runs, "query_rows", run="a-run", sql="SELECT page, status FROM pages", limit=2)
    assert found == {"columns": ["page", "status"], "rows": [[1, "lost"], [2, "ok"]], "more": True}
    everything = await answer(runs, "query_rows", run="a-run", sql="SELECT page, status FROM pages", limit=4)
    assert (len(everything["rows"]), everything["more"]) == (4, False)


async def test_a_long_cell_is_cut(runs: Path) -> None:
    found = await answer(runs, "query_rows", run="a-run", sql="SELECT repeat('x', 10000)")
    assert found["rows"][0][0] == "x" * 500 + "…"


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT * FROM read_csv('{secret}')", "file system operations are disabled"),
        ("DROP TABLE pages", "not one SELECT statement"),
        ("SELECT 1/0::INT, nothing FROM pages", "can't be carried out"),
        ("SELECT CAST(status AS INT) FROM pages", "can't be carried out"),
    ],
)
async def test_a_query_can_only_read_the_run(runs: Path, sql: str, why: str) -> None:
    assert why in await refusal(runs, "query_rows", run="a-run", sql=sql.format(secret=runs.parent / "secret.csv"))


def test_a_query_that_takes_too_long_is_ended(runs: Path) -> None:
    with pytest.raises(UsageError, match=r"can't be carried out: .*[Ii]nterrupt"):
        RunQuestions(runs, query_timeout_s=0.2).query_rows(
            "a-run", "SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 3"
        )


@pytest.mark.parametrize("run", ["../elsewhere", "/etc", "", "another"])
async def test_no_run_outside_the_folder_can_be_read(runs: Path, run: str) -> None:
    assert "Error executing tool summarise_run" in await refusal(runs, "summarise_run", run=run)


async def test_a_run_that_was_never_judged_is_left_as_it_is(runs: Path) -> None:
    folder = small_run(runs / "raw")
    assert "never judged" in await refusal(runs, "summarise_run", run="raw")
    assert not folder.verdict.exists()


async def test_a_chart_is_an_image(runs: Path) -> None:
    found = await ask(runs, "chart", run="a-run", name="throughput")
    assert (found.content[0].type, found.content[0].mime_type) == ("image", "image/png")
    assert base64.b64decode(found.content[0].data) == PNG
    assert "did you mean" in await refusal(runs, "chart", run="a-run", name="throughpt")


@pytest.mark.heavy
async def test_a_simulation_becomes_a_run_of_its_own(runs: Path) -> None:
    changes = {"stations.count": 2, "photos.size": "4KB", "photos.bank": 1, "seed": 3}
    found = await answer(runs, "simulate_scenario", scenario="smoke", changes=changes)
    assert found["simulated"]
    assert (runs / found["run"] / "verdict.json").exists()
    assert [run["run"] for run in await answer(runs, "list_runs", scenario="smoke")] == [found["run"]]


@pytest.mark.parametrize(
    ("scenario", "changes", "why"),
    [
        ("smoke", {"server.worker": 1}, "not a known key"),
        ("smoke", {"stations.count": 21}, "63 pages, more than 60"),
        ("../secret.toml", {}, "outside the folder"),
        ("/etc/passwd", {}, "outside the folder"),
    ],
)
async def test_a_simulation_that_cannot_be_is_refused(
    runs: Path, scenario: str, changes: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.mcp.tools.MAX_SIMULATED_PAGES", 60)
    assert why in await refusal(runs, "simulate_scenario", scenario=scenario, changes=changes)
    assert len(await answer(runs, "list_runs")) == 1
