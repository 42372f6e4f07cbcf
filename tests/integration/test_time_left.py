"""An experiment of thirty cells says how long it will still take, and comes within a fifth of the truth."""

import re
import subprocess
import time

import pytest

from harness.base.errors import ExitCode
from tests.support.real_runs import HARNESS, TINY, environment

BASE = TINY.replace('"8s"', '"4s"').replace('timeout = "4s"', 'timeout = "2s"').replace('over = "2s"', 'over = "1s"')
THIRTY = """
name = "thirty"
base = "tiny.toml"
seeds = [1, 2, 3, 4, 5]
[[variants]]
name = "as it is"
[[variants]]
name = "slow"
set = { "server.workers" = 1, "server.service_time" = "120ms" }
[[variants]]
name = "one attempt"
set = { "client.retry.strategy" = "none" }
[[variants]]
name = "far too slow"
set = { "server.workers" = 1, "server.service_time" = "1s" }
[[variants]]
name = "few"
set = { "stations.count" = 4 }
[[variants]]
name = "later"
set = { "arrivals.over" = "3s" }
"""
SAID = re.compile(r"^cell (\d+) of 30: .*; (about|at most) (?:(\d+) min )?(\d+) s left$")


@pytest.mark.slow
def test_the_time_left_of_thirty_real_cells_is_within_a_fifth_of_the_truth_once_each_variant_has_run(tmp_path):
    """Cells that end early and cells that run to their deadline; on a machine whose other work changes half-way it can't hold."""
    (tmp_path / "tiny.toml").write_text(BASE, "utf-8")
    (tmp_path / "thirty.toml").write_text(THIRTY, "utf-8")
    said = []
    with subprocess.Popen(
        [*HARNESS, "experiment", "thirty.toml"], stdout=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path
    ) as process:
        for line in process.stdout or ():
            match = SAID.match(line.strip())
            if match:
                left_s = 60 * int(match[3] or 0) + int(match[4])
                said.append((time.monotonic(), int(match[1]), match[2], left_s))
            elif line.startswith("variant"):  # the table: all cells are over
                ended = time.monotonic()
    assert process.returncode in {ExitCode.PASSED, ExitCode.INVALID}
    assert [number for _, number, _, _ in said] == list(range(1, 31))
    assert said[0][2] == "at most"
    assert said[0][3] > ended - said[0][0]
    for moment, number, word, left_s in said[6:]:
        truth_s = ended - moment
        assert word == "about"
        assert abs(left_s - truth_s) <= max(0.2 * truth_s, 2.0), (number, left_s, truth_s)
