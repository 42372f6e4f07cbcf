"""Plays finished runs again in virtual time, with their own scenarios and seeds, to set predicted beside measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from harness.analysis.against import Against, RunPair
from harness.base.errors import ConfigurationError, RunFolderError, UsageError
from harness.judge.verdict import evaluate_run
from harness.run_folder.layout import RunFolder, RunRecord
from harness.runner.simulated_cells import SimulatedCell, figures_of, play_cells
from harness.scenario.scenario import Scenario, parse_resolved
from harness.simulate.unsupported import check_can_simulate


def predict_runs(
    folders: Sequence[RunFolder],
    model: Scenario | None,
    assertions: Callable[[RunFolder], list[str]],
    *,
    models_mock: bool = False,
) -> Against:
    """Each run with the simulation of its scenario and seed; `assertions` gives those of a run.

    `model` gives [simulate] instead of the run's own, and [server] for runs of an external target, which have none; with
    `models_mock` [server] also for runs of the mock server, as if they had been made against an external one. Raises
    UsageError for a run that is simulated itself or has no model, ConfigurationError for what can't be simulated.
    """
    scenarios = [scenario_of(folder, model, models_mock=models_mock) for folder in folders]
    predicted = play_cells([SimulatedCell(scenario.resolved()) for scenario in scenarios])
    pairs = [
        RunPair(
            run=str(folder.path),
            name=scenario.name,
            seed=scenario.seed,
            deadline_s=scenario.deadline,
            measured=figures_of(evaluate_run(folder, assertions(folder))),
            predicted=figures,
        )
        for folder, scenario, figures in zip(folders, scenarios, predicted, strict=True)
    ]
    return Against(pairs=pairs)


def scenario_of(folder: RunFolder, model: Scenario | None, *, models_mock: bool = False) -> Scenario:
    """The scenario of a run as it is to be simulated."""
    record = folder.read_run()
    if record.simulated:
        message = f"{folder.path} is simulated: --against needs a run that was measured"
        raise UsageError(message)
    content = dict(record.scenario)
    if record.own_server and not models_mock:
        _replace_tables(content, model, ("simulate",))
    elif model is None:
        message = (
            f"{folder.path} was a run of an external target, which has no model of its own: name the scenario that describes "
            "it as [server] (harness fit makes one)"
        )
        raise UsageError(message)
    else:
        content.pop("target", None)
        _replace_tables(content, model, ("server", "simulate"))
    content["stations"] = folder.with_own_list(content.get("stations", {}))
    scenario = _parse(folder, record, content)
    check_can_simulate(str(folder.path), scenario)
    return scenario


def _replace_tables(content: dict[str, Any], model: Scenario | None, tables: Sequence[str]) -> None:
    if model is not None:
        resolved = model.resolved()
        content.update({table: resolved[table] for table in tables})


def _parse(folder: RunFolder, record: RunRecord, content: dict[str, Any]) -> Scenario:
    try:
        return parse_resolved(content)
    except (ValidationError, ConfigurationError) as error:
        message = f"{folder.run_json}: the scenario of run {record.id} can't be read: {error}"
        raise RunFolderError(message) from None
