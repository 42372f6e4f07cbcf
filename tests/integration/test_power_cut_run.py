"""Whole runs whose mock server loses its power: a careful one loses nothing, a careless one is caught by the audit."""

import pytest

from harness.base.errors import ExitCode
from harness.judge.audit import load_audit
from harness.run_folder.layout import RunFolder
from tests.support.power import CARELESS, needs_power_cut
from tests.support.real_runs import TINY, assert_passed_or_late, harness, told

pytestmark = needs_power_cut

POWER = """
[[faults]]
kind = "power_cut"
start = "1500ms"
duration = "1s"
restart_after = "100ms"
torn = true
[audit]
power_cut = true
"""


@pytest.fixture
def scenario(tmp_path):
    path = tmp_path / "cut.toml"
    path.write_text(TINY + POWER, "utf-8")
    return path


def test_a_run_through_two_power_cuts_loses_nothing(scenario, tmp_path):
    code, output = told("run", scenario, "--out", tmp_path / "run", cwd=tmp_path)
    folder = RunFolder(tmp_path / "run")
    assert_passed_or_late(code, folder.path, output)
    audit = load_audit(folder)
    assert audit is not None
    assert audit.safety is True
    stock = folder.read_run().stock
    assert stock is not None
    assert (stock.after_power_cut, stock.reason) == (True, "")
    assert (folder.logs / "server.log").read_text().count("power cut: lost") == 2


def test_the_audit_finds_what_a_server_lost_that_does_not_sync(scenario, tmp_path):
    (tmp_path / "careless").mkdir()
    (tmp_path / "careless" / "sitecustomize.py").write_text(CARELESS)
    code, output = harness("run", scenario, "--out", tmp_path / "run", cwd=tmp_path, PYTHONPATH=tmp_path / "careless")
    assert code == ExitCode.FAILED, output
    audit = load_audit(RunFolder(tmp_path / "run"))
    assert audit is not None
    assert audit.counts.lost
    assert "lost" in output
