"""What would have saved Kaliwates: what is published are the recorded runs of the whole experiment, unedited."""

from benchmarks.kaliwates.__main__ import CHART, DATA, EXPERIMENT, PAGE, SEEDS, insert_table
from benchmarks.kaliwates.remedies import read_results
from harness.scenario.experiment import load_experiment


def test_the_published_table_is_that_of_the_recorded_evenings():
    page = PAGE.read_text("utf-8")
    assert insert_table(page, read_results(DATA)) == page
    assert CHART.read_bytes().startswith(b"\x89PNG")


def test_every_variant_of_the_experiment_was_measured_and_simulated():
    (experiment, _), recorded = load_experiment(EXPERIMENT), read_results(DATA)
    assert [remedy.name for remedy in recorded.remedies] == [variant.name for variant in experiment.variants]
    for remedy in recorded.remedies:
        assert sorted(run.seed for run in remedy.measured) == sorted(experiment.seeds)
        assert len({run.seed for run in remedy.simulated}) == SEEDS
