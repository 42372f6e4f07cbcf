"""Whole runs whose mock server loses its power: a careful one loses nothing, a careless one is caught by the audit."""

import random

import pytest

from harness.base.errors import ExitCode
from harness.judge.audit import load_audit
from harness.run_folder.layout import RunFolder
from tests.support.power import CARELESS, careless, needs_power_cut
from tests.support.real_runs import TINY, assert_passed_or_late, told

pytestmark = needs_power_cut


def evening(folder, *, start_ms=1500, torn=True):
    """A scenario whose server loses its power twice, amid the uploads and before its store is read; its path.

    A run ends once all is delivered: the deadline is far, because a busy machine needs seconds to start a server again.
    """
    power = f"""
[[faults]]
kind = "power_cut"
start = "{start_ms}ms"
duration = "1s"
restart_after = "100ms"
torn = {str(torn).lower()}
[audit]
power_cut = true
"""
    path = folder / "cut.toml"
    path.write_text(TINY.replace('deadline = "8s"', 'deadline = "60s"') + power, "utf-8")
    return path


def run(folder, scenario, *arguments, **more):
    """Runs it to its end: exit code, output, and what the audit found."""
    code, output = told("run", scenario, "--out", folder / "run", *arguments, cwd=folder, **more)
    audit = load_audit(RunFolder(folder / "run"))
    assert audit is not None, output
    return code, output, audit


def test_a_run_through_two_power_cuts_loses_nothing(tmp_path):
    code, output, audit = run(tmp_path, evening(tmp_path))
    folder = RunFolder(tmp_path / "run")
    assert_passed_or_late(code, folder.path, output)
    assert audit.safety is True
    stock = folder.read_run().stock
    assert stock is not None
    assert (stock.after_power_cut, stock.reason) == (True, "")
    assert (folder.logs / "server.log").read_text().count("power cut: lost") == 2


# Not torn: by chance a torn cut keeps all of the few names that were never synced, and nothing is lost.
@pytest.mark.parametrize("kind", CARELESS)
def test_the_audit_finds_what_a_server_lost_that_does_not_sync(tmp_path, kind):
    paths = careless(tmp_path / "careless", kind)
    code, output, audit = run(tmp_path, evening(tmp_path, torn=False), PYTHONPATH=paths)
    assert code == ExitCode.FAILED, output
    assert audit.counts.lost
    assert "lost" in output


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 51))
@pytest.mark.parametrize("kind", ["careful", *CARELESS])
def test_of_fifty_seeded_evenings_each_loses_nothing_or_is_caught(tmp_path, kind, seed):
    start_ms = random.Random(seed).randint(300, 1800)
    scenario = evening(tmp_path, start_ms=start_ms, torn=kind == "careful" and seed % 2 == 0)
    paths = {} if kind == "careful" else {"PYTHONPATH": careless(tmp_path / "careless", kind)}
    code, output, audit = run(tmp_path, scenario, "--seed", seed, "--no-report", **paths)
    if kind == "careful":
        assert (audit.safety, audit.counts.lost, audit.counts.ok) == (True, 0, 36), output
    else:
        assert (audit.safety, audit.counts.lost > 0, code) == (False, True, ExitCode.FAILED), output
