"""The program of a generator process: it patches the standard library as Locust would, and looks at the packages once."""

import json
import subprocess
import sys

import pytest

LOOKS = """
import json
from importlib import metadata
looks, look_up, distributions = [0], metadata.entry_points, metadata.distributions
def counting(*arguments, **options):
    looks[0] += 1
    return distributions(*arguments, **options)
metadata.distributions = counting
"""
REPORT = """
import locust
from gevent import monkey
patched = {module: sorted(names) for module, names in monkey.saved.items()}
print(json.dumps([looks[0], metadata.entry_points is look_up, patched]))
"""


def start(program: str) -> tuple[int, bool, dict[str, list[str]]]:
    """How often the installed packages were looked at, whether looking works as before, and all that was patched."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKS + program + REPORT], capture_output=True, text=True, check=True, timeout=60
    )
    return tuple(json.loads(done.stdout))


@pytest.mark.heavy
def test_it_patches_what_locust_patches_and_looks_at_the_packages_once():
    looks_of_locust, _, patched_by_locust = start("")
    looks, looking_works, patched = start("from harness.drive.__main__ import patch_once\npatch_once()\n")
    assert patched == patched_by_locust
    assert "socket" in patched
    assert looking_works
    assert looks == 1 < looks_of_locust
