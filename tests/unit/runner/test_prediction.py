"""What the twin expects of the change to try first."""

import re

import pytest

from harness.judge.verdict import judge_run
from harness.run_folder.layout import RunFolder
from harness.runner import prediction
from harness.runner.prediction import predict_remedy
from harness.runner.simulated_cells import SimulatedCell, play_cell
from harness.scenario.loader import load_scenario, override_resolved


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A simulated night with a third of the workers that it needs; as if it had been measured."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "failed")
    scenario = load_scenario("kaliwates", ["server.workers=1"])
    play_cell(SimulatedCell(scenario.resolved(), folder.path))
    return folder


@pytest.mark.heavy
def test_the_change_to_try_first_says_what_the_model_gives_with_it_and_without(failed: RunFolder) -> None:
    judged = judge_run(failed, ["stations.completed_by_deadline_ratio >= 99%"])
    remedy = predict_remedy(failed, judged)
    assert remedy is not None
    found = re.match(
        r"Simulated: ([\d.]+) % of stations by the deadline, p95 of delivery .*; without the change ([\d.]+) %",
        remedy.predicted,
    )
    assert found is not None, remedy.predicted
    assert float(found[1]) > float(found[2]) + 30  # three workers instead of one
    assert remedy.predicted.endswith("A model says so, not a measurement.")
    assert predict_remedy(failed, judged) == remedy


@pytest.mark.heavy
def test_nothing_is_predicted_of_a_run_too_large_to_wait_for(
    failed: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "MAX_PAGES", 10)
    remedy = predict_remedy(failed, judge_run(failed, ["stations.completed_by_deadline_ratio >= 99%"]))
    assert remedy is not None
    assert remedy.predicted == ""


@pytest.mark.heavy
def test_a_run_that_passed_has_nothing_to_try(failed: RunFolder) -> None:
    assert predict_remedy(failed, judge_run(failed, [])) is None


def test_a_resolved_scenario_takes_overrides_and_stays_as_it_is() -> None:
    content = load_scenario("kaliwates", ["client.retry.strategy=full_jitter"]).resolved()
    before = repr(content)
    changed = override_resolved(content, ["client.retry.strategy=none", "server.workers=3"])
    assert (changed.client.retry.strategy, changed.server.workers, repr(content)) == ("none", 3, before)
