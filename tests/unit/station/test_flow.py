"""The state machine of an upload of several steps: what comes next after each answer, over all attempts."""

import pytest

from harness.base.model import MalformedReason, Outcome
from harness.scenario.flow import Success, parse_source
from harness.station.flow import Flow, PageFlow, StationFlow, StepRule
from tests.support.fake_connection import answer

STATUSES = {200: Outcome.ACCEPTED, 202: Outcome.PENDING, 204: Outcome.REPLAYED, 401: Outcome.REJECTED, 404: Outcome.REJECTED, 408: Outcome.REJECTED, 429: Outcome.THROTTLED, 500: Outcome.SERVER_ERROR, 503: Outcome.UNAVAILABLE}  # fmt: skip


def rule(name, success=None, again=(), **take):
    takes = tuple((key, parse_source(source)) for key, source in take.items())
    return StepRule(name, STATUSES, takes, success, again_after=frozenset(again))


def flow_of(*rules, once=0, **options):
    return Flow(rules, once, **options)


def play(page, *statuses):
    """One attempt with these answers: (names of the steps sent, outcome)."""
    page.begin_attempt()
    sent, outcome = [], None
    for status in statuses:
        sent.append(page.next().step)
        outcome = page.answered(status if not isinstance(status, int) else answer(status, b'{"id": 1}'))
        if outcome is not None:
            break
    return sent, outcome


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [((200, 200, 200), "accepted"), ((204, 202, 204), "replayed"), ((200, 200, 202), "pending"), ((200, 404), "rejected"), ((302,), "malformed")],
)  # fmt: skip
def test_the_last_step_decides_and_an_earlier_one_only_ends_the_attempt_by_failing(statuses, outcome):
    page = PageFlow(flow_of(rule("a"), rule("b"), rule("c")), StationFlow(), 10)
    assert play(page, *statuses) == (list(range(len(statuses))), Outcome(outcome))


@pytest.mark.parametrize(
    ("failure", "goes_on"),
    [(500, True), (503, True), (429, True), (408, True), (404, False), (302, False), (401, True)],
)
def test_a_resumable_flow_goes_on_after_what_may_pass_and_begins_anew_after_a_refusal(failure, goes_on):
    login = rule("login", again=[401])
    station = StationFlow()
    page = PageFlow(flow_of(login, rule("a"), rule("b"), once=1, resumable=True), station, 10)
    assert play(page, 200, 200, failure)[0] == [0, 1, 2]
    again = [0] if failure == 401 else []
    assert play(page, 200, 200, 200)[0] == [*again, *([2] if goes_on else [1, 2])]


def test_an_attempt_without_an_answer_is_resumed_with_its_values_or_begun_anew():
    for resumable in (True, False):
        page = PageFlow(flow_of(rule("a", id="/id"), rule("b"), resumable=resumable), StationFlow(), 10)
        page.begin_attempt()
        page.next()
        page.answered(answer(200, b'{"id": 7}'))
        page.next()  # never answered
        page.begin_attempt()
        assert (page.next().step, page.values) == ((1, {"id": "7"}) if resumable else (0, {}))


def test_a_stations_own_steps_are_made_before_its_first_page_and_again_when_a_later_status_asks():
    station, flow = StationFlow(), flow_of(rule("login", again=[401], token="/id"), rule("up"), once=1)
    first, second = PageFlow(flow, station, 10), PageFlow(flow, station, 10)
    assert play(first, 200, 200) == ([0, 1], Outcome.ACCEPTED)
    assert play(second, 401) == ([1], Outcome.REJECTED)
    assert play(second, answer(200, b'{"id": 2}'), 200) == ([0, 1], Outcome.ACCEPTED)
    assert station.values == {"token": "2"}


def test_a_login_that_is_refused_with_401_is_asked_again_by_the_next_attempt_only():
    page = PageFlow(flow_of(rule("login", again=[401]), rule("up"), once=1), StationFlow(), 10)
    assert play(page, 401, 401) == ([0], Outcome.REJECTED)


