"""Why a process ended, as text and as an error; and the reserve that lets a run write down its own end."""

from __future__ import annotations

import gc
import signal
from pathlib import Path

import pytest

from harness.base.errors import ExitCode, ProcessFailedError, ProcessKilledError, UsageError
from harness.runner.exit_reason import RESERVED_DESCRIPTORS, ReservedResources, child_error, describe_exit, was_killed


@pytest.mark.parametrize(
    ("exit_code", "text", "error"),
    [
        (1, "server ended with exit code 1 after 2.0 s", ProcessFailedError),
        (
            0,
            "server exited with code 0 unexpectedly after 2.0 s, as a SIGTERM from outside makes it do",
            ProcessKilledError,
        ),
        (-signal.SIGSEGV, "server crashed with SIGSEGV after 2.0 s", ProcessFailedError),
        (-signal.SIGABRT, "server crashed with SIGABRT after 2.0 s", ProcessFailedError),
        (-signal.SIGTERM, "server was killed by SIGTERM after 2.0 s", ProcessKilledError),
        (
            -signal.SIGKILL,
            "server was killed by SIGKILL after 2.0 s: by a user or by the kernel's OOM killer",
            ProcessKilledError,
        ),
        (-40, "server was killed by signal 40 after 2.0 s", ProcessKilledError),
    ],
)
def test_a_signal_from_outside_is_not_a_bug_and_an_error_of_its_own_is(exit_code, text, error):
    assert describe_exit("server", exit_code, "after 2.0 s") == text
    assert type(child_error(exit_code, text)) is error
    assert child_error(exit_code, text).exit_code == (ExitCode.INVALID if was_killed(exit_code) else ExitCode.BUG)


def open_descriptors():
    gc.collect()  # else what other tests dropped is closed in between
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.heavy
def test_the_reserve_is_held_until_it_is_released_and_then_given_back_completely(tmp_path):
    before = open_descriptors()
    reserve = ReservedResources(tmp_path / "reserve", 100_000)
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 100_000
    assert open_descriptors() == before + RESERVED_DESCRIPTORS + 1
    reserve.release()
    reserve.release()
    assert (list(tmp_path.iterdir()), open_descriptors()) == ([], before)


@pytest.mark.heavy
def test_a_run_is_refused_if_there_is_not_even_room_for_its_results(tmp_path):
    before = open_descriptors()
    with pytest.raises(UsageError, match=r"cannot reserve the .* MB"):
        ReservedResources(tmp_path / "reserve", 1 << 62)
    assert (list(tmp_path.iterdir()), open_descriptors()) == ([], before)


def test_a_process_that_ends_on_a_full_disk_has_starved_and_otherwise_crashed_or_was_killed(tmp_path, monkeypatch):
    reserve = ReservedResources(tmp_path / "reserve", 4096)
    assert reserve.end_after("it died", 1.5, killed=False).how == "crashed"
    assert reserve.end_after("it died", 1.5, killed=True).how == "killed"
    monkeypatch.setattr("harness.runner.exit_reason._DISK_FULL_BELOW_BYTES", 1 << 62)
    ended = reserve.end_after("it died", 1.5, killed=True)
    reserve.release()
    assert (ended.how, ended.at_s) == ("starved", 1.5)
    assert "No space left on device" in ended.message
    assert "it died" in ended.message
