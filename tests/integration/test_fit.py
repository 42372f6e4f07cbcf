"""`harness fit` over run folders: the file that it writes can be simulated, and predicts the runs."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from harness.base.errors import ExitCode, UsageError
from harness.run_folder.layout import RunFolder
from harness.runner.fit import fit_runs
from harness.runner.simulated_cells import SimulatedCell, play_cell
from harness.scenario.loader import load_scenario
from tests.support.real_runs import harness
from tests.support.simulations import scenario

pytestmark = pytest.mark.heavy

SERVER = {
    "workers": 5,
    "queue_capacity": 15,
    "service_time": {"distribution": "lognormal", "median": "100ms", "sigma": 0.4},
}
COSTS = {"connect": "1ms", "login": "6ms", "send": "300MB/s", "parse": "1ms", "commit": "4ms", "answer": "1ms"}
LOADS = {"light": (90, "80s"), "middle": (300, "25s"), "heavy": (300, "8s")}


def make_run(path: Path, load: str, *, seed: int = 1, **facts: Any) -> Path:
    """A run that was simulated and says that it was measured: what a fit must find again is known."""
    count, over = LOADS[load]
    made = scenario(
        name=load, seed=seed, deadline="90s",
        stations={"region": "kaliwates", "count": count},
        photos={"size": {"distribution": "lognormal", "median": "1MB", "sigma": 0.3}, "bank": 8},
        arrivals={"kind": "poisson", "over": over}, server=SERVER, simulate=COSTS,
        client={"timeout": "10s", "retry": {"strategy": "full_jitter", "base": "1s", "cap": "8s"}},
    )  # fmt: skip
    play_cell(SimulatedCell(made.resolved(), path))
    record = json.loads(RunFolder(path).run_json.read_text("utf-8"))
    record |= {"simulated": False, **facts}
    RunFolder(path).run_json.write_text(json.dumps(record), "utf-8")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run at each load, in one folder."""
    folder = tmp_path_factory.mktemp("runs")
    for load in LOADS:
        make_run(folder / load, load)
    return folder


def fit(folder: Path, *arguments: object) -> str:
    """The output of the command, which must succeed."""
    code, output = harness("fit", *map(str, arguments), cwd=folder)
    assert code == 0, output
    return str(output)


def test_the_costs_of_the_mock_are_written_as_a_scenario_that_predicts_its_runs(runs: Path, tmp_path: Path):
    out = tmp_path / "fitted.toml"
    output = fit(tmp_path, runs, "--out", out)
    fitted = load_scenario(str(out))
    assert fitted.server.workers == 5, "the scenario's own server stays"
    assert fitted.simulate.commit.quantile(0.5) == pytest.approx(0.004, rel=0.01)
    assert fitted.simulate.send == pytest.approx(300e6, rel=0.01)
    assert re.search(r"^light +\+0\.0 points +[+-]0\.0 % +[+-]0\.0 %", output, re.MULTILINE), output


def test_a_whole_server_is_fitted_and_held_against_a_run_that_it_was_not_fitted_to(runs: Path, tmp_path: Path):
    out, other = tmp_path / "server.toml", make_run(tmp_path / "other", "middle", seed=5)
    output = fit(tmp_path, runs, "--server", "--check", other, "--out", out)
    fitted = load_scenario(str(out), ["server.workers=9"])
    assert (fitted.server.workers, fitted.server.queue_capacity) == (9, 15), "what-ifs start from the fitted keys"
    assert load_scenario(str(out)).server.workers == 5
    assert "other (not" in output
    head = out.read_text("utf-8").splitlines()[1]
    assert head.startswith("# Shown to hold up to ")
    shown = fitted.simulate.fitted
    assert shown is not None
    assert shown.runs == 3


def test_runs_of_an_external_target_give_a_server_without_being_asked(runs: Path, tmp_path: Path):
    facts: dict[str, Any] = {"own_server": False, "target": "http://10.0.0.1"}
    external = [make_run(tmp_path / load, load, **facts) for load in LOADS]
    found = fit_runs([RunFolder(path) for path in external])
    assert found.server is not None
    assert found.scenario.target is None
    assert found.scenario.server.workers == 5


def test_the_users_region_file_goes_beside_the_scenario(runs: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(runs / "middle", run)
    RunFolder(run).region.write_text("code,name,stations\n3509191001,Mangli,50\n3509191002,Sempusari,250\n", "utf-8")
    out = tmp_path / "mine.toml"
    fit(tmp_path, run, "--out", out)
    assert tomllib.loads(out.read_text("utf-8"))["stations"]["region"] == "mine-region.csv"
    assert (tmp_path / "mine-region.csv").read_text("utf-8").endswith("Sempusari,250\n")


def test_simulated_runs_are_refused(runs: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(runs / "light", run)
    text = RunFolder(run).run_json.read_text("utf-8").replace('"simulated": false', '"simulated": true')
    RunFolder(run).run_json.write_text(text, "utf-8")
    with pytest.raises(UsageError, match="is simulated: a fit needs measured runs"):
        fit_runs([RunFolder(run)])


def test_runs_of_different_servers_are_refused(runs: Path, tmp_path: Path):
    one = make_run(tmp_path / "one", "light", own_server=False, target="http://10.0.0.1")
    two = make_run(tmp_path / "two", "light", own_server=False, target="http://10.0.0.2")
    with pytest.raises(UsageError, match=r"10\.0\.0\.1: fit each alone"):
        fit_runs([RunFolder(one), RunFolder(two)])
    with pytest.raises(UsageError, match="one is the mock, one an external target"):
        fit_runs([RunFolder(runs / "light"), RunFolder(one)])


def test_an_existing_file_is_not_overwritten(runs: Path, tmp_path: Path):
    out = tmp_path / "mine.toml"
    out.write_text("name = 'mine'", "utf-8")
    code, output = harness("fit", str(runs), "--out", str(out), cwd=tmp_path)
    assert (code, "already exists" in output) == (ExitCode.USAGE, True), output
    assert out.read_text("utf-8") == "name = 'mine'"
