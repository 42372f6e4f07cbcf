"""The rules of consent, on clocks of our own."""

import json
import random
import threading
from datetime import UTC, datetime, timedelta

import pytest

from harness.base.address import Origin, cross_origin_redirect, is_loopback, parse_origin, resolve_address
from harness.base.errors import UsageError
from harness.plan import make_plan
from harness.scenario.loader import load_scenario
from harness.target import consent
from harness.target.consent import (
    ConsentError,
    ConsentMonitor,
    RateLimiter,
    check_covers,
    derive_token,
    parse_consent,
    rate_per_worker,
)
from harness.target.consent_reader import load_machine_secret, state_folder
from harness.target.external import ExternalTarget, admit_target, peak_requests_per_s, poll_consent

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TOKEN = "ltc1-0123456789abcdef0123"


def document(**more):
    content = {"token": TOKEN, "contact": "t@example.org", "until": "2026-11-23T13:00:00Z", "max_requests_per_s": 50}
    return json.dumps({**content, **more}).encode()


def test_a_token_is_stable_for_a_machine_and_an_origin_and_for_no_other():
    origin = Origin("http", "upload.example", 80)
    assert derive_token(b"a" * 32, origin) == derive_token(b"a" * 32, origin)
    assert parse_origin("http://UPLOAD.example/") == origin
    others = [
        derive_token(b"b" * 32, origin),
        derive_token(b"a" * 32, Origin("https", "upload.example", 80)),
        derive_token(b"a" * 32, Origin("http", "upload.example", 81)),
        derive_token(b"a" * 32, Origin("http", "upload.example.org", 80)),
    ]  # fmt: skip
    assert len({derive_token(b"a" * 32, origin), *others}) == 5


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (document(token="ltc1-somebody-elses"), "another token"),
        (document(until="2026-11-23T11:59:59Z"), "ended at"),
        (document(until="0001-01-01T00:00:00+10:00"), "ended at"),
        (document(until="2026-11-23T13:00:00"), "until"),
        (document(until="2027-11-23T13:00:00Z"), "days ahead"),
        (document(contact=""), "contact"),
        (document(contact="a\x1b[2J@b"), "contact"),
        (document(max_requests_per_s=0), "max_requests_per_s"),
        (document(max_requests_per_s=float("nan")), "max_requests_per_s"),
        (document(max_requests_per_s="fifty"), "max_requests_per_s"),
        (document(max_requests_per_s="10"), "max_requests_per_s: Input should be a valid number"),
        (document(max_requests_per_s=True), "max_requests_per_s: Input should be a valid number"),
        (document(max_requests_per_s=float("inf")), "max_requests_per_s: Input should be a finite number"),
        (document(max_requests_per_s=-10), "max_requests_per_s: Input should be greater than or equal to 1"),
        (b"[" * 4_000, "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"null", "the document"),
        (b" " * 5_000, "larger than 4,096 bytes"),
    ],
)
def test_what_is_not_exactly_a_consent_to_us_now_is_none(body, why):
    assert parse_consent(document(), TOKEN, NOW).max_requests_per_s == 50
    with pytest.raises(ConsentError, match=why):
        parse_consent(body, TOKEN, NOW)


def test_a_consent_must_cover_the_whole_run_its_peak_and_its_workers():
    given = parse_consent(document(), TOKEN, NOW)
    check_covers(given, NOW, longest_s=3600, peak_per_s=50, workers=50)
    for more, why in [
        ({"longest_s": 3601}, "may take"),
        ({"peak_per_s": 51}, "busiest second"),
        ({"workers": 51}, "shared"),
    ]:
        with pytest.raises(ConsentError, match=why):
            check_covers(given, NOW, **{"longest_s": 60, "peak_per_s": 1, "workers": 1, **more})


def test_a_consent_stands_while_it_is_read_and_ends_in_time_when_it_can_not_be():
    given = parse_consent(document(), TOKEN, NOW)
    watch = ConsentMonitor(given, 0.0)
    for began in range(1, 100):
        watch.read(given, float(began))
        assert watch.halted(began + 1.5) == ""
    watch.unreadable("connection refused")
    assert watch.halted(99 + consent.MAX_UNREAD_S - 0.01) == ""
    assert "connection refused" in watch.halted(99 + consent.MAX_UNREAD_S + 0.01)
    watch.read(given, 200.0)
    assert watch.halted(200.0)  # what has ended doesn't begin again


def test_a_withdrawal_or_a_lower_rate_ends_it_at_once_and_the_first_reason_is_told():
    given = parse_consent(document(), TOKEN, NOW)
    watch = ConsentMonitor(given, 0.0)
    watch.withdraw("HTTP status 404")
    watch.withdraw("later")
    assert watch.halted(0.1) == "HTTP status 404"
    watch = ConsentMonitor(given, 0.0)
    watch.read(parse_consent(document(max_requests_per_s=49), TOKEN, NOW), 0.5)
    assert "lowered to 49" in watch.halted(0.6)


