"""`harness history`: how one scenario's runs came out over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UsageError
from harness.cli.runs import RUNS, Labels, parse_labels
from harness.judge.history import make_history
from harness.judge.past_runs import RunFilter, find_runs
from harness.runner.noise_files import load_noise
from reports import terminal
from reports.run_list import HISTORY_HEADERS, history_rows

HISTORY = RUNS / "history"
CALIBRATIONS = RUNS / "calibrations"


def history(
    scenario: Annotated[str | None, typer.Argument(metavar="[SCENARIO]", help="Name of a scenario; default: that of the latest run.")] = None,
    labels: Labels = [],
    simulated: Annotated[bool, typer.Option("--simulated", help="Simulations instead of runs.")] = False,
    last: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the latest N.")] = None,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Folder with the runs.")] = RUNS,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the page. Default: history/<scenario> below the runs.")] = None,
) -> None:  # fmt: skip
    """Show how a scenario's runs came out over time, and mark changes beyond the calibrated noise."""
    found = find_runs(runs, RunFilter(labels=parse_labels(labels), simulated=simulated))
    name = scenario or (found[-1].record.name if found else "")
    chosen = [run for run in found if run.record.name == name][-(last or 0) :]
    if not chosen:
        known = ", ".join(sorted({run.record.name for run in found})) or "none"
        message = f"no {'simulations' if simulated else 'runs'} of {name or 'any scenario'} in {runs}; scenarios there: {known}"
        raise UsageError(message)
    entries = make_history(chosen, lambda key: load_noise(runs / CALIBRATIONS.name, key))
    from reports.history import history_finding, render_history  # noqa: PLC0415 - Matplotlib takes half a second to import

    page = render_history(out or runs / HISTORY.name / name, name, entries)
    print(f"{name}: {history_finding(entries)}.\n")
    terminal.print_table(HISTORY_HEADERS, history_rows(entries))
    print(f"\nPage: {terminal.display_path(page)}")
