"""Stock Locust loads this machine only, whatever a name says."""

import pytest

from harness.base.errors import UsageError
from harness.target import loopback


def test_a_localhost_that_leads_elsewhere_is_refused(monkeypatch):
    assert str(loopback.parse_loopback_origin("--host", "http://localhost:8080")) == "http://localhost:8080"
    monkeypatch.setattr(loopback, "pinned", lambda _: "192.0.2.1")
    with pytest.raises(UsageError, match="only servers on this machine"):
        loopback.parse_loopback_origin("--host", "http://localhost:8080")
