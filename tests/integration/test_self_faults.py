"""Whatever happens to ourselves, at whatever moment: a clear word, never exit code 0, no orphan, and a folder to draw from."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode
from harness.judge.verdict import load_verdict
from harness.run_folder.layout import RunFolder
from tests.support import self_faults
from tests.support.real_runs import family_of, told, wait_for, was_late

USAGE, INVALID, FAILED = ExitCode.USAGE, ExitCode.INVALID, ExitCode.FAILED
EXPECTED: dict[Callable[[Path, str], self_faults.Told], tuple[int, str]] = {
    self_faults.mock_killed: (INVALID, r"server was killed by SIGKILL"),
    self_faults.worker_killed: (INVALID, r"worker.\d was killed by SIGKILL"),
    self_faults.master_killed: (INVALID, r"generator was killed by SIGKILL"),
    self_faults.harness_killed: (-9, r""),
    self_faults.disk_full: (INVALID, r"No space left on device|File too large"),
    self_faults.port_taken: (USAGE, r"--metrics-port.* is not available: Address already in use"),
    self_faults.clock_steps: (INVALID, r"the clock stepped by"),
    self_faults.descriptors_exhausted: (INVALID, r"Too many open files"),
    self_faults.target_vanishes: (
        FAILED,
        r"The target has not answered since t = \d+\.\d s; last unanswered attempt at \d+\.\d s \(.*refused \u00d7 \d+",
    ),
}
"""What is done -> the exit code, and the words that tell of it."""
REPETITIONS = 20
KILLS = (self_faults.mock_killed, self_faults.worker_killed, self_faults.master_killed, self_faults.harness_killed)
"""Their short form is in test_broken_runs.py."""


@pytest.mark.parametrize("fault", [fault for fault in EXPECTED if fault not in KILLS], ids=lambda fault: fault.__name__)
def test_a_fault_to_ourselves_is_told_and_leaves_no_orphan_and_a_folder_to_draw_from(fault, tmp_path):
    check(fault, fault(tmp_path / "there", fault.__name__), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("fault", EXPECTED, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("repetition", range(REPETITIONS))
def test_so_it_is_at_any_moment(fault, repetition, tmp_path):
    check(fault, fault(tmp_path / "there", f"{fault.__name__} {repetition}"), tmp_path)


def check(fault, end, cwd):
    expected, words = EXPECTED[fault]
    seen = f"{end.done}: exit code {end.code}\n{end.output}"
    late = expected == FAILED and end.code == INVALID and was_late(end.folder)  # a busy machine, rightly told
    assert end.code == expected or late, seen
    assert re.search(words, " ".join(end.output.split())), seen
    assert "Traceback" not in end.own_words, seen
    if fault is self_faults.worker_killed and RunFolder(end.folder).read_run().t0_epoch is not None:
        assert "it was responsible for 6 stations" in " ".join(end.output.split()), seen
    wait_for(lambda: not family_of(end.folder), timeout_s=30)
    if not (end.folder / "run.json").exists():
        assert end.code == USAGE, seen  # refused before anything began
        return
    code, output = told("report", end.folder, cwd=cwd)
    assert (code, (end.folder / "report" / "index.html").exists()) == (0, True), output
    assert load_verdict(RunFolder(end.folder)).exit_code != 0
    pages = load_summary(RunFolder(end.folder)).pages
    assert pages.planned == 36 == pages.delivered + pages.undelivered + pages.censored + pages.unattempted
