"""The event that a worker sends if it can't prepare decides on the exit code."""

from __future__ import annotations

import errno
import os

import pytest

from harness.drive.control_channel import preparation_failure


@pytest.mark.parametrize(
    ("number", "port", "event", "words"),
    [
        (errno.EADDRINUSE, 9101, "refused", "--metrics-port: port 9101 is not available: Address already in use"),
        (errno.EACCES, 80, "refused", "--metrics-port: port 80 is not available: Permission denied"),
        (errno.EADDRINUSE, 0, "failed", "a worker could not prepare: "),
        (errno.ENOSPC, 9101, "starved", "this machine ran out of a resource that the run needs: No space left on device"),
        (errno.EMFILE, 0, "starved", "this machine ran out of a resource that the run needs: Too many open files"),
        (errno.EIO, 9101, "failed", "a worker could not prepare: "),
    ],
)
def test_a_taken_port_is_refused_a_lack_of_resources_is_starved_and_the_rest_is_a_failure(number, port, event, words):
    sent, reason = preparation_failure(OSError(number, os.strerror(number)), port)
    assert sent == event
    assert reason.startswith(words)
