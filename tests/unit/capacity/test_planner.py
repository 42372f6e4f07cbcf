"""A search from its request to its figures, with a twin of which the truth is known."""

import json

import pytest

from harness.analysis.capacity import PlayedSeed
from harness.base.errors import ConfigurationError, RunFolderError, UsageError
from harness.capacity.figures import CapacityResults, confirm_searches
from harness.capacity.levels import parse_varied_key
from harness.capacity.planner import CapacityPlanner
from harness.capacity.request import CapacityRequest
from harness.capacity.sampling import SamplingRule
from tests.support.simulations import scenario

GOAL = "stations.completed_by_deadline_ratio >= 100%"
FAULT = {"name": "slow", "kind": "capacity", "start": "1s", "duration": "1s", "factor": 0.5}
RULE = SamplingRule(0.9)


class PlantedTwin:
    """Meets the goal from `needed` workers per load on; with faults it takes `extra` more."""

    def __init__(self, needed=3, extra=2, met=True):
        self.needed, self.extra, self.met, self.played = needed, extra, met, 0

    def play(self, played, goal, seeds):
        for seed in seeds:
            self.played += 1
            enough = played.server.workers >= self.needed + (self.extra if played.faults else 0)
            yield PlayedSeed(
                seed=seed, met=self.met if enough else False, breached=[] if enough else list(goal), completed_ratio=1.0,
                complete_95_s=1.0, finish_s=2.0, amplification=1.0, why_unknown="" if self.met is not None else "too noisy",
            )  # fmt: skip


def request(vary="server.workers=1..8", goal=(GOAL,), **changes):
    varied = parse_varied_key(vary)
    base = scenario(faults=[FAULT], **changes)

    def scenario_at(level):
        server = base.server.model_copy(update={"workers": int(varied.values[level])})
        return base.model_copy(update={"server": server})

    return CapacityRequest("test", base, scenario_at, varied, goal, rule=RULE)


def search(twin, folder, asked=None, **options):
    lines: list[str] = []
    asked = asked or request()
    planner = CapacityPlanner(asked, folder, twin, log=lines.append, **options)
    return CapacityResults(asked, planner.search(), planner.known).figures(), lines


def test_bears_and_recovers_are_two_capacities(tmp_path):
    figures, lines = search(PlantedTwin(), tmp_path / "out")
    bears, recovers = figures.conditions
    assert (bears.name, bears.faults, bears.loads[0].bracket.passes, bears.loads[0].bracket.fails) == (
        "bears",
        [],
        "3",
        "2",
    )
    assert (recovers.name, recovers.faults, recovers.loads[0].bracket.passes) == ("recovers", ["slow"], "5")
    assert (figures.exit_code, figures.why_unknown) == (0, "")
    assert lines[-1].startswith("recovers, 1x: ")
    assert lines[-1].endswith("so far between 4 and 5 workers")


def test_each_level_has_its_evidence(tmp_path):
    figures, _ = search(PlantedTwin(), tmp_path / "out")
    levels = {level.value: level for level in figures.conditions[0].loads[0].levels}
    assert (levels["2"].decision, levels["2"].passed, levels["2"].failed) == ("fails", 0, 3)
    assert levels["2"].breached == {GOAL: 3}
    assert (levels["3"].decision, levels["3"].passed, levels["3"].failed) == ("passes", 29, 0)
    assert levels["3"].probability_low == pytest.approx(0.05 ** (1 / 29))
    assert [seed.seed for seed in levels["3"].seeds] == list(range(1, 30))


def test_a_range_in_which_nothing_suffices_is_99(tmp_path):
    figures, _ = search(PlantedTwin(needed=9), tmp_path / "out")
    assert figures.conditions[0].loads[0].bracket.passes is None
    assert figures.exit_code == 99


def test_one_that_suffices_only_without_faults_is_99_too(tmp_path):
    figures, _ = search(PlantedTwin(needed=7), tmp_path / "out")
    assert [one.loads[0].bracket.passes for one in figures.conditions] == ["7", None]
    assert figures.exit_code == 99


def test_nobody_can_tell_if_no_seed_can_be_judged(tmp_path):
    figures, _ = search(PlantedTwin(met=None), tmp_path / "out")
    assert (figures.exit_code, figures.why_unknown) == (3, "too noisy")


def test_a_budget_that_is_spent_leaves_what_is_known(tmp_path):
    clock = iter(range(10_000))
    asked = CapacityRequest(**{**vars(request()), "budget_s": 80.0})
    figures, _ = search(PlantedTwin(), tmp_path / "out", asked, now=lambda: float(next(clock)))
    bears, recovers = (one.loads[0] for one in figures.conditions)
    assert (bears.bracket.passes, bears.bracket.fails, bears.bracket.is_complete) == ("3", "2", False)
    assert (recovers.levels, recovers.bracket.is_complete) == ([], False)
    assert figures.exit_code == 3
    assert "budget" in figures.why_unknown


def test_a_load_is_searched_to_its_end_before_a_greater_one_so_that_a_budget_cuts_off_the_greatest(tmp_path):
    asked = CapacityRequest(**{**vars(request()), "loads": (1.0, 2.0)})
    figures, lines = search(PlantedTwin(), tmp_path / "out", asked)
    searched = list(dict.fromkeys(line.partition(":")[0] for line in lines))
    assert searched == ["bears, 1x", "recovers, 1x", "bears, 2x", "recovers, 2x"]
    assert [[one.load for one in condition.loads] for condition in figures.conditions] == [[1.0, 2.0], [1.0, 2.0]]


