"""`harness doctor` on this very machine, with the real generator and a real sink."""

import json
import subprocess
import sys

import pytest

from harness.doctor.generator import LOADS

pytestmark = pytest.mark.slow


def test_the_examination_measures_everything_and_leaves_nothing_behind(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "harness", "doctor", "--json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, 3}, done.stderr  # the machine of the test may be busy
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["fit"] == (done.returncode == 0)
    figures = {one["name"]: one["figures"] for one in found["findings"]}
    assert len(LOADS) == 3
    assert figures["small attempts"]["reached_per_s"] > 100
    assert figures["photos"]["reached_bytes_per_s"] > 1e6
    assert figures["lateness"]["p99_s"] > 0
    assert figures["loopback"]["bytes_per_s"] > 1e7
    assert list(tmp_path.iterdir()) == []
