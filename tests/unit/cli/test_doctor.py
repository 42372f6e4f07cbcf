"""`harness doctor` prints what was found and ends with the examination's code."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from harness.cli import doctor as command
from harness.cli.app import app
from tests.unit.doctor.test_checks import CORES, LIMITS, SEEN


@pytest.fixture
def doctor(monkeypatch):
    def run(seen, *options):
        monkeypatch.setattr(command, "measure_machine", lambda _folder, _report_progress: seen)
        done = CliRunner().invoke(app, ["doctor", *options], env={"COLUMNS": "80"})
        return done.exit_code, done.stdout

    return run


def test_a_fit_machine_is_told_what_a_run_may_claim(doctor):
    code, printed = doctor(SEEN)
    assert code == 0
    assert "What to change" not in printed
    assert "Fit to measure. A run on this machine may claim" in printed
    assert "up to 8,000 small attempts/s per worker" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_an_unfit_machine_is_told_what_to_change_in_a_line_to_be_copied(doctor):
    code, printed = doctor(replace(SEEN, cores=replace(CORES, busy_ratio=0.9), limits=replace(LIMITS, tw_reuse=0)))
    assert code == 3
    assert "Unfit to measure: load now." in printed
    assert "may claim nothing" in " ".join(printed.split())
    assert "  TIME_WAIT: sysctl -w net.ipv4.tcp_tw_reuse=2 net.ipv4.tcp_timestamps=1\n" in printed
    assert "small attempts/s per worker" not in printed


def test_json_says_all_of_it_and_nothing_else(doctor):
    code, printed = doctor(SEEN, "--json")
    found = json.loads(printed)
    assert (code, found["fit"], found["claim"]["small_per_s"]) == (0, True, 8_000)
    assert {"name", "measured", "needed", "verdict", "change", "figures"} == set(found["findings"][0])
