"""How a process ended, in words."""

from __future__ import annotations

import signal

import pytest

from harness.base.errors import ExitCode, ProcessFailedError, ProcessKilledError
from harness.runner.exit_reason import child_error, describe_exit, was_killed


@pytest.mark.parametrize(
    ("exit_code", "told", "error"),
    [
        (1, "server ended with exit code 1 after 2.0 s", ProcessFailedError),
        (
            0,
            "server ended after 2.0 s, told by nobody here (exit code 0, as a SIGTERM from outside makes it)",
            ProcessKilledError,
        ),
        (-signal.SIGSEGV, "server died of SIGSEGV after 2.0 s", ProcessFailedError),
        (-signal.SIGABRT, "server died of SIGABRT after 2.0 s", ProcessFailedError),
        (-signal.SIGTERM, "server was killed by SIGTERM after 2.0 s", ProcessKilledError),
        (
            -signal.SIGKILL,
            "server was killed by SIGKILL after 2.0 s: by hand, or by the kernel for want of memory",
            ProcessKilledError,
        ),
        (-40, "server was killed by signal 40 after 2.0 s", ProcessKilledError),
    ],
)
def test_a_signal_from_outside_is_no_bug_of_ours_and_an_error_of_its_own_is(exit_code, told, error):
    assert describe_exit("server", exit_code, "after 2.0 s") == told
    assert type(child_error(exit_code, told)) is error
    assert child_error(exit_code, told).exit_code == (ExitCode.INVALID if was_killed(exit_code) else ExitCode.BUG)
