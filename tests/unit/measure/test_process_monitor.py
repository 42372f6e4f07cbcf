"""The machine during a run: what processes use, by the kernel's account, and steps of the clock."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.measure import process_monitor
from harness.measure.process_monitor import (
    HARNESS,
    ClockMonitor,
    ProcessMonitor,
    ProcessSample,
    cpu_seconds,
    peak_bytes,
    process_tree,
    resident_bytes,
)

BUSY = "import time, sys; held = bytearray(60_000_000); until = time.process_time() + 0.3\nwhile time.process_time() < until: pass\nprint('spent', flush=True); sys.stdin.read()"


def sample_now(name: str, pid: int, t_s: float) -> Any:
    return process_monitor.sample_process(name, pid, t_s)


def until(condition):
    """Wait for what the watching thread does."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def busy():
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield process
    process.communicate(timeout=60)


def test_a_process_is_measured_with_its_cpu_its_memory_and_its_descriptors(busy):
    assert busy.stdout.readline() == b"spent\n"
    sample = sample_now("worker 0", busy.pid, 1.5)
    assert (sample.t_s, sample.process, sample.pid) == (1.5, "worker 0", busy.pid)
    assert 0.25 < sample.cpu_s < 5.0
    assert 60_000_000 < sample.resident_bytes < 200_000_000
    assert sample.descriptors == len(list(Path(f"/proc/{busy.pid}/fd").iterdir()))


@pytest.mark.heavy
def test_what_a_process_has_started_counts_with_it(busy):
    assert busy.stdout.readline() == b"spent\n"
    whole, alone = sample_now("server", os.getpid(), 0.0), sample_now(HARNESS, os.getpid(), 0.0)
    assert whole.resident_bytes > alone.resident_bytes + 50_000_000


def test_a_process_that_has_gone_is_passed_over():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert sample_now("server", process.pid, 0.0) is None


def test_samples_come_back_as_they_were_written_and_a_torn_tail_is_dropped(tmp_path):
    path = tmp_path / "processes.csv"
    began = time.monotonic()
    watch = ProcessMonitor(path, {HARNESS: os.getpid(), "gone": 2**22 + 1}, lambda: time.monotonic() - began)
    watch.start()
    until(lambda: process_monitor.read_samples(path))
    watch.stop()
    kept: list[Any] = process_monitor.read_samples(path)
    first, last = kept[0], kept[-1]
    assert {one.process for one in kept} == {HARNESS}
    assert isinstance(first, ProcessSample)
    assert first.lag_s is not None
    assert 0.0 <= first.lag_s < 5.0
    assert last.lag_s is None  # the last look was not due: it is no measure of lag
    with path.open("a") as file:
        file.write("3.000,harness,1")
    assert process_monitor.read_samples(path) == kept


def test_a_full_disk_is_told_and_stops_nothing():
    watch = ProcessMonitor(Path("/dev/full"), {HARNESS: os.getpid()}, lambda: 0.0)
    watch.start()
    watch.stop()
    assert watch.unwritten == "resource usage of the processes could not be written: No space left on device"


def test_a_machine_without_descriptors_is_told_and_ends_nothing(tmp_path, monkeypatch):
    def refuse(_pid):
        raise OSError(errno.EMFILE, "Too many open files")

    began = time.monotonic()
    watch = ProcessMonitor(tmp_path / "processes.csv", {HARNESS: os.getpid()}, lambda: time.monotonic() - began)
    with monkeypatch.context() as patch:
        patch.setattr("harness.measure.process_monitor.psutil.Process", refuse)
        watch.start()
        until(lambda: watch.unwritten)
        assert watch._thread.is_alive()
    watch.stop()
    assert watch.unwritten == "resource usage of the processes could not be measured: Too many open files"
    assert [one.process for one in process_monitor.read_samples(tmp_path / "processes.csv")] == [HARNESS], (
        "the last look saw it again"
    )


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


def test_a_kernel_without_the_schedulers_count_gives_hundredths(tmp_path):
    assert cpu_seconds(7, kernel(tmp_path)) == 300 / os.sysconf("SC_CLK_TCK")


def test_a_process_that_has_gone_is_told_apart_from_one_that_used_nothing(tmp_path):
    assert cpu_seconds(7, kernel(tmp_path, "0 0 0")) == 0
    for measure in (cpu_seconds, resident_bytes, peak_bytes):
        with pytest.raises(OSError, match="No such"):
            measure(2**22 + 1)  # above the greatest process id of Linux


@pytest.mark.heavy
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


def test_the_clock_monitor_finds_a_step_and_its_sign():
    wall, monotonic = [1000.0], [0.0]
    monitor = ClockMonitor(lambda: wall[0], lambda: monotonic[0])
    for step in (0.0, 0.0, -3.0, 0.0):
        wall[0] += 1.0 + step
        monotonic[0] += 1.0
        monitor.check()
    assert monitor.step_s == pytest.approx(-3.0)


def test_a_slow_drift_is_not_a_step():
    wall, monotonic = [1000.0], [0.0]
    monitor = ClockMonitor(lambda: wall[0], lambda: monotonic[0])
    for _ in range(1000):
        wall[0] += 1.0005  # ntpd slews by at most 500 ppm
        monotonic[0] += 1.0
        monitor.check()
    assert abs(monitor.step_s) < 0.001
