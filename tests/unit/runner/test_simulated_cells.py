"""Many simulations: in order, on several processes or one, the same figures."""

import json

import pytest
from typer.testing import CliRunner

from harness.base.errors import RunFolderError, UsageError
from harness.cli.app import app
from harness.judge.verdict import judge_run
from harness.run_folder.layout import RunFolder
from harness.runner.against import predict_runs, scenario_of
from harness.runner.simulated_cells import SimulatedCell, figures_of, play_cell, play_cells
from harness.scenario.experiment import load_experiment
from harness.scenario.loader import load_scenario
from tests.support.simulations import scenario

pytestmark = pytest.mark.heavy
EXPERIMENT = """
name = "two"
base = "smoke"
seeds = [1, 2]
at = ["2s"]
[[variants]]
name = "as it is"
[[variants]]
name = "one worker"
set = { "server.workers" = 1 }
[[variants]]
name = "no faults"
set = { "faults" = [] }
"""


def cell(seed, **tables):
    return SimulatedCell(scenario(seed=seed, **tables).resolved())


def test_cells_come_back_in_their_order_whatever_the_number_of_processes():
    cells = [cell(seed, arrivals={"kind": "poisson", "over": "2s"}) for seed in (3, 1, 2)]
    alone = play_cells(cells, processes=1)
    assert [figures.seed for figures in alone] == [3, 1, 2]
    assert play_cells(cells, processes=2) == alone


def test_the_figures_are_those_of_the_summary_and_the_verdict(tmp_path):
    played = SimulatedCell(scenario(thresholds=[{"assert": "attempts.total < 3"}]).resolved(), tmp_path / "run")
    figures = play_cell(played)
    assert (figures.verdict, figures.safety, figures.by_outcome) == ("fail", True, {"accepted": 6})
    assert [(one.assertion, one.observed, one.passed) for one in figures.thresholds] == [
        ("attempts.total < 3", 6.0, False)
    ]
    assert figures.values["attempts"] == 6
    assert figures.values["finished_s"] == pytest.approx(1.3, abs=1e-6)
    assert (figures.curve[0], figures.curve[-1]) == (0.0, 1.0)


def test_seeds_from_the_command_line_write_their_figures_and_exit_with_99_if_one_fails(tmp_path):
    out = tmp_path / "seeds"
    arguments = ["simulate", "smoke", "--seeds", "3", "--set", "server.workers=1", "--out", str(out)]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    content = json.loads((out / "seeds.json").read_text())
    assert content["seeds"] == [1, 2, 3]
    assert done.exit_code == (99 if content["verdicts"]["fail"] else 0)
    assert done.stdout.startswith("SIMULATED  By the deadline")
    assert "SIMULATED" in (out / "report" / "index.html").read_text("utf-8")


def measured_run(path, simulated=False, **tables):
    """A run folder that says of itself that it was measured: what --against plays again."""
    play_cell(SimulatedCell(scenario(**tables).resolved(), path))
    folder = RunFolder(path)
    folder.write_run(folder.read_run().model_copy(update={"simulated": simulated}))
    return folder


def test_a_run_is_played_again_with_its_own_scenario_and_seed(tmp_path):
    folder = measured_run(tmp_path / "run", seed=5, arrivals={"kind": "poisson", "over": "2s"})
    (pair,) = predict_runs([folder], None, lambda _: []).pairs
    assert pair.seed == 5
    assert all(figure.error in (0.0, None) for figure in pair.figures)
    assert pair.predicted == figures_of(judge_run(folder, []))


def test_a_named_scenario_gives_the_costs(tmp_path):
    folder = measured_run(tmp_path / "run")
    model = load_scenario("smoke", ["simulate.commit=500ms"])
    assert scenario_of(folder, None).simulate.commit.quantile(0.5) == 0.0
    assert scenario_of(folder, model).simulate.commit.quantile(0.5) == 0.5
    assert scenario_of(folder, model).name == "test"


def test_what_has_no_model_or_was_simulated_itself_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="needs a run that was measured"):
        scenario_of(measured_run(tmp_path / "simulated", simulated=True), None)
    external = measured_run(tmp_path / "external")
    external.write_run(external.read_run().model_copy(update={"own_server": False}))
    with pytest.raises(UsageError, match="name the scenario that describes it as"):
        scenario_of(external, None)
    with pytest.raises(RunFolderError):
        scenario_of(RunFolder(tmp_path / "nothing"), None)


def test_against_from_the_command_line_shows_predicted_beside_measured(tmp_path):
    folder = measured_run(tmp_path / "run")
    out = tmp_path / "against"
    done = CliRunner().invoke(app, ["simulate", "--against", str(folder.path), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "Predicted 100 % of the stations by the deadline, measured 100 %" in done.stdout
    assert len(json.loads((out / "against.json").read_text())["pairs"]) == 1
    missing = CliRunner().invoke(app, ["simulate"])
    assert isinstance(missing.exception, UsageError)


def test_an_experiment_is_simulated_whole_and_says_so(tmp_path):
    (tmp_path / "two.toml").write_text(EXPERIMENT)
    out = tmp_path / "out"
    done = CliRunner().invoke(
        app, ["experiment", str(tmp_path / "two.toml"), "--simulate", "--out", str(out)], env={"COLUMNS": "160"}
    )
    assert done.exit_code == 0, done.output
    content = json.loads((out / "experiment.json").read_text())
    assert content["simulated"] is True
    assert [len(variant["cells"]) for variant in content["variants"]] == [2, 2, 2]
    assert "SIMULATED" in done.stdout
    assert "SIMULATED" in (out / "report" / "index.html").read_text("utf-8")
    assert RunFolder(out / "runs" / "one-worker-2").read_run().simulated


def test_seeds_of_an_experiment_extend_those_of_its_file(tmp_path):
    (tmp_path / "two.toml").write_text(EXPERIMENT)
    seeds = [
        sorted({cell.seed for cell in load_experiment(str(tmp_path / "two.toml"), seeds=number)[1]})
        for number in (1, 4)
    ]
    assert seeds == [[1], [1, 2, 3, 4]]


def test_options_of_simulation_are_refused_without_it_and_folders_are_not_mixed(tmp_path):
    (tmp_path / "two.toml").write_text(EXPERIMENT)
    refused = CliRunner().invoke(app, ["experiment", str(tmp_path / "two.toml"), "--confirm", "1"])
    assert isinstance(refused.exception, UsageError)
    measured_run(tmp_path / "out" / "runs" / "as-it-is-1")
    mixed = CliRunner().invoke(
        app, ["experiment", str(tmp_path / "two.toml"), "--simulate", "--out", str(tmp_path / "out")]
    )
    assert isinstance(mixed.exception, UsageError)
    assert "measured run" in str(mixed.exception)