@pytest.mark.heavy
@pytest.mark.parametrize("most", [1, 7, 50])
def test_no_second_wherever_it_begins_has_more_than_the_limit_and_nobody_waits_needlessly(most):
    rng, limit, now = random.Random(most), RateLimiter(most), 0.0
    let: list[float] = []
    for _ in range(1_000):
        now = max(now, let[-1] if let else 0.0) + rng.expovariate(1.5 * most) * rng.choice([0, 1, 4])
        free = len([moment for moment in let if moment > now - 1.0]) < most
        let.append(limit.take(now))
        assert (let[-1] == now) or not free
    for number, start in enumerate(let):
        assert sum(start <= moment < start + 1.0 for moment in let[number:]) <= most


def test_shares_of_all_workers_never_add_up_to_more_than_the_rate():
    for rate in (1, 9.9, 60, 1000):
        for workers in (1, 2, 7, 64):
            assert rate_per_worker(rate, workers) * workers <= rate


def test_a_machines_secret_is_made_once_for_its_user_alone(tmp_path):
    folder = tmp_path / "state"
    secret = load_machine_secret(folder)
    assert load_machine_secret(folder) == secret
    assert (folder / "consent-secret").stat().st_mode & 0o777 == 0o600
    (folder / "consent-secret").chmod(0o644)
    with pytest.raises(UsageError, match="can be read by others"):
        load_machine_secret(folder)
    (folder / "consent-secret").chmod(0o600)
    (folder / "consent-secret").write_bytes(b"short")
    with pytest.raises(UsageError, match="32 bytes"):
        load_machine_secret(folder)
    assert state_folder({"XDG_STATE_HOME": "/x"}).parts[-2:] == ("x", "upload-harness")
    assert state_folder({"XDG_STATE_HOME": "relative"}).is_absolute()


@pytest.mark.parametrize(("address", "is_ours"), [("127.0.0.1", True), ("127.255.0.9", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("169.254.169.254", False), ("::ffff:127.0.0.1", False), ("localhost", False), ("127.1", False)])  # fmt: skip  # noqa: S104
def test_only_loopback_addresses_are_loopback(address, is_ours):
    assert is_loopback(address) is is_ours


@pytest.mark.parametrize(
    ("status", "location", "elsewhere"),
    [
        (201, "http://b/", ""),
        (302, "", ""),
        (302, "/x", ""),
        (302, "http://a:80/x", ""),
        (302, "http://A/x", ""),
        (302, "https://a/x", "https://a/x"),
        (302, "http://a:81/", "http://a:81/"),
        (307, "//b/x", "http://b/x"),
        (302, "http://a@b/", "http://***@b/"),
        (302, "http://[", "http://["),
    ],
)
def test_a_redirect_to_anything_but_the_origin_leads_elsewhere(status, location, elsewhere):
    assert cross_origin_redirect(Origin("http", "a", 80), status, location) == elsewhere


@pytest.mark.heavy
@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://127.0.0.1", "http://u:p@127.0.0.1", "http://127.0.0.1/path", "http://127.0.0.1?x", "http://127.0.0.1:99999", "http://", "http://127.0.0.1#x", "file:///etc/passwd"])  # fmt: skip
def test_a_target_is_scheme_host_and_port_and_nothing_else(url):
    plan = make_plan(load_scenario("smoke", ["photos.size=2KB", "photos.bank=1"]))
    with pytest.raises(UsageError, match="--target"):
        admit_target(url, load_scenario("smoke"), plan, 1, {}, allow_command=False)


def test_a_name_is_looked_up_once_and_loopback_goes_first(monkeypatch):
    asked = []

    def lookup(host, port, **_):
        asked.append(host)
        return [(None, None, None, "", ("10.0.0.9", port)), (None, None, None, "", ("127.0.0.1", port))]

    monkeypatch.setattr("socket.getaddrinfo", lookup)
    assert resolve_address(Origin("http", "here.example", 80)) == "127.0.0.1"
    assert asked == ["here.example"]


def test_the_harness_itself_hears_of_a_withdrawal_within_its_own_readings(monkeypatch):
    given = parse_consent(
        document(until=(datetime.now(UTC) + timedelta(hours=1)).isoformat()), TOKEN, datetime.now(UTC)
    )
    told, heard = [], threading.Event()

    def read(*_):
        message = "HTTP status 404"
        raise ConsentError(message)

    monkeypatch.setattr("harness.target.external.read_consent", read)

    def listen(why):
        told.append(why)
        heard.set()

    thread = poll_consent(ExternalTarget(Origin("http", "a", 80), "10.0.0.1", None, {}, TOKEN, given))
    thread.listener = listen
    with thread:
        assert heard.wait(5)
    assert told == ["HTTP status 404"]


def test_readers_count_against_the_consented_rate():
    without, reading = (
        load_scenario("smoke", ["photos.bank=1", *more]) for more in ([], ["readers.rate=40/s", 'readers.paths=["/a"]'])
    )
    plan = make_plan(without)
    assert peak_requests_per_s(reading, plan) == peak_requests_per_s(without, plan) + 40


def test_readers_of_an_external_target_need_paths():
    reading = load_scenario("smoke", ["readers.rate=40/s"])
    with pytest.raises(UsageError, match=r"say what to read with readers\.paths, or leave \[readers\] out"):
        admit_target("http://127.0.0.1:9", reading, make_plan(reading), 1, {}, allow_command=False)
