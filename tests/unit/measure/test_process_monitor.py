"""What is seen of a process from outside, and what is kept of it."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.measure import process_monitor
from harness.measure.process_monitor import HARNESS, ProcessMonitor, ProcessSample

BUSY = "import time, sys; held = bytearray(60_000_000); until = time.process_time() + 0.3\nwhile time.process_time() < until: pass\nprint('spent', flush=True); sys.stdin.read()"


def look(name: str, pid: int, t_s: float) -> Any:
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


def test_a_process_is_seen_with_its_cpu_its_memory_and_its_descriptors(busy):
    assert busy.stdout.readline() == b"spent\n"
    sample = look("worker 0", busy.pid, 1.5)
    assert (sample.t_s, sample.process, sample.pid) == (1.5, "worker 0", busy.pid)
    assert 0.25 < sample.cpu_s < 5.0
    assert 60_000_000 < sample.resident_bytes < 200_000_000
    assert sample.descriptors == len(list(Path(f"/proc/{busy.pid}/fd").iterdir()))


def test_what_a_process_has_started_counts_with_it(busy):
    assert busy.stdout.readline() == b"spent\n"
    whole, alone = look("server", os.getpid(), 0.0), look(HARNESS, os.getpid(), 0.0)
    assert whole.resident_bytes > alone.resident_bytes + 50_000_000


def test_a_process_that_has_gone_is_passed_over():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert look("server", process.pid, 0.0) is None


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
    assert watch.unwritten == "what the processes use could not be written: No space left on device"


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
    assert watch.unwritten == "what the processes use could not be looked at: Too many open files"
    assert [one.process for one in process_monitor.read_samples(tmp_path / "processes.csv")] == [HARNESS], (
        "the last look saw it again"
    )
