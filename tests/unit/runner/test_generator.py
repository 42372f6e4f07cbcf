"""What a generator did is read from its journal."""

import numpy as np
import pytest

from harness.base.model import OUTCOMES, Outcome
from harness.run_folder.journal import RECORD
from harness.runner.generator import GeneratorResult, synthetic_scenario


def test_attempts_that_ended_count_and_their_lateness_is_sent_less_due():
    ends = np.zeros(3, dtype=RECORD)
    ends["outcome"] = [OUTCOMES.index(one) for one in (Outcome.ACCEPTED, Outcome.RESET, Outcome.WITHHELD)]
    ends["due_s"] = [0.0, 1.0, 1.0]
    ends["sent_s"] = [0.001, 1.002, np.nan]
    ends["done_s"] = [0.5, 2.0, np.nan]
    found = GeneratorResult(ends, cpu_s=0.5)
    assert (found.attempts, found.accepted, found.over_s) == (3, 1, 2.0)
    assert found.outcomes == {"accepted": 1, "reset": 1, "withheld": 1}
    assert found.lateness_s.tolist() == pytest.approx([0.001, 0.002])
    assert (found.per_s, found.per_cpu_s) == (1.5, 6.0)


def test_a_generator_that_did_nothing_has_no_rate():
    found = GeneratorResult(np.zeros(0, dtype=RECORD), cpu_s=0.0)
    assert (found.attempts, found.accepted, found.outcomes, found.per_s, len(found.lateness_s)) == (0, 0, {}, 0.0, 0)


def test_made_up_stations_are_as_many_as_wanted(tmp_path):
    scenario = synthetic_scenario(
        tmp_path, 1_234, {"name": "many", "arrivals": {"kind": "constant", "over": "1s"}, "deadline": "2s"}
    )
    assert scenario.name == "many"
    shares = [int(line.split(",")[2]) for line in (tmp_path / "stations.csv").read_text().splitlines()]
    assert (max(shares), sum(shares)) == (500, 1_234)
