"""Fits a simulation to measured runs: reads their folders, writes the scenario, and holds it against runs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.analysis.rows import load_rows
from harness.base.errors import RunFolderError, UsageError
from harness.base.toml_text import toml_text
from harness.run_folder.attempt_timings import read_attempt_timings
from harness.run_folder.layout import RunFolder, RunRecord
from harness.scenario.scenario import MOCK_TABLES, Scenario, parse_resolved
from harness.simulate.fitting.cost_table import FittedCosts, fit_costs
from harness.simulate.fitting.costs import MeasuredRun
from harness.simulate.fitting.server_model import ServerFit, fit_server

_REGION_SUFFIX = "-region.csv"


@dataclass(frozen=True)
class Fit:
    """What was fitted: the costs of the mock server, or a whole model of another one."""

    scenario: Scenario
    """The first run's, with the fitted tables."""
    costs: FittedCosts | None
    server: ServerFit | None
    region: Path | None
    """A region file of the user's that the scenario needs."""

    @property
    def basis(self) -> list[str]:
        """What the fitted tables rest on, one sentence each: the comment at the head of the file."""
        if self.server is None:
            return []
        fitted = self.server.simulate.fitted
        assert fitted is not None  # noqa: S101 - fit_server always sets it
        return [
            f"Shown to hold up to {fitted.attempts_per_s:g} attempts/s and {fitted.in_server} uploads in the server at once.",
            *(f"{warning[0].upper()}{warning[1:]}." for warning in self.server.warnings),
        ]


def fit_runs(folders: Sequence[RunFolder], *, as_external: bool = False, distributions: bool = False) -> Fit:
    """Fit to runs that were all made against the mock server, or all against the same external target.

    `as_external` fits a whole model of the mock server, too, from what any client could measure. Raises UsageError for runs
    that don't belong together, are simulated, or don't show enough.
    """
    records = [folder.read_run() for folder in folders]
    _check_alike(folders, records)
    runs = [_measured(folder, record) for folder, record in zip(folders, records, strict=True)]
    first, content = runs[0].scenario, dict(records[0].scenario)
    if records[0].own_server and not as_external:
        costs = fit_costs(runs, first.simulate)
        if not costs.estimates:
            message = "these runs are too small to measure anything; make one with more stations, or with less load"
            raise UsageError(message)
        content["simulate"] = costs.table(first.simulate, distributions=distributions).model_dump(mode="json")
        return Fit(parse_resolved(content), costs, None, _region(folders[0]))
    server = fit_server(runs)
    for table in ("target", *MOCK_TABLES):
        content.pop(table, None)
    content["server"] = server.server.model_dump(mode="json")
    content["simulate"] = server.simulate.model_dump(mode="json")
    return Fit(parse_resolved(content), None, server, _region(folders[0]))


def write_fit(path: Path, fit: Fit, command: Sequence[str]) -> None:
    """Write the scenario, with what it rests on as a comment, and the region file that it needs beside it."""
    content = fit.scenario.resolved()
    content = {**content, "simulate": fit.scenario.simulate.model_dump(mode="json", exclude_none=True)}
    if fit.region is not None:
        region = path.with_name(f"{path.stem}{_REGION_SUFFIX}")
        shutil.copyfile(fit.region, region)
        key = "region" if fit.scenario.stations.file is None else "file"
        content["stations"] = {**content["stations"], key: region.name}
    head = [f"Written by: {' '.join(command)}", *fit.basis]
    path.write_text("".join(f"# {line}\n" for line in head) + "\n" + toml_text(content), "utf-8")


def _check_alike(folders: Sequence[RunFolder], records: Sequence[RunRecord]) -> None:
    for folder, record in zip(folders, records, strict=True):
        if record.simulated:
            message = f"{folder.path} is simulated: a fit needs measured runs"
            raise UsageError(message)
        if record.own_server != records[0].own_server:
            message = (
                f"{folder.path} and {folders[0].path} are of different servers: one is the mock, one an external target"
            )
            raise UsageError(message)
        if not record.own_server and record.target != records[0].target:
            message = (
                f"{folder.path} is a run of {record.target}, {folders[0].path} of {records[0].target}: fit each alone"
            )
            raise UsageError(message)


def _measured(folder: RunFolder, record: RunRecord) -> MeasuredRun:
    load_rows(folder)  # writes attempts.parquet if it is missing or older than the journal
    content: dict[str, Any] = dict(record.scenario)
    content.pop("target", None)
    content["stations"] = folder.with_own_list(content.get("stations", {}))
    try:
        scenario = parse_resolved(content)
    except ValidationError as error:
        message = f"{folder.run_json}: the scenario of run {record.id} can't be read: {error}"
        raise RunFolderError(message) from None
    over_s = scenario.longest_s
    faulty = [(fault.start_s, over_s if fault.end_s is None else fault.end_s) for fault in record.faults]
    return MeasuredRun(folder.path.name, scenario, read_attempt_timings(folder), faulty)


def _region(folder: RunFolder) -> Path | None:
    return next((path for path in (folder.region, folder.stations) if path.exists()), None)
