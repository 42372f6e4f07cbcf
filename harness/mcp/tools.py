"""What an agent may ask of a folder of runs: plain functions, each a tool of the server. None of them sends load.

Everything is bounded: an agent reads with a budget, and a question of its own must not take the machine's memory.
"""

from __future__ import annotations

import secrets
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from harness.analysis.run_tables import TABLES, RunTables
from harness.api.play import as_overrides, simulate
from harness.api.run import FinishedRun, open_run
from harness.base.errors import UsageError
from harness.base.safe_files import resolve_inside
from harness.judge.past_runs import RunFilter, find_runs
from harness.judge.remedy import first_remedy
from harness.runner.simulated_run import make_simulated_plan
from harness.scenario.loader import load_scenario, shipped_scenarios
from mock_server.profile.validation_messages import suggestion
from reports.key_figures import describe_margin, describe_verdict, list_key_figures

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ROWS = 1000
MAX_CELL_CHARACTERS = 500
MAX_SIMULATED_PAGES = 200_000
"""A simulation of that many pages takes about half a minute."""
QUERY_TIMEOUT_S = 20.0

RunName = Annotated[str, Field(description="Name of a run, as list_runs gives it.")]


class RunQuestions:
    """The questions that can be asked about the runs in one folder."""

    def __init__(self, runs: Path, query_timeout_s: float = QUERY_TIMEOUT_S) -> None:
        """`runs` is the folder; nothing outside it is read, but for scenarios in the working directory."""
        self._runs = runs
        self._query_timeout_s = query_timeout_s

    def list_runs(
        self,
        scenario: Annotated[str | None, Field(description="Only runs of this scenario.")] = None,
        verdict: Annotated[
            Literal["pass", "fail", "invalid"] | None, Field(description="Only runs with this verdict.")
        ] = None,
        limit: Annotated[int, Field(ge=1, le=200, description="The latest so many.")] = 20,
    ) -> list[dict[str, Any]]:
        """List runs, newest first, with verdict, labels and key figures (times in seconds)."""
        found = find_runs(self._runs, RunFilter(scenario, verdict))[-limit:]
        return [
            {
                "run": run.name, "scenario": run.record.name, "verdict": run.verdict or None, "started": run.started or None,
                "simulated": run.record.simulated, "labels": run.record.labels, **run.figures,
            }
            for run in reversed(found)
        ]  # fmt: skip

    def summarise_run(
        self,
        run: RunName,
        section: Annotated[
            str | None, Field(description="A part of summary.json, such as attempts or delivery_seconds, in full.")
        ] = None,
    ) -> dict[str, Any]:
        """Summarise a run: its verdict in a sentence, thresholds and key figures. With `section`, that part of summary.json."""
        opened = self._open(run)
        parts = opened.summary.model_dump(mode="json")
        if section is not None:
            if section not in parts:
                message = f'"{section}" is not a part of summary.json{suggestion(section, list(parts))}; parts: {", ".join(parts)}'
                raise UsageError(message)
            return {section: parts[section]}
        return {
            "run": run,
            "scenario": opened.record.name,
            "verdict": opened.verdict.verdict,
            "simulated": opened.record.simulated,
            "meaning": describe_verdict(opened.verdict),
            "thresholds": [
                {
                    "assert": one.assertion,
                    "observed": one.observed,
                    "limit": one.limit,
                    "passed": one.passed,
                    "margin": describe_margin(one),
                }
                for one in opened.verdict.thresholds
            ],
            "figures": [
                {"name": one.name, "value": one.value, "note": one.note} for one in list_key_figures(opened.summary)
            ],
            "sections": list(parts),
        }

    def explain_verdict(self, run: RunName) -> dict[str, Any]:
        """Explain a verdict: why an INVALID run can't be trusted and what to change, what a FAIL breached or lost and what to try first."""
        opened = self._open(run)
        verdict, audit = opened.verdict, opened.audit
        remedy = first_remedy(opened.record, opened.summary, verdict)
        return {
            "verdict": verdict.verdict,
            "exit_code": verdict.exit_code,
            "meaning": describe_verdict(verdict),
            "invalid_because": verdict.validity.reasons,
            "breached": [
                f"{one.assertion}: {one.reason}" for one in verdict.thresholds if one.judged and not one.passed
            ],
            "safety": verdict.safety,
            "liveness": verdict.liveness,
            "doubts": [] if audit is None else audit.doubts,
            "unsafe_pages": {} if audit is None else {name: len(pages) for name, pages in audit.pages.items() if pages},
            "try_first": None
            if remedy is None
            else {"change": remedy.title, "because": remedy.evidence, "set": list(remedy.settings)},
        }

    def describe_tables(self, run: RunName) -> dict[str, Any]:
        """Describe the tables that query_rows can read: what their rows are, their columns with types, how many rows."""
        with self._tables(run) as tables:
            found = {}
            for name in tables.names:
                table = tables.table(name)
                columns = dict(zip(table.columns, map(str, table.types), strict=True))
                found[name] = {"rows_are": TABLES[name], "columns": columns, "rows": len(table)}
            return found

    def query_rows(
        self,
        run: RunName,
        sql: Annotated[
            str, Field(description="One SELECT in DuckDB's SQL over the tables of describe_tables.", max_length=10_000)
        ],
        limit: Annotated[int, Field(ge=1, le=MAX_ROWS, description="Rows to return at most.")] = 100,
    ) -> dict[str, Any]:
        """Query the rows of a run with one SELECT. Times are seconds since the run's start. Nothing else can be read, nothing changed."""
        with self._tables(run) as tables:
            timer = threading.Timer(self._query_timeout_s, tables.interrupt)
            timer.start()
            try:
                columns, rows = tables.fetch(sql, limit + 1)
            finally:
                timer.cancel()
        return {
            "columns": columns,
            "rows": [[_bounded(cell) for cell in row] for row in rows[:limit]],
            "more": len(rows) > limit,
        }

    def chart(
        self, run: RunName, name: Annotated[str, Field(description="Name of a chart, such as throughput.")]
    ) -> bytes:
        """Show a chart of a run's report as PNG."""
        folder = self._folder(run) / "report"
        charts = sorted(path.stem for path in folder.glob("*.png"))
        if name not in charts:
            message = f'{run} has no chart "{name}"{suggestion(name, charts)}; it has {", ".join(charts) or "none: harness report draws them"}'
            raise UsageError(message)
        return (folder / f"{name}.png").read_bytes()

    def list_scenarios(self) -> dict[str, str]:
        """List the built-in scenarios that simulate_scenario can play, with what each shows."""
        return shipped_scenarios()

    def simulate_scenario(
        self,
        scenario: Annotated[
            str, Field(description="Name of a built-in scenario, or a .toml file in the working directory.")
        ],
        changes: Annotated[
            dict[str, Any], Field(description='Keys to override, as {"server.workers": 4, "seed": 7}.')
        ] = {},  # noqa: B006 - never changed
    ) -> dict[str, Any]:
        """Play a scenario in virtual time (nothing is sent) into a new run folder, and summarise it."""
        source = scenario if scenario in shipped_scenarios() else str(_inside(Path.cwd(), scenario))
        pages = make_simulated_plan(load_scenario(source, as_overrides(changes))).pages
        if pages > MAX_SIMULATED_PAGES:
            message = f"{scenario} has {pages:,} pages, more than {MAX_SIMULATED_PAGES:,}: use harness simulate, or fewer stations"
            raise UsageError(message)
        out = self._runs / _new_name(source)
        run = simulate(source, out=out, **changes)
        return self.summarise_run(run.path.name)

    def _open(self, run: str) -> FinishedRun:
        folder = self._folder(run)
        if not (folder / "verdict.json").exists():
            message = f"{run} was never judged: harness report {folder} analyses and judges it"
            raise UsageError(message)
        return open_run(folder)

    def _folder(self, run: str) -> Path:
        folder = _inside(self._runs, run)
        if not (folder / "run.json").is_file():
            names = [one.name for one in find_runs(self._runs)]
            message = f'there is no run "{run}"{suggestion(run, names)}: list_runs lists them'
            raise UsageError(message)
        return folder

    @contextmanager
    def _tables(self, run: str) -> Iterator[RunTables]:
        tables = RunTables(self._open(run).folder, sandboxed=True)
        try:
            yield tables
        finally:
            tables.close()


def _inside(folder: Path, name: str) -> Path:
    try:
        return resolve_inside(folder, name)
    except ValueError:
        message = f'"{name}" is outside the folder {folder}'
        raise UsageError(message) from None


def _new_name(source: str) -> str:
    return f"{Path(source).stem}-simulated-{secrets.token_hex(3)}"


def _bounded(cell: object) -> object:
    """A cell as JSON takes it, and not longer than an agent can use."""
    if cell is None or isinstance(cell, bool | int | float):
        return cell
    text = str(cell)
    return text if len(text) <= MAX_CELL_CHARACTERS else f"{text[:MAX_CELL_CHARACTERS]}…"
