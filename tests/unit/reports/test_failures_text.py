"""What failed at a server of one's own, as sentences."""

from types import SimpleNamespace
from typing import Any

import pytest

from harness.analysis.step_names import step_requests
from harness.analysis.summary import EndpointFailures, FailureCount
from harness.base.model import MalformedReason
from reports.failures_text import describe_endpoints, describe_failures
from reports.tables import failures_table
from tests.support import made_up_verdicts

UPLOAD = "PUT /photos/{station}"


def failure(outcome, status, attempts, step="upload", request=UPLOAD, reason="", stations=3):
    return FailureCount(
        outcome=outcome, status=status, reason=reason, step=step, request=request, attempts=attempts, stations=stations
    )


def summary_of(*failures, unusable=None, begun=8) -> Any:
    attempts = SimpleNamespace(failures=list(failures), unusable=unusable or {})
    return SimpleNamespace(attempts=attempts, stations=SimpleNamespace(begun=begun))


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (failure("rejected", 413, 42), "upload: PUT /photos/{station} answered 413 Content Too Large \u00d7 42"),
        (failure("rejected", 404, 8, "login", "POST /api/logn", stations=8), "login: POST /api/logn answered 404 Not Found to all 8 stations \u00d7 8"),
        (failure("timeout_connect", None, 1200, "", ""), "timed out connecting \u00d7 1,200"),
        (failure("malformed", 206, 7, reason=MalformedReason.STATUS), "upload: PUT /photos/{station} answered 206 Partial Content, which no key of [target.statuses] lists \u00d7 7"),
        (failure("reset", None, 3), "upload: connection reset \u00d7 3"),
    ],
)  # fmt: skip
def test_each_failure_is_named_with_its_request_its_status_and_how_often(found, line):
    lines = describe_failures(summary_of(found, failure("rejected", 400, 1)))
    assert lines[0] == line


def test_an_unusable_answer_is_told_by_what_was_wrong_with_it_and_not_twice():
    text = "login answered 200 without /access_token; its keys: data"
    found = failure("malformed", 200, 8, "login", "POST /login", MalformedReason.TOKEN)
    assert describe_failures(summary_of(found, unusable={text: 8})) == [f"{text} \u00d7 8"]


def test_many_kinds_are_counted_and_the_mocks_failures_are_left_to_its_faults():
    many = [failure("rejected", status, 1) for status in range(400, 420)]
    lines = describe_failures(summary_of(*many))
    assert (len(lines), lines[-1]) == (7, "and 14 other kinds of failures")
    assert describe_failures(summary_of(failure("unavailable", 503, 9, request=""))) == []


def test_the_table_of_failures_names_requests_only_where_they_are_known():
    told = failures_table(summary_of(failure("rejected", 413, 42)))
    assert (list(told.headers), told.rows[0][2].text) == (
        ["Failure", "Answer", "Request", "Attempts"],
        f"upload: {UPLOAD}",
    )
    assert list(failures_table(summary_of(failure("unavailable", 503, 9, request=""))).headers) == [
        "Failure",
        "Answer",
        "Attempts",
    ]


@pytest.mark.parametrize(
    ("scenario", "own", "requests"),
    [
        ({"target": {"method": "PUT", "path": "/x", "login": {"method": "POST", "path": "/l"}}}, False, {"upload": "PUT /x", "login": "POST /l"}),
        ({"target": {"path": None, "steps": [{"name": "a", "method": "GET", "path": "/a"}, {"name": "b", "method": "PUT", "path": None, "url": "{u}"}]}}, False, {"a": "GET /a", "b": "PUT {u}"}),
        ({}, True, {}),
    ],
)  # fmt: skip
def test_requests_are_named_as_the_scenario_has_them(scenario, own, requests):
    record: Any = SimpleNamespace(scenario=scenario, own_server=own, simulated=False)
    assert step_requests(record) == requests


@pytest.mark.parametrize(
    ("scrapes", "failed", "error", "line"),
    [
        (7, 7, "HTTP status 404", "http://h:9/metrics answered 404 Not Found, all 7 times; correct its port and path in [[target.metrics]], or remove the entry"),
        (7, 2, "HTTP status 503", "http://h:9/metrics answered 503 Service Unavailable; 2 of 7 scrapes failed, and its figures have gaps"),
        (7, 7, "ConnectionRefusedError: x", "http://h:9/metrics can't be scraped (ConnectionRefusedError: x), all 7 times; correct its port and path in [[target.metrics]], or remove the entry"),
        (3, 3, "HTTP status 499", "http://h:9/metrics answered 499, all 3 times; correct its port and path in [[target.metrics]], or remove the entry"),
    ],
)  # fmt: skip
def test_an_endpoint_that_cannot_be_scraped_is_named_with_what_it_answered_and_what_to_do(scrapes, failed, error, line):
    endpoint = EndpointFailures(name="app", url="http://h:9/metrics", scrapes=scrapes, failed=failed, error=error)
    assert describe_endpoints(made_up_verdicts.summary(endpoints=[endpoint])) == [f"metrics endpoint app: {line}"]
    assert describe_endpoints(made_up_verdicts.summary()) == []
