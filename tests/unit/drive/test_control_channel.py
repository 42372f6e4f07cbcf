"""What a worker that can't prepare tells its parent: whose matter it is decides about the exit code."""

from __future__ import annotations

import errno
import os

import pytest

from harness.drive.control_channel import preparation_failure


@pytest.mark.parametrize(
    ("number", "port", "event", "words"),
    [
        (errno.EADDRINUSE, 9101, "refused", "--metrics-port: port 9101 can't be had: Address already in use"),
        (errno.EACCES, 80, "refused", "--metrics-port: port 80 can't be had: Permission denied"),
        (errno.EADDRINUSE, 0, "failed", "a worker could not prepare: "),
        (errno.ENOSPC, 9101, "starved", "this machine ran out of what the run needs: No space left on device"),
        (errno.EMFILE, 0, "starved", "this machine ran out of what the run needs: Too many open files"),
        (errno.EIO, 9101, "failed", "a worker could not prepare: "),
    ],
)
def test_a_taken_port_is_the_users_a_lack_is_nobodys_and_the_rest_is_ours(number, port, event, words):
    told, reason = preparation_failure(OSError(number, os.strerror(number)), port)
    assert told == event
    assert reason.startswith(words)
