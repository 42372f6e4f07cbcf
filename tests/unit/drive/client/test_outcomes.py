"""Every error and every status has its outcome."""

import errno

import pytest

from harness.base.model import Outcome
from harness.drive.client.outcomes import Stage, classify_error


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (errno.ECONNREFUSED, Outcome.REFUSED),
        (errno.ECONNRESET, Outcome.RESET),
        (errno.EPIPE, Outcome.RESET),
        (errno.ETIMEDOUT, Outcome.TIMEOUT_CONNECT),
        (errno.EADDRNOTAVAIL, Outcome.GENERATOR_ERROR),
        (errno.ENOBUFS, Outcome.GENERATOR_ERROR),
    ],
)
def test_every_error_of_the_kernel_has_its_outcome(number, outcome):
    assert classify_error(OSError(number, ""), Stage.CONNECT) is outcome


def test_an_error_that_nobody_thought_of_is_a_bug_and_is_raised():
    with pytest.raises(ZeroDivisionError):
        classify_error(ZeroDivisionError(), Stage.SEND)
    with pytest.raises(OSError, match="odd"):
        classify_error(OSError(errno.EISDIR, "odd"), Stage.SEND)
