"""Who may see the live page, and press its button."""

import pytest

from harness.base.errors import UsageError
from harness.live.access import AccessRule, WebAddress, new_token, parse_web_address

RULE = AccessRule("secret", "127.0.0.1", 8080)
OWN = {"Host": "127.0.0.1:8080"}


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080"])
def test_whoever_has_the_address_may_read_the_page(host):
    assert RULE.why_refused("secret", "GET", {"Host": host}) == ""


@pytest.mark.parametrize(
    "host", ["", "evil.example:8080", "127.0.0.1:8081", "127.0.0.1", "a@127.0.0.1:8080", "127.0.0.1:x"]
)
def test_a_name_that_somebody_else_may_own_is_refused(host):
    assert "Host" in RULE.why_refused("secret", "GET", {"Host": host})


@pytest.mark.parametrize("token", ["", "Secret", "secret2", "sécret"])
def test_without_the_token_nothing_is_answered(token):
    assert "token" in RULE.why_refused(token, "GET", OWN)


def test_a_web_page_elsewhere_can_not_read_it():
    assert RULE.why_refused("secret", "GET", {**OWN, "Origin": "http://evil.example"})
    assert RULE.why_refused("secret", "GET", {**OWN, "Origin": "null"})
    assert RULE.why_refused("secret", "GET", {**OWN, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})
    frame = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    assert RULE.why_refused("secret", "GET", {**OWN, **frame})


def test_a_link_to_it_may_stand_anywhere():
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert RULE.why_refused("secret", "GET", {**OWN, **link}) == ""


def test_only_the_page_itself_can_press_the_button():
    own = {**OWN, "Origin": "http://127.0.0.1:8080"}
    assert RULE.why_refused("secret", "POST", own) == ""
    assert RULE.why_refused("secret", "POST", {**own, "Sec-Fetch-Site": "same-origin"}) == ""
    assert RULE.why_refused(
        "secret", "POST", OWN
    )  # a form of old browsers, or a program that does not say where it comes from
    assert RULE.why_refused("secret", "POST", {**OWN, "Origin": "http://127.0.0.1:9090"})
    assert RULE.why_refused("secret", "POST", {**own, "Sec-Fetch-Site": "cross-site"})
    assert RULE.why_refused("wrong", "POST", own)


def test_on_another_address_numbers_and_its_own_name_are_allowed_and_no_other_name():
    rule = AccessRule("secret", "0.0.0.0", 80)  # noqa: S104 - nothing listens
    assert rule.why_refused("secret", "GET", {"Host": "192.168.1.5"}) == ""
    assert rule.why_refused("secret", "GET", {"Host": "evil.example"})
    named = AccessRule("secret", "harness.example", 80)
    assert named.why_refused("secret", "GET", {"Host": "harness.example"}) == ""


@pytest.mark.parametrize("text", ["", "x", ":80", "127.0.0.1:", "127.0.0.1:65536", "host:-1", "1:٣"])
def test_an_address_that_is_none_is_refused_with_what_is_allowed(text):
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_web_address(text)


def test_loopback_is_the_default_and_anything_else_has_to_be_written():
    assert parse_web_address("9000") == WebAddress("127.0.0.1", 9000)
    assert parse_web_address("9000").is_local
    assert parse_web_address("localhost:0").is_local
    assert not parse_web_address("0.0.0.0:80").is_local


def test_tokens_can_not_be_guessed():
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) >= 22  # 128 bits
