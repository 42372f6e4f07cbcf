"""A worker's part of a consent, on a clock of our own and with a document of our own."""

import json
from datetime import UTC, datetime, timedelta

import gevent
import pytest

from harness.base.address import Origin
from harness.drive.client import consent_guard as guard_module
from harness.drive.client.consent_guard import ConsentGuard
from harness.target.consent import ConsentError, parse_consent
from harness.target.consent_reader import ConsentUnreadableError

TOKEN = "ltc1-0123456789abcdef0123"
ORIGIN = Origin("http", "upload.example", 80)


class Site:
    """What the target answers, and a clock that sleeping moves."""

    def __init__(self, rate):
        self.now, self.rate, self.error, self.reads = 0.0, rate, None, 0

    def read(self, _origin, _address, token, _context=None):
        self.reads += 1
        if self.error is not None:
            raise self.error
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        content = {"token": TOKEN, "contact": "t@example.org", "until": until, "max_requests_per_s": self.rate}
        return parse_consent(json.dumps(content).encode(), token, datetime.now(UTC))

    def sleep(self, seconds=0.0):
        self.now += seconds


@pytest.fixture
def site(monkeypatch):
    found = Site(rate=10)
    monkeypatch.setattr(guard_module, "read_consent", found.read)
    monkeypatch.setattr(gevent, "sleep", found.sleep)
    return found


def guard(site, workers=1, token=TOKEN):
    return ConsentGuard(ORIGIN, "10.0.0.1", token, workers, clock=lambda: site.now)


@pytest.mark.parametrize("error", [ConsentError("HTTP status 404"), ConsentUnreadableError("no answer")])
def test_a_worker_does_not_begin_without_having_read_the_consent_itself(site, error):
    site.error = error
    with pytest.raises(ConsentError):
        guard(site)
    site.error = None
    with pytest.raises(ConsentError, match="another token"):
        guard(site, token="ltc1-somebody-elses-token")
    with pytest.raises(ConsentError, match="less than one for each of 11 workers"):
        guard(site, workers=11)


def test_requests_beyond_the_share_wait_and_are_counted(site):
    half = guard(site, workers=2)
    moments = []
    for _ in range(12):
        site.error = None
        half._monitor.read(site.read(None, None, TOKEN), site.now)
        half.before_request()
        moments.append(site.now)
    assert moments == [0.0] * 5 + [1.0] * 5 + [2.0] * 2
    assert half.held_back == 2
    half.wait_for_rate()
    assert site.now == 2.0  # the rate has room: no wait
    assert half.held_back == 2


def test_nothing_is_sent_once_the_consent_has_ended(site):
    held = guard(site)
    held.before_request()
    held.check_redirect(307, "/the/same/place")
    held.before_request()
    held.check_redirect(307, "http://elsewhere.example/")
    assert "redirects elsewhere" in held.halted
    with pytest.raises(gevent.GreenletExit):
        held.before_request()


def test_a_consent_that_nobody_can_read_any_more_stops_a_request_that_waits_for_the_rate(site):
    site.rate = 1
    held = guard(site)
    held.before_request()
    site.now = 0.9
    held.before_request()  # waits until 1.0
    with pytest.raises(gevent.GreenletExit):  # would wait until 2.0, when it hasn't been read for 2 s
        held.before_request()
    assert "could not be read" in held.halted


def test_the_worker_is_stopped_once_when_the_document_is_removed(site):
    held, told = guard(site), []
    site.error = ConsentError("HTTP status 404")
    held._read()
    held._poll(lambda: told.append(held.halted))
    assert told == ["HTTP status 404"]
    assert site.reads == 2
