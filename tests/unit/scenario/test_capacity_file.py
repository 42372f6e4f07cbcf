"""Capacity files: what is read, and what is refused by name."""

import pytest

from harness.base.errors import ConfigurationError
from harness.scenario.capacity_file import load_capacity_file
from harness.scenario.loader import scenario_template

WHOLE = """
name = "how-many"
base = "smoke"
set = { "stations.count" = 10, "client.retry.strategy" = "none" }
seed = 7
vary = "server.workers=1..8"
width = "2"
load = ["0.5x", "1x"]
goal = ["stations.completed_by_deadline_ratio >= 100%"]
probability = "90%"
confidence = "80%"
budget = "20m"
simulate_only = true
"""


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "search.toml"

    def load(text):
        path.write_text(text)
        return load_capacity_file(str(path))

    return load


def test_a_file_holds_the_same_as_the_options(load):
    found = load(WHOLE)
    assert (found.base, found.overrides) == ("smoke", ("stations.count=10", 'client.retry.strategy="none"'))
    options = found.options
    assert (options.name, options.seed, options.vary, options.width) == ("how-many", 7, "server.workers=1..8", "2")
    assert (options.load, options.probability, options.confidence) == (("0.5x", "1x"), 0.9, 0.8)
    assert (options.budget, options.simulate_only) == (1200.0, True)


def test_a_scenario_and_a_name_are_not_capacity_files(load):
    assert load(scenario_template("mine")) is None
    assert load_capacity_file("kaliwates") is None
    assert load_capacity_file("missing.toml") is None


def test_the_base_may_be_a_file_beside_it_but_not_elsewhere(load, tmp_path):
    (tmp_path / "mine.toml").write_text(scenario_template("mine"))
    assert load(WHOLE.replace('"smoke"', '"mine.toml"')).base == str(tmp_path / "mine.toml")
    with pytest.raises(ConfigurationError, match="outside"):
        load(WHOLE.replace('"smoke"', '"../mine.toml"'))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("vary =", "varry =", "varry"),
        ('"server.workers=1..8"', '"server.workers"', 'vary = "server.workers"'),
        ('["0.5x", "1x"]', '["2"]', "load"),
        ('"90%"', '"190%"', "probability"),
        ('"20m"', "20", "budget"),
        ('name = "how-many"', "", "name"),
        ('base = "smoke"', 'base = "smok"', 'base = "smok"'),
        ("seed = 7", "seed = -7", "seed"),
        ("seed = 7", 'map = ["load"]', "needs either vary or map"),
        ("seed = 7", "variants = []", "harness experiment"),
        ("seed = 7", "seed = 7\nseed = 8", 'duplicate key "seed"'),
    ],
)
def test_a_wrong_key_or_value_is_named(load, old, new, message):
    with pytest.raises(ConfigurationError) as refused:
        load(WHOLE.replace(old, new))
    assert message in str(refused.value)
    assert "search.toml" in str(refused.value)
