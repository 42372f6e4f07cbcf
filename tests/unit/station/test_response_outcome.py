"""Every status that an upload may be answered with has one outcome."""

import pytest

from harness.station.response_outcome import classify_status


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "replayed"), (201, "accepted"), (202, "pending"), (204, "malformed"), (301, "malformed"), (400, "rejected"),
        (401, "rejected"), (409, "rejected"), (422, "unreadable"), (429, "throttled"), (500, "server_error"),
        (502, "server_error"), (503, "unavailable"),
    ],
)  # fmt: skip
def test_every_status_has_its_outcome(status, outcome):
    assert classify_status(status) == outcome
