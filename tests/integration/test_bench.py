"""The bench against its real server, with our real generator."""

import pytest

from harness.bench import truth
from harness.bench.peers import ours
from harness.bench.rounds import cores_here

SLACK_S = 0.1
"""What a busy machine may add; the delays are 20 ms at the median, the freeze is 2 s."""


@pytest.mark.slow
def test_ours_tells_what_a_server_that_knows_the_truth_knows_and_a_freeze_in_full(tmp_path):
    failures: list[str] = []
    cases = [case for case in truth.CASES if case.rate_per_s == 200]
    binaries = {"ours": str(ours.TOOL.find())}
    well, frozen = truth.measure(binaries, 1, 3.0, tmp_path, cores_here(), print, failures.append, cases)
    assert not failures
    assert well.requests == 600
    for name in ("p50", "p90", "p99"):
        assert well.told[name] == pytest.approx(well.true[name], abs=SLACK_S), name
        assert frozen.told[name] == pytest.approx(frozen.true[name], abs=SLACK_S), name
    assert well.told["max"] < 1.0
    assert 1.9 < frozen.told["max"] < 3.0
    assert frozen.true["p90"] > 0.3  # a first page a station, a third of all, falls due in the freeze as at any time
