"""What a process has used is the kernel's account of it."""

import os
import subprocess
import sys

import pytest

from harness.measure.procfs import cpu_seconds, peak_bytes, process_tree, resident_bytes

STAT = "7 (a (b) c) S " + " ".join(str(number) for number in range(4, 14)) + " 250 50 0 0 20 0 1 0"


def kernel(tmp_path, *schedstats):
    """A /proc with one process, 7, and a thread for each account."""
    (tmp_path / "7" / "task").mkdir(parents=True)
    (tmp_path / "7" / "stat").write_text(STAT)
    for number, text in enumerate(schedstats):
        (tmp_path / "7" / "task" / str(number)).mkdir()
        (tmp_path / "7" / "task" / str(number) / "schedstat").write_text(text)
    return tmp_path


def test_cpu_is_the_schedulers_count_of_all_threads(tmp_path):
    assert cpu_seconds(7, kernel(tmp_path, "1500000000 1 2", "250000000 1 2")) == 1.75


def test_a_kernel_without_the_schedulers_count_tells_hundredths(tmp_path):
    assert cpu_seconds(7, kernel(tmp_path)) == 300 / os.sysconf("SC_CLK_TCK")


def test_a_process_that_has_gone_is_told_apart_from_one_that_used_nothing(tmp_path):
    assert cpu_seconds(7, kernel(tmp_path, "0 0 0")) == 0
    for look in (cpu_seconds, resident_bytes, peak_bytes):
        with pytest.raises(OSError, match="No such"):
            look(2**22 + 1)  # above the greatest process id of Linux


def test_of_a_real_process_its_children_are_found_and_what_they_hold():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        found = process_tree(parent.pid)
        assert (len(found), found[0]) == (2, parent.pid)
        for pid in found:
            assert cpu_seconds(pid) > 0
            assert 1e6 < resident_bytes(pid) <= peak_bytes(pid)
        parent.communicate("\n")
