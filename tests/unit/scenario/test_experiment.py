"""Experiment files: the matrix that they stand for, and what is said of a wrong one."""

import pytest

from harness.base.errors import ConfigurationError, UsageError
from harness.scenario.experiment import load_experiment, shipped_experiments

RIGHT = """
name = "mine"
base = "smoke"
seeds = [1, 2]
at = ["4s"]
[[variants]]
name = "as it was"
[[variants]]
name = "One Worker, no retries"
set = { "server.workers" = 1, "client.retry" = { strategy = "none" }, "client.timeout" = "2s" }
"""


def load(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    return load_experiment(str(path))


def problems_of(tmp_path, text):
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    return "\n".join(caught.value.problems)


def test_every_variant_runs_with_every_seed_one_seed_after_another(tmp_path):
    experiment, cells = load(tmp_path, RIGHT)
    assert [cell.name for cell in cells] == [
        "as-it-was-1", "one-worker-no-retries-1", "as-it-was-2", "one-worker-no-retries-2",
    ]  # fmt: skip
    assert experiment.at == (4.0,)


def test_a_variant_changes_what_it_sets_and_nothing_else(tmp_path):
    _, (first, changed, *_) = load(tmp_path, RIGHT)
    assert changed.scenario.server.workers == 1
    assert changed.scenario.client.retry.strategy == "none"
    assert changed.scenario.client.timeout == 2.0
    assert changed.scenario.arrivals == first.scenario.arrivals
    assert changed.scenario.server.model_copy(update={"workers": 4}) == first.scenario.server


def test_the_same_seed_plans_the_same_in_every_variant(tmp_path):
    _, cells = load(tmp_path, RIGHT)
    assert [cell.scenario.seed for cell in cells] == [1, 1, 2, 2]


def test_a_base_file_lies_beside_the_experiment(tmp_path):
    (tmp_path / "base.toml").write_text(
        'name = "b"\ndeadline = "9s"\n[arrivals]\nkind = "surge"\nover = "1s"\n', "utf-8"
    )
    _, cells = load(tmp_path, RIGHT.replace('"smoke"', '"base.toml"'))
    assert cells[0].scenario.name == "b"


def test_a_wrong_key_of_a_variant_is_told_with_the_variant_before_anything_runs(tmp_path):
    said = problems_of(tmp_path, RIGHT.replace("server.workers", "server.wrokers"))
    assert 'variant "One Worker, no retries": server.wrokers is not a known key; did you mean "workers"?' in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("seeds = [1, 2]", "seeds = [1, 1]"), "seeds: duplicate 1"),
        (('name = "One Worker, no retries"', 'name = "As it was!"'), "variants: duplicate as-it-was"),
        (("seeds = [1, 2]", "seeds = []"), "seeds"),
        (("seeds = [1, 2]", "sedes = [1, 2]"), 'did you mean "seeds"'),
        (('at = ["4s"]', "at = [4]"), "is not a duration"),
    ],
)
def test_what_is_wrong_with_the_file_is_told(tmp_path, change, said):
    assert said in problems_of(tmp_path, RIGHT.replace(*change))


def test_a_shipped_experiment_is_found_by_its_name_with_its_title():
    assert set(shipped_experiments()) == {"incident-in-ci", "metastability", "what-would-have-saved-kaliwates"}
    for name, title in shipped_experiments().items():
        experiment, cells = load_experiment(name)
        assert (experiment.name, experiment.title) == (name, title)
        assert len(cells) == len(experiment.variants) * len(experiment.seeds)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("metastabilty", 'there is no experiment "metastabilty"; did you mean "metastability"?'),
        ("zzz", "shipped are incident-in-ci, metastability, what-would-have-saved-kaliwates"),
        ("missing.toml", 'there is no file "missing.toml"'),
    ],
)
def test_an_unknown_experiment_is_refused_with_a_suggestion(source, message):
    with pytest.raises(UsageError) as caught:
        load_experiment(source)
    assert message in str(caught.value)


def test_a_moment_after_the_deadline_of_a_variant_is_refused(tmp_path):
    late = RIGHT.replace('at = ["4s"]', 'at = ["4s", "300s"]')
    assert problems_of(tmp_path, late) == (
        'at #2 = "300s" is after the deadline of "as it was", "10s": remove it\n'
        'at #2 = "300s" is after the deadline of "One Worker, no retries", "10s": remove it'
    )
    _, cells = load(tmp_path, RIGHT.replace('at = ["4s"]', 'at = ["10s"]'))
    assert len(cells) == 4
