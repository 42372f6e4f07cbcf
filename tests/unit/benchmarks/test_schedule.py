"""Every tool that is there has its turn, and one that fails takes nothing from the others."""

from dataclasses import dataclass
from itertools import product

import pytest

from benchmarks.peers.round import CoreSplit
from benchmarks.peers.schedule import TOOLS, TrialSchedule
from benchmarks.peers.tools.tool import UnreadableOutputError
from harness.base.errors import ProcessFailedError


@dataclass(frozen=True)
class Load:
    name: str
    rate_per_s: float | None = None

    @property
    def title(self):
        return f"the load {self.name}"


LOADS = [Load("1,000/s"), Load("slow")]
NAMES = ["ours", "k6", "wrk", "hey", "stock Locust", "bare gevent socket"]


def turns(tmp_path, failures, binaries=NAMES, rounds=2):
    cores = CoreSplit(frozenset(), frozenset())
    return TrialSchedule(dict.fromkeys(binaries, "binary"), rounds, 1.0, tmp_path, cores, print, failures.append)


def always(*_):
    return True


def test_tools_take_turns_within_a_load_and_loads_within_a_round(tmp_path):
    taken = turns(tmp_path, []).run_trials(LOADS, always, lambda turn, load: (turn.number, load.name, turn.tool.name))
    assert [seen for _, seen in taken] == list(product([0, 1], ["1,000/s", "slow"], [tool.name for tool in TOOLS]))


def test_each_turn_has_a_folder_of_its_own(tmp_path):
    folders = [seen for _, seen in turns(tmp_path, []).run_trials(LOADS, always, lambda turn, _: turn.folder)]
    assert len({*folders}) == 2 * 2 * len(NAMES)
    assert all(folder.is_dir() and folder.parent == tmp_path for folder in folders)


def test_a_tool_that_is_not_there_or_not_to_play_has_no_turn(tmp_path):
    some = turns(tmp_path, [], binaries=["ours", "hey"])
    taken = some.run_trials(
        LOADS, lambda tool, _, number: tool.name == "ours" or number < 1, lambda turn, _: turn.tool.name
    )
    assert [name for _, name in taken] == ["ours", "hey"] * 2 + ["ours"] * 2


@pytest.mark.parametrize("error", [ProcessFailedError("gone"), UnreadableOutputError("gone"), ValueError("gone")])
def test_a_turn_that_fails_is_missing_and_told(error, tmp_path):
    failures: list[str] = []

    def one(turn, load):
        if (turn.number, load.name, turn.tool.name) == (1, "slow", "wrk"):
            raise error
        return turn.tool.name

    taken = list(turns(tmp_path, failures).run_trials(LOADS, always, one))
    assert len(taken) == 2 * 2 * len(NAMES) - 1
    assert failures == ["the load slow, round 2: wrk: gone"]
