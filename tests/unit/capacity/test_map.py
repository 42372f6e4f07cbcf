"""A map over planted truth: which cells recover is known."""

import pytest

from harness.analysis.capacity import PlayedSeed
from harness.analysis.capacity_map import boundary_pairs
from harness.base.errors import ConfigurationError, UsageError
from harness.capacity.map import FIRM_SEEDS, MapPlayer, MapRequest, choose_measured, map_figures, measure_cell
from harness.capacity.map_axes import parse_map, strategies
from harness.capacity.search import SearchInterruptedError
from harness.scenario.loader import load_scenario

GOAL = "stations.completed_by_deadline_ratio >= 90%"
KEYS = "client.retry.strategy=none|immediate|outbox,load=0.5x|1x|1.5x|2x"


def load(more=()):
    return load_scenario("metastable", ["stations.count=100", *more])


def request(keys=KEYS, goal=(GOAL,)):
    return MapRequest("metastable", load(), load, parse_map(keys, load()), goal)


def played(seed, met):
    return PlayedSeed(
        seed=seed, met=met, completed_ratio=0.99 if met else 0.4, complete_95_s=1.0, finish_s=2.0, amplification=1.0
    )


class PlantedPlayer:
    """Bears up to 150 stations. Immediate retries recover up to 60, no retries up to 110, an outbox always."""

    def __init__(self):
        self.played = 0

    def play(self, scenario, goal, seeds):
        del goal
        most = {"none": 110, "immediate": 60, "outbox": 150}[scenario.client.retry.strategy]
        stations = scenario.stations.count
        for seed in seeds:
            self.played += 1
            yield played(seed, stations <= (most if scenario.faults else 150))


def player(folder, asked, player=None, check_time=lambda: None, lines=None):
    return MapPlayer(asked, folder, player or PlantedPlayer(), ([] if lines is None else lines).append, check_time)


def test_a_cell_recovers_stays_down_or_is_overloaded(tmp_path):
    lines: list[str] = []
    cells = player(tmp_path / "out", request(), lines=lines).play()
    assert {(cell.at[0], cell.at[1]): cell.state for cell in cells} == {
        ("none", "0.5x"): "recovers", ("none", "1x"): "recovers", ("none", "1.5x"): "stays_down", ("none", "2x"): "overloaded",
        ("immediate", "0.5x"): "recovers", ("immediate", "1x"): "stays_down", ("immediate", "1.5x"): "stays_down", ("immediate", "2x"): "overloaded",
        ("outbox", "0.5x"): "recovers", ("outbox", "1x"): "recovers", ("outbox", "1.5x"): "recovers", ("outbox", "2x"): "overloaded",
    }  # fmt: skip
    assert lines[1] == "8 of 12 cells; immediate: 1 recover, 2 stay down, 1 overloaded"
    down = cells[5]
    assert (down.bears_met, down.bears_seeds, down.recovers_met, down.recovers_seeds) == (3, 3, 0, 3)
    assert (down.completed_ratio, cells[3].recovers_seeds) == (0.4, 0)


def test_without_faults_the_length_of_a_fault_is_played_once(tmp_path):
    planted = PlantedPlayer()
    asked = request("client.retry.strategy=none|outbox,load=0.5x|1x,faults.trigger.duration=2s|4s|8s")
    cells = player(tmp_path / "out", asked, planted).play()
    assert len(cells) == 12
    assert planted.played == 3 * (4 + 12)


def test_an_interrupted_map_keeps_its_cells_and_goes_on(tmp_path):
    first, asked = PlantedPlayer(), request()

    def check_time():
        if first.played >= 20:
            raise SearchInterruptedError

    one = player(tmp_path / "out", asked, first, check_time)
    figures = map_figures(asked, one.play(), is_complete=one.is_complete)
    assert (figures.exit_code, figures.is_complete) == (3, False)
    assert "interrupted" in figures.why_unknown
    assert figures.cells[-1].state == "unknown"
    again = PlantedPlayer()
    resumed = player(tmp_path / "out", asked, again).play()
    whole = PlantedPlayer()
    assert resumed == player(tmp_path / "other", asked, whole).play()
    assert again.played == whole.played - 20


