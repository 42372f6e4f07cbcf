"""Seeds played in virtual time."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.capacity.twin import Twin, play_seed
from tests.support.simulations import FREE, scenario

ALL, SOON = "stations.completed_by_deadline_ratio >= 100%", "max(completion_seconds) < 100ms"
FALSE_ACK = {"name": "liar", "kind": "false_ack", "start": "0s", "duration": "60s"}


def test_a_seed_that_meets_the_goal_says_when_the_stations_were_complete(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    played = play_seed(scenario().resolved(), 7, [ALL])
    assert (played.seed, played.met, played.breached, played.completed_ratio) == (7, True, [], 1.0)
    # the second arrives after a second, and has three pages of 100 ms
    assert played.finish_s == pytest.approx(1.3, abs=1e-6)
    assert played.complete_95_s == played.finish_s
    # DuckDB's own folder lasts as long as the process, and is made by the first test that needs it
    assert [path for path in Path(tmp_path).iterdir() if "duckdb" not in path.name] == []


def test_a_seed_that_does_not_names_every_breached_threshold():
    played = play_seed(scenario(deadline="1250ms").resolved(), 1, [ALL, SOON])
    assert (played.met, played.breached) == (False, [ALL, SOON])
    assert played.finish_s == pytest.approx(1.3, abs=1e-6)
    assert played.completed_ratio == 0.5


def test_stations_that_are_never_complete_finish_never():
    down = {"name": "gone", "kind": "down", "start": "500ms", "duration": "60s"}
    played = play_seed(scenario(faults=[down]).resolved(), 1, [ALL])
    assert (played.met, played.complete_95_s, played.finish_s, played.completed_ratio) == (False, None, None, 0.5)


def test_a_lost_page_fails_whatever_the_thresholds_say():
    played = play_seed(scenario(faults=[FALSE_ACK]).resolved(), 1, [ALL])
    assert (played.met, played.breached) == (False, ["safety"])


def test_a_server_that_acknowledges_nothing_does_not_meet_the_goal():
    down = {"name": "gone", "kind": "down", "start": "0s", "duration": "60s"}
    played = play_seed(scenario(faults=[down]).resolved(), 1, [ALL])
    assert (played.met, played.breached) == (False, [ALL])


@pytest.mark.parametrize(("shown_per_s", "met"), [(1.0, None), (100.0, True)])
def test_nobody_can_tell_beyond_the_load_that_a_model_was_fitted_to(shown_per_s, met):
    fitted = {**FREE, "fitted": {"runs": 2, "attempts_per_s": shown_per_s, "in_server": 4}}
    played = play_seed(scenario(simulate=fitted).resolved(), 1, [ALL])
    assert played.met is met
    assert ("fitted to at most 1 attempts/s" in played.why_unknown) == (met is None)


PLAY = """
import json, sys
from harness.capacity.twin import Twin
from harness.scenario.scenario import parse_resolved

if __name__ == "__main__":
    with Twin(2) as twin:
        played = twin.play(parse_resolved(json.loads(sys.argv[1])), [sys.argv[2]], [3, 1, 2])
        print(json.dumps([one.model_dump() for one in played]))
"""


@pytest.mark.heavy
def test_seeds_come_in_their_order_from_several_processes_and_are_those_of_one():
    command = [sys.executable, "-c", PLAY, json.dumps(scenario().resolved()), ALL]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [play_seed(scenario().resolved(), seed, [ALL]).model_dump() for seed in (3, 1, 2)]


KILLED = """
import json, os, signal, sys
from harness.base.errors import ProcessKilledError
from harness.capacity.twin import Twin
from harness.scenario.scenario import parse_resolved

if __name__ == "__main__":
    with Twin(1) as twin:
        played = twin.play(parse_resolved(json.loads(sys.argv[1])), [sys.argv[2]], range(1, 1000))
        next(played)
        for number in twin._pool._processes:
            os.kill(number, signal.SIGKILL)
        try:
            list(played)
        except ProcessKilledError as error:
            print(error)
"""


@pytest.mark.heavy
def test_a_process_that_is_killed_ends_the_search_with_what_to_do():
    command = [sys.executable, "-c", KILLED, json.dumps(scenario().resolved()), ALL]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)  # it would wait for ever
    assert done.stdout.startswith("a simulation was killed")


def test_a_twin_is_played_only_while_its_processes_run():
    with pytest.raises(RuntimeError, match="inside of"):
        next(Twin(1).play(scenario(), [ALL], [1]))
