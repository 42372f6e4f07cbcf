"""Standard output may go away; what the command does must not change."""

import os

import pytest

from reports.output_guard import OutputGuard


@pytest.fixture
def full():
    with open("/dev/full", "w", encoding="utf-8") as stream:
        yield stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # for the flush at its close


def test_a_full_disk_loses_the_output_and_nothing_else(full):
    guard = OutputGuard(full)
    assert guard.write("verdict\n") == 8
    guard.flush()
    guard.write("more\n")
    guard.flush()
    assert guard.failure is not None
    assert guard.failure.strerror == "No space left on device"


def test_a_reader_that_has_gone_is_no_failure():
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream:
        guard = OutputGuard(stream)
        guard.write("x\n")
        guard.flush()
        assert guard.failure is None