def test_points_on_both_sides_of_the_boundary_are_measured(tmp_path):
    asked = request()
    cells = player(tmp_path / "out", asked).play()
    assert [(one.at, other.at) for one, other in boundary_pairs(cells, asked.axes, 1)] == [
        (["none", "1x"], ["none", "1.5x"]), (["immediate", "0.5x"], ["immediate", "1x"]), (["outbox", "1.5x"], ["outbox", "2x"])
    ]  # fmt: skip
    assert [cell.at for cell in choose_measured(cells, asked.axes, 1)] == [
        ["none", "1x"], ["none", "1.5x"], ["immediate", "0.5x"], ["immediate", "1x"]
    ]  # fmt: skip


def test_a_run_that_contradicts_every_simulation_is_3_and_one_that_agrees_is_not(tmp_path):
    asked = request()
    one = player(tmp_path / "out", asked)
    cells = one.play()
    at = ["none", "1x"]
    for met, code in ((True, 0), (False, 3)):
        one.firm_up(at)
        found = [one.cell(cell.at, [played(900, met)] if cell.at == at else []) for cell in cells]
        assert found[1].recovers_seeds == FIRM_SEEDS
        figures = map_figures(asked, found, is_complete=True)
        assert (figures.exit_code, [cell.agrees for cell in figures.confirmed]) == (code, [met])
    assert figures.why_unknown == "a measured run at none, 1x came out otherwise than all simulated ones"


def test_an_invalid_run_is_repeated_and_never_a_vote(tmp_path):
    votes = iter([None, True, False])
    assert [run.met for run in measure_cell(lambda number: played(number, next(votes)))] == [None, True]
    invalid = measure_cell(lambda number: played(number, None))
    assert len(invalid) == 3
    asked = request()
    one = player(tmp_path / "out", asked)
    cell = one.cell(["none", "1x"], invalid)
    assert cell.agrees is None
    others = one.play()
    figures = map_figures(asked, [*others[:1], cell, *others[2:]], is_complete=True)
    assert (figures.exit_code, figures.why_unknown) == (3, "every measured run was INVALID")


@pytest.mark.parametrize(
    ("keys", "values"),
    [
        ("load,client.retry.strategy=none|outbox", ["0.5x", "0.75x", "1x", "1.25x", "1.5x"]),
        ("load=2x|0.5x,client.retry.strategy", ["0.5x", "2x"]),
        ("faults.trigger.duration,load", ["2.5s", "5s", "10s", "15s", "20s"]),
        ("faults.trigger.factor,load", ["0.8", "0.6", "0.4", "0.2", "0.1", "0.05"]),
        ("server.workers=1..64,load", ["1", "14", "26", "39", "51", "64"]),
        ("server.workers=1..3,load", ["1", "2", "3"]),
        ("client.timeout=2s|4s,load", ["2s", "4s"]),
    ],
)
def test_a_key_has_values_of_its_own_or_those_given(keys, values):
    assert parse_map(keys, load())[0].values == values


def test_the_strategies_are_all_there_are():
    assert len(strategies()) == 12
    assert parse_map("client.retry.strategy,load", load())[0].values == strategies()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("load", "two or three keys"),
        ("load,load=1x|2x", "duplicate load"),
        ("load,client.timeout", "client.timeout needs values"),
        ("load,faults.other.duration", "faults.other.duration needs values"),
        ("load=1x,client.retry.strategy", "two or more different values"),
        ("load=1x|1x,client.retry.strategy", "two or more different values"),
        ("load=1|2,client.retry.strategy", "should be a factor"),
        ("server.workers=1..64,client.retry.strategy,load=0.1x|0.2x|0.3x|0.4x|0.5x|0.6x|0.7x|0.8x|0.9x", "648 cells"),
    ],
)
def test_keys_that_make_no_map_are_refused(keys, message):
    with pytest.raises(UsageError, match=message.replace("|", r"\|")):
        parse_map(keys, load())


def test_a_map_that_cannot_be_drawn_is_refused_before_the_first_seed():
    with pytest.raises(UsageError, match="refers to a fault"):
        request(goal=("recovery.trigger.metastable == false",)).check()
    with pytest.raises(ConfigurationError, match="servers"):
        request("server.servers=1|2,load").check()
    with pytest.raises(ConfigurationError, match="does not change the scenario"):
        MapRequest("x", load(), lambda _: load(), parse_map("server.workers=1|2,load", load()), (GOAL,)).check()
    bare = load(["faults=[]", "thresholds=[]"])
    with pytest.raises(UsageError, match="has no faults"):
        MapRequest("x", bare, load, parse_map(KEYS, load()), (GOAL,)).check()
    request().check()