def test_the_same_folder_resumes_and_plays_no_seed_again(tmp_path):
    first = PlantedTwin()
    figures, _ = search(first, tmp_path / "out", is_interrupted=lambda: first.played >= 40)
    assert figures.exit_code == 3
    again = PlantedTwin()
    resumed, lines = search(again, tmp_path / "out")
    assert lines[0] == "40 simulations of an earlier search are known"
    whole, _ = search(PlantedTwin(), tmp_path / "other")
    assert resumed == whole
    assert again.played == sum(len(level.seeds) for one in whole.conditions for level in one.loads[0].levels) - 40


def test_a_torn_last_line_is_played_again_and_a_damaged_one_is_named(tmp_path):
    search(PlantedTwin(), tmp_path / "out")
    seeds = tmp_path / "out" / "seeds.jsonl"
    text = seeds.read_text()
    seeds.write_text(text[:-20])
    again = PlantedTwin()
    search(again, tmp_path / "out")
    assert (again.played, seeds.read_text()) == (1, text)
    seeds.write_text("{}\n" + text)
    with pytest.raises(RunFolderError, match="line 1"):
        search(PlantedTwin(), tmp_path / "out")


def test_a_folder_of_another_search_is_refused(tmp_path):
    search(PlantedTwin(), tmp_path / "out")
    with pytest.raises(UsageError, match="another scenario"):
        search(PlantedTwin(), tmp_path / "out", request(deadline="30s"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        search(PlantedTwin(), tmp_path / "other")


def test_thresholds_about_a_fault_are_left_out_where_it_does_not_act(tmp_path):
    about = ['p50(delivery_seconds) < 5s after "slow"', "recovery.slow.recovered_after_s < 5s"]
    figures, _ = search(PlantedTwin(), tmp_path / "out", request(goal=(GOAL, *about)))
    bears, recovers = figures.conditions
    assert (bears.goal, bears.left_out) == ([GOAL], about)
    assert (recovers.goal, recovers.left_out) == ([GOAL, *about], [])


def test_arithmetic_bounds_the_workers(tmp_path):
    figures, _ = search(PlantedTwin(), tmp_path / "out")
    one = figures.conditions[0].loads[0]
    assert (one.stations, one.pages, one.least_by_arithmetic) == (2, 6, 1)
    assert one.levels[0].binds == "workers"


def test_what_cannot_be_searched_is_refused_before_the_first_seed():
    with pytest.raises(UsageError, match="has no thresholds"):
        request(goal=()).check()
    with pytest.raises(ConfigurationError, match="--goal"):
        request(goal=("p95(delivery_secs) < 1s",)).check()
    base = request()
    idle = CapacityRequest(**{**vars(base), "scenario_at": lambda _: base.scenario})
    with pytest.raises(ConfigurationError, match="does not change the scenario"):
        idle.check()
    base.check()


def confirmed(twin, folder, real, asked=None):
    """A search whose brackets are held against runs; `real` says whether a run of a level meets the goal."""
    asked = asked or request()
    planner = CapacityPlanner(asked, folder, twin, log=lambda _: None)
    searches = planner.search()
    for found in searches:
        planner.firm_up(found)

    def measure(one, level):
        while True:
            yield PlayedSeed(
                seed=900, met=real(one, level), completed_ratio=1.0, complete_95_s=1.0, finish_s=2.0, amplification=1.0
            )

    confirmations = confirm_searches(searches, asked, measure, planner.known)
    return CapacityResults(asked, searches, planner.known, confirmations).figures()


def test_runs_that_agree_confirm_both_brackets(tmp_path):
    figures = confirmed(
        PlantedTwin(), tmp_path / "out", lambda one, level: level + 1 >= (3 if one.condition == "bears" else 5)
    )
    assert figures.exit_code == 0
    for condition, passes in zip(figures.conditions, ("3", "5"), strict=True):
        (demand,) = condition.loads
        assert demand.confirmation is not None
        assert (demand.confirmation.state, demand.found_passes, demand.found_fails) == (
            "confirmed",
            passes,
            str(int(passes) - 1),
        )
        levels = {level.value: level for level in demand.levels}
        assert [run.met for run in levels[passes].measured] == [True] * 3
        # played as often as the level above it, so that a few runs can contradict it
        assert levels[str(int(passes) - 1)].failed == RULE.fewest


def test_a_brownout_that_the_model_does_not_know_gives_no_number(tmp_path):
    figures = confirmed(PlantedTwin(), tmp_path / "out", lambda *_: False, request("server.workers=1..64"))
    assert figures.exit_code == 3
    assert "simulated and measured runs disagree" in figures.why_unknown


def test_runs_that_fail_up_to_the_strongest_level_are_99(tmp_path):
    figures = confirmed(PlantedTwin(extra=0), tmp_path / "out", lambda *_: False, request("server.workers=1..4"))
    assert figures.exit_code == 99
    assert figures.conditions[0].loads[0].is_beyond_range


def test_a_bracket_moved_by_the_runs_is_what_was_found(tmp_path):
    figures = confirmed(PlantedTwin(extra=0), tmp_path / "out", lambda _, level: level + 1 >= 4)
    demand = figures.conditions[0].loads[0]
    assert (demand.bracket.passes, demand.found_passes, demand.found_fails, figures.exit_code) == ("3", "4", "3", 0)


def test_only_the_scenarios_own_load_is_measured():
    assert CapacityRequest(**{**vars(request()), "loads": (0.5, 1.0, 2.0)}).main_load == 1.0
    assert CapacityRequest(**{**vars(request()), "loads": (0.25, 0.5)}).main_load == 0.5


def test_seeds_are_lines_of_json_with_the_place_where_they_were_played(tmp_path):
    search(PlantedTwin(), tmp_path / "out")
    first = json.loads((tmp_path / "out" / "seeds.jsonl").read_text().splitlines()[0])
    assert (first["condition"], first["load"], first["value"], first["played"]["seed"]) == ("bears", 1.0, "1", 1)