@pytest.mark.parametrize(
    ("success", "body", "holds"),
    [
        ({"pointer": "/ok", "equals": True}, b'{"ok": true}', True),
        ({"pointer": "/ok", "equals": True}, b'{"ok": 1}', False),
        ({"pointer": "/ok", "equals": 1}, b'{"ok": true}', False),
        ({"pointer": "/ok", "equals": 1}, b'{"ok": 1.0}', True),
        ({"pointer": "/ok", "equals": "yes"}, b'{"ok": "yes"}', True),
        ({"pointer": "/ok", "equals": True}, b"not json", False),
        ({"pointer": "/a/1/b", "exists": True}, b'{"a": [0, {"b": false}]}', True),
        ({"pointer": "/error", "exists": False}, b'{"error": null}', True),
        ({"pointer": "/error", "exists": False}, b'{"error": "full"}', False),
        ({"pointer": "/state", "matches": "^(stored|done)$"}, b'{"state": "done"}', True),
        ({"pointer": "/state", "matches": "done"}, b'{"state": ["done"]}', False),
        ({"matches": "<ok/>"}, b"<r><ok/></r>", True),
        ({"matches": "<ok/>"}, b"\xff\xfe", False),
        ({"pointer": "/a~1b", "equals": "x"}, b'{"a/b": "x"}', True),
    ],
)
def test_a_success_that_the_body_does_not_confirm_is_none(success, body, holds):
    page = PageFlow(flow_of(rule("up", Success.model_validate(success))), StationFlow(), 10)
    outcome = play(page, answer(200, body))[1]
    assert outcome is (Outcome.ACCEPTED if holds else Outcome.REJECTED)
    assert page.reason is (MalformedReason.NONE if holds else MalformedReason.SUCCESS)


def test_what_a_body_without_success_means_is_the_scenarios_choice():
    success = Success.model_validate({"pointer": "/ok", "equals": True, "otherwise": "unavailable"})
    page = PageFlow(flow_of(rule("up", success)), StationFlow(), 10)
    assert play(page, answer(200, b'{"ok": false, "why": "secret"}'))[1] is Outcome.UNAVAILABLE
    assert page.detail == "up answered 200, and /ok is not true; its keys: ok, why"


@pytest.mark.parametrize(
    ("source", "given", "said"),
    [
        ("/access_token", answer(200, b'{"data": {}}'), "login answered 200 without /access_token; its keys: data"),
        ("/t", answer(200, b"<html>"), "login answered 200 without /t; its body (6 bytes) is not JSON"),
        ("/t", answer(200, b'{"t": ["sesame"]}'), "login answered 200 with an unusable value at /t; its keys: t"),
        ("/0", answer(200, b"[]"), "login answered 200 without /0; its body is a JSON array"),
        ("header:X-T", answer(200), "login answered 200 without header x-t"),
        ("cookie:sid", answer(200), "login answered 200 without cookie sid"),
        ("regex:id=(.*);", answer(200, b"{}"), "login answered 200 without regex id=(.*);; its keys: none"),
        ("/t", answer(200, b'{"a\\u001b[2J": 1}'), "login answered 200 without /t; its keys: a?[2J"),
        ("/t", answer(200, b"{" + b",".join(b'"k%d": 1' % n for n in range(20)) + b"}"), "login answered 200 without /t; its keys: k0, k1, k2, k3, k4, k5, k6, k7 and 12 more"),
    ],
)  # fmt: skip
def test_an_answer_without_the_value_is_named_with_what_it_has_instead_and_never_with_a_value(source, given, said):
    page = PageFlow(flow_of(rule("login", t=source), rule("up"), once=1), StationFlow(), 10)
    assert play(page, given)[1] is Outcome.MALFORMED
    assert (page.detail, page.reason) == (said, MalformedReason.VALUE)


@pytest.mark.parametrize(
    ("source", "text"), [("/n", "7"), ("/f", "1.5"), ("/b", "true"), ("/s", "x"), ("/deep/0", "y"), ("header:x-a", "2")]
)
def test_single_values_are_taken_as_text(source, text):
    page = PageFlow(flow_of(rule("a", v=source), rule("b")), StationFlow(), 10)
    body = b'{"n": 7, "f": 1.5, "b": true, "s": "x", "deep": ["y"]}'
    play(page, answer(200, body, x_a=["1", "2"]))
    assert page.values == {"v": text}


@pytest.mark.parametrize(("size", "ranges"), [(10, [(0, 4), (4, 8), (8, 10)]), (8, [(0, 4), (4, 8)]), (3, [(0, 3)])])
def test_a_photo_in_parts_has_every_byte_once(size, ranges):
    part = StepRule("part", STATUSES, part_bytes=4)
    page = PageFlow(flow_of(part, rule("done")), StationFlow(), size)
    page.begin_attempt()
    found = []
    while (request := page.next()).step == 0:
        found.append((request.start, request.end))
        assert (request.part, page.answered(answer(200))) == (len(found), None)
    assert found == ranges
    assert [values["part"] for values in page.part_values] == [str(number + 1) for number in range(len(ranges))]
