"""An own client's attempts: what its sender sends and counts, and that outcomes and deadlines stay the harness's.

The clients here are typed: mypy checks them against the public interface.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from harness.base.model import MalformedReason
from harness.drive.client.outcomes import AttemptTimeoutError, MalformedResponseError, OwnClientError
from harness.drive.client.own_client import OwnClient
from harness.drive.client.protocols.own import OwnContext, OwnUpload
from harness.drive.client.response import HttpResponse
from harness.protocol import Delivery, Outcome, Photo, Response, ResponseError, Sender
from tests.support.fake_connection import CONTENT, CutError, FakeConnection, Request, answer, photo


def make(attempt: Callable[[Photo, Sender], Outcome]) -> OwnClient:
    class Client:
        def __init__(self, photo: Photo) -> None:
            self.photo = photo

        def attempt(self, sender: Sender) -> Outcome:
            return attempt(self.photo, sender)

    client: Callable[[Photo], Delivery] = Client
    return OwnClient("my_upload.py:Delivery", client, __file__, {"TARGET_KEY": "hush"})


def context(client: OwnClient) -> OwnContext:
    return OwnContext("mock:1", "", 3, 10.0, idempotency_key=True, pin="001001", client=client)


def play(
    attempt: Callable[[Photo, Sender], Outcome], server: Callable[[Request], HttpResponse] = lambda _: answer(201)
) -> tuple[Any, FakeConnection, OwnUpload, OwnClient]:  # fmt: skip
    connection, client = FakeConnection(server), make(attempt)
    upload = OwnUpload(photo(), client)
    connection_: Any = connection
    try:
        result: Any = upload.attempt(connection_, context(client))
    except BaseException as error:  # noqa: BLE001 - what was raised is what is looked at
        result = error
    return result, connection, upload, client


def put(photo: Photo, sender: Sender) -> Outcome:
    return sender.request("PUT", "/p", body=photo).outcome


def test_the_outcome_and_the_latest_response_are_the_attempts():
    def attempt(photo: Photo, sender: Sender) -> Outcome:
        sender.request("POST", "/begin", headers={"X-Size": str(photo.size_bytes)}, body=b"{}")
        return sender.request("PUT", "/p", body=photo).outcome

    statuses = iter([200, 202])
    result, connection, _, client = play(attempt, lambda _: answer(next(statuses)))
    assert (result.outcome, result.response.status, client.bug) == (Outcome.PENDING, 202, "")
    begin, upload = connection.requests
    assert (begin.method, begin.path, begin.body) == ("POST", "/begin", b"{}")
    assert begin.headers == {"host": "mock:1", "x-size": str(len(CONTENT)), "content-length": "2"}
    assert (upload.body, upload.headers["content-length"]) == (CONTENT, str(len(CONTENT)))


def test_a_body_is_made_of_bytes_photos_and_slices_without_copying():
    def attempt(photo: Photo, sender: Sender) -> Outcome:
        return sender.request("POST", "/p", body=[b"<<", photo.slice(0, 10), b"|", photo.slice(900), b">>"]).outcome

    _, connection, upload, _ = play(attempt)
    assert connection.requests[0].body == b"<<" + CONTENT[:10] + b"|" + CONTENT[900:] + b">>"
    assert upload.high_water.reached == len(CONTENT)


def test_bytes_that_are_sent_again_are_counted_also_when_a_request_breaks_off():
    def cut_at(taken: int) -> Callable[[Request], HttpResponse]:
        def server(_request: Request) -> HttpResponse:
            raise CutError(taken)

        return server

    def attempt(photo: Photo, sender: Sender) -> Outcome:
        return sender.request("POST", "/p", body=[b"12345", photo.slice(100)]).outcome

    raised, _, upload, client = play(attempt, cut_at(205))
    assert isinstance(raised, CutError)
    assert (upload.high_water.reached, upload.high_water.resent_bytes) == (300, 0)
    again: Any = FakeConnection(lambda _: answer(201))
    upload.attempt(again, context(client))
    assert (upload.high_water.reached, upload.high_water.resent_bytes) == (len(CONTENT), 200)


def test_one_object_serves_all_attempts_at_a_page_and_the_station_has_a_memory():
    numbers: list[int] = []

    class Client:
        def __init__(self, photo: Photo) -> None:
            self.size_bytes = photo.size_bytes
            self.calls = 0

        def attempt(self, sender: Sender) -> Outcome:
            self.calls += 1
            sender.memory["pages"] = sender.memory.get("pages", 0) + 1
            numbers.extend((self.calls, sender.memory["pages"]))
            assert (sender.pin, sender.attempt, dict(sender.variables)) == ("001001", 3, {"TARGET_KEY": "hush"})
            return sender.request("PUT", "/p").outcome

    client = OwnClient("x", Client, __file__, {"TARGET_KEY": "hush"})
    station = context(client)
    connection: Any = FakeConnection(lambda _: answer(201))
    first, second = OwnUpload(photo(), client), OwnUpload(photo(), client)
    for upload in (first, first, second):
        upload.attempt(connection, station)
    assert numbers == [1, 1, 2, 2, 1, 3]
    assert client.bug == ""


def swallow(photo: Photo, sender: Sender) -> Outcome:
    try:
        return put(photo, sender)
    except BaseException:  # noqa: BLE001 - as somebody may write it
        return Outcome.ACCEPTED


def insist(photo: Photo, sender: Sender) -> Outcome:
    for _ in range(3):
        try:
            return put(photo, sender)
        except Exception as error:  # noqa: BLE001
            last = error
    raise RuntimeError from last


@pytest.mark.parametrize("attempt", [put, swallow, insist])
@pytest.mark.parametrize(
    "error", [ConnectionResetError(errno.ECONNRESET, "reset"), AttemptTimeoutError(), gevent.GreenletExit()]
)
def test_a_failed_request_ends_the_attempt_whatever_the_client_does_with_the_error(attempt, error):
    def server(_request: Request) -> HttpResponse:
        raise error

    raised, connection, _, client = play(attempt, server)
    assert raised is error
    assert (len(connection.requests), client.bug) == (1, "")


def test_a_client_that_returns_after_its_time_is_up_has_timed_out():
    connection: Any = FakeConnection(lambda _: answer(201), remaining_s=0.0)
    with pytest.raises(AttemptTimeoutError):
        OwnUpload(photo(), make(put)).attempt(connection, context(make(put)))


def test_a_response_that_the_client_can_t_use_is_malformed_and_no_bug():
    raised, _, _, client = play(lambda _, sender: sender.request("GET", "/p").json()["x"])
    assert isinstance(raised, MalformedResponseError)
    assert (raised.reason, client.bug) == (MalformedReason.OWN_CLIENT, "")


def test_a_url_on_the_target_is_followed_and_one_elsewhere_never():
    result, connection, _, _ = play(lambda _, sender: sender.request("PUT", "http://mock:1/x?y=1").outcome)
    assert (result.outcome, connection.requests[0].path) == (Outcome.ACCEPTED, "/x?y=1")
    for url in ("http://elsewhere:1/x", "//elsewhere/x"):
        raised, connection, _, client = play(lambda _, sender, url=url: sender.request("PUT", url).outcome)  # type: ignore[misc]
        assert raised.reason is MalformedReason.LOCATION
        assert (connection.requests, client.bug) == ([], "")


def fail(_photo: Photo, _sender: Sender) -> Outcome:
    found: dict[str, Outcome] = {}
    return found["url"]


def quit_(_photo: Photo, _sender: Sender) -> Outcome:
    raise SystemExit(3)


def returning(value: Any) -> Callable[[Photo, Sender], Outcome]:
    def attempt(photo: Photo, sender: Sender) -> Outcome:
        put(photo, sender)
        return value  # type: ignore[no-any-return]

    return attempt


def sending(**keywords: Any) -> Callable[[Photo, Sender], Outcome]:
    return lambda _, sender: sender.request(**{"method": "PUT", "path": "/p", **keywords}).outcome


@pytest.mark.parametrize(
    ("attempt", "bug"),
    [
        (fail, "KeyError: 'url'"),
        (quit_, "SystemExit: 3"),
        (lambda _photo, _sender: open("/no/such/file"), "FileNotFoundError"),  # noqa: SIM115
        (returning(None), "TypeError: attempt returned None, not one of Outcome's ACCEPTED, MALFORMED, PENDING"),
        (returning("accepted"), "TypeError: attempt returned 'accepted'"),
        (returning(Outcome.RESET), "TypeError: attempt returned <Outcome.RESET: 'reset'>"),
        (lambda _photo, _sender: Outcome.ACCEPTED, "attempt returned accepted without having received a response"),
        (sending(path="no-slash"), "ValueError: path 'no-slash' should begin with"),
        (sending(path="/a b"), "ValueError: path '/a b'"),
        (sending(method="GET /"), "ValueError: method 'GET /' is not a word"),
        (sending(headers={"Host": "evil"}), "ValueError: header 'Host' can't be set"),
        (sending(headers={"X": "a\r\nY: b"}), "ValueError: the value of X has characters"),
        (sending(body="text"), "TypeError: a body consists of bytes, photos and slices of photos, not of str"),
        (sending(body=[b"a", 3]), "not of int"),
    ],
)
def test_everything_else_is_a_bug_of_the_client_and_reported_as_such(attempt, bug):
    raised, _, _, client = play(attempt)
    assert isinstance(raised, OwnClientError)
    assert bug in client.bug


def test_a_client_that_can_t_be_made_is_a_bug_of_its_attempt():
    def make_none(_photo: Photo) -> Delivery:
        raise ZeroDivisionError

    connection: Any = FakeConnection(lambda _: answer(201))
    client = OwnClient("x", make_none, __file__)
    with pytest.raises(OwnClientError):
        OwnUpload(photo(), client).attempt(connection, context(client))
    assert client.bug.startswith("ZeroDivisionError")


def test_a_response_has_its_headers_by_lower_case_name_and_its_statuss_meaning():
    found = Response(204, {"etag": '"x"'}, b'{"a": [1]}')
    assert (found.json(), found.headers["etag"], found.outcome) == ({"a": [1]}, '"x"', Outcome.MALFORMED)
    with pytest.raises(ResponseError, match=r"status 502 with a body that is not JSON: b'<html>'"):
        Response(502, {}, b"<html>").json()


def test_a_slice_is_cut_to_the_photo_and_can_t_begin_before_it():
    picture = photo()
    assert b"".join(bytes(part) for part in picture.slice(1000, 5000).buffers) == CONTENT[1000:]
    assert (picture.slice(5000).size_bytes, picture.read()) == (0, CONTENT)
    with pytest.raises(ValueError, match="begins and ends at 0 or later"):
        picture.slice(-1)
