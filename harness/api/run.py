"""A finished run, opened: its record, figures, verdict, rows and scrapes."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from harness.analysis.run_tables import RunTables
from harness.analysis.summarise import load_summary
from harness.analysis.time_series import read_series
from harness.api.html import run_html
from harness.base.errors import UsageError
from harness.base.safe_files import find_symlinks
from harness.judge.audit import load_audit
from harness.judge.verdict import judge_run, load_verdict
from harness.run_folder import scrape_log
from harness.run_folder.layout import RunFolder
from harness.runner.checked_scenario import own_assertions
from mock_server.profile.validation_messages import suggestion
from reports.terminal import display_path

if TYPE_CHECKING:
    from harness.analysis.summary import Summary
    from harness.judge.results import Audit, Verdict
    from harness.run_folder.layout import RunRecord

RUNS = Path("runs")


def open_run(path: str | os.PathLike[str]) -> FinishedRun:
    """The run in a folder, or of that name below runs/.

    A run that was never judged (because its leader was killed) is analysed and judged first. Raises RunFolderError if the folder
    is not that of a run, or a file in it can't be read.
    """
    given = Path(path)
    folder = RunFolder(given if given.exists() or len(given.parts) > 1 else RUNS / given)
    links = find_symlinks(folder.path)
    if links:
        message = f"{links[0]} is a symbolic link: a run folder must not have any"
        raise UsageError(message)
    folder.read_run()
    if not folder.verdict.exists():
        judge_run(folder, own_assertions(folder))
    return FinishedRun(folder)


class FinishedRun:
    """One run, as its folder has it. Tables are DuckDB relations: `.df()` is pandas, `.pl()` Polars, `.arrow()` PyArrow."""

    def __init__(self, folder: RunFolder) -> None:
        """`folder` must have been judged: use `open_run`."""
        self._folder = folder

    @property
    def folder(self) -> RunFolder:
        """The run folder with the names of its files."""
        return self._folder

    @property
    def path(self) -> Path:
        """The run folder."""
        return self._folder.path

    @cached_property
    def record(self) -> RunRecord:
        """run.json: what was run, where, by which versions, and how it ended."""
        return self._folder.read_run()

    @cached_property
    def summary(self) -> Summary:
        """summary.json: every figure of the run."""
        return load_summary(self._folder)

    @cached_property
    def verdict(self) -> Verdict:
        """verdict.json: pass, fail or invalid, with every threshold."""
        return load_verdict(self._folder)

    @cached_property
    def audit(self) -> Audit | None:
        """audit.json: what became of every page; None if the run was not audited."""
        return load_audit(self._folder)

    @cached_property
    def tables(self) -> RunTables:
        """The tables in a DuckDB session of their own."""
        return RunTables(self._folder)

    @property
    def attempts(self) -> duckdb.DuckDBPyRelation:
        """One row per attempt. Times are seconds since T0."""
        return self.tables.table("attempts")

    @property
    def pages(self) -> duckdb.DuckDBPyRelation:
        """One row per planned page, with what became of it."""
        return self.tables.table("pages")

    @property
    def stations(self) -> duckdb.DuckDBPyRelation:
        """One row per station, with when its last page was acknowledged."""
        return self.tables.table("stations")

    @property
    def plan(self) -> duckdb.DuckDBPyRelation:
        """One row per planned page, as planned."""
        return self.tables.table("plan")

    @property
    def stored(self) -> duckdb.DuckDBPyRelation:
        """One row per copy that the server has stored. Raises UsageError if its store was not read."""
        return self.tables.table("stored")

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """The result of a SELECT over the tables attempts, pages, stations, plan, stored and reads."""
        return self.tables.query(query)

    def series(self, name: str, target: str | None = None) -> duckdb.DuckDBPyRelation:
        """A scraped metric over time: target, t_s, labels, value; `target` is "server", "worker-0", …, or all if left out.

        Raises UsageError for a metric that no scrape has.
        """
        targets = scrape_log.list_targets(self._folder.scrapes)
        chosen = [one for one in targets if target is None or one == target]
        rows = [row for one in chosen for row in self._samples(one, name)]
        if not rows:
            where = "any scrape of this run" if target is None else f"the scrapes of {target}"
            names = [known for known in self.metrics() if known != name]
            message = (
                f'"{name}" is not in {where}{suggestion(name, names)}; its targets: {", ".join(targets) or "none"}'
            )
            raise UsageError(message)
        of, t_s, labels, values = zip(*rows, strict=True)
        columns = {
            "target": np.array(of, dtype=object), "t_s": np.array(t_s), "labels": np.array(labels, dtype=object), "value": np.array(values),
        }  # fmt: skip
        return self.tables.keep(columns)

    def metrics(self) -> list[str]:
        """Names of all metrics that were scraped, sorted."""
        found: set[str] = set()
        for target in scrape_log.list_targets(self._folder.scrapes):
            last = ""
            for scrape in scrape_log.read_scrapes(self._folder.scrapes, target):
                last = scrape.text or last
            found |= {line.partition(" ")[0].partition("{")[0] for line in last.splitlines() if line and line[0] != "#"}
        return sorted(found)

    def report(self) -> Path:
        """Draw the charts and the page of the run; the path of the page."""
        from harness.runner.finish import judge_and_report  # noqa: PLC0415 - Matplotlib takes half a second to import

        judge_and_report(self._folder, own_assertions(self._folder))
        return self._folder.page

    def _samples(self, target: str, name: str) -> list[tuple[str, float, str, float]]:
        series = read_series(self._folder.scrapes, target, (name,))
        found = []
        for labels, values in series.columns.get(name, {}).items():
            text = ",".join(f'{key}="{value}"' for key, value in sorted(labels))
            found += [(target, float(t), text, float(v)) for t, v in zip(series.t_s, values, strict=True) if v == v]  # noqa: PLR0124 - NaN is a scrape that failed
        return found

    def __repr__(self) -> str:
        """Scenario, verdict and folder."""
        simulated = " (simulated)" if self.record.simulated else ""
        return f"<FinishedRun {self.record.name}: {self.verdict.verdict.upper()}{simulated}, {display_path(self.path)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: verdict, thresholds and key figures."""
        return run_html(self.summary, self.verdict)
