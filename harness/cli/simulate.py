"""`harness simulate`: one scenario in virtual time, from plan to verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.base.signals import SignalHandler
from harness.cli.options import (
    RUNS,
    Overrides,
    ScenarioName,
    Seed,
    abortable_thresholds,
    assertions_of,
    check_name,
    check_new_folder,
    check_scenario,
    command_line,
    run_id_of,
    warnings_of,
)
from harness.judge.thresholds.evaluate import limits_s
from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import read_planned_due
from harness.runner.run_spec import RunSpec
from harness.runner.simulated_run import SimulatedRun, check_simulation, make_simulated_plan
from harness.scenario import loader
from reports import terminal


def simulate(
    source: ScenarioName,
    overrides: Overrides = [],
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; must be new or empty. Default: runs/<time>-<name>-simulated-<hex>.")] = None,
    name: Annotated[str | None, typer.Option(help="Name the run folder after this instead of the scenario.")] = None,
) -> None:  # fmt: skip
    """Play a scenario in virtual time, in seconds: the same run folder, judged the same way.

    The same plan, stations, strategies, links, overload model and faults as `harness run`, without sockets and without
    waiting. Nothing is measured: verdict, page and files say SIMULATED. The exit code is that of a run.
    """
    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    check_scenario(source, loaded)
    check_simulation(source, loaded)
    run_id = run_id_of(name or f"{loaded.name}-simulated")
    check_name(out or RUNS)
    folder = RunFolder((out or RUNS / run_id).absolute())
    check_new_folder(folder)
    plan = make_simulated_plan(loaded)
    terminal.print_lines(warnings_of(loaded, plan))
    spec = RunSpec(
        scenario=loaded,
        plan=plan,
        folder=folder,
        run_id=run_id,
        command=command_line(),
        limits_s=limits_s(assertions_of(loaded)),
        abort_thresholds=abortable_thresholds(loaded),
        simulated=True,
    )
    with SignalHandler() as signals:
        SimulatedRun(spec).execute()
        from harness.runner.finish import finish_run  # noqa: PLC0415 - Matplotlib takes half a second to import

        code = finish_run(folder, assertions_of(loaded))
        raise typer.Exit(code if signals.received is None else 128 + signals.received)
