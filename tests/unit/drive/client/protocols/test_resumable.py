"""The client of resumable uploads over HTTP: what it sends, what it makes of interim responses, and the draft's own examples."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.base.model import MalformedReason, Outcome
from harness.drive.client.outcomes import MalformedResponseError
from harness.drive.client.protocols.resumable import ResumableHttpUpload
from harness.scenario.client import ResumableOptions
from tests.support.fake_connection import CONTENT, CONTEXT, STATION, CutError, FakeConnection, answer, photo

SIZE = len(CONTENT)
PATH = f"/v1/stations/{STATION}/forms/ppwp/pages/2"
VERSION = {"upload_draft_interop_version": "8"}


@dataclass
class Server:
    """A server of the draft in a few lines; `trouble` answers (or raises) instead of it, as long as it has something."""

    trouble: list[Any] = field(default_factory=list)
    held: bytes = b""
    is_stored: bool = False

    def __call__(self, asked):
        if self.trouble and (said := self.trouble.pop(0)) is not None:
            return said(self, asked) if callable(said) else said
        if asked.method == "HEAD":
            return answer(204, upload_offset=str(len(self.held)), upload_complete=f"?{int(self.is_stored)}")
        if asked.method == "PUT":
            self.held = b""
            asked.interim(104, location="/uploads/abc", upload_limit="max-age=60", **VERSION)
        else:
            assert (asked.method, asked.path) == ("PATCH", "/uploads/abc")
            assert asked.headers["upload-offset"] == str(len(self.held)), "at the right byte"
            assert asked.headers["content-type"] == "application/partial-upload"
        self.held += asked.body
        if asked.headers["upload-complete"] == "?0":
            place = {"location": "http://mock:1/uploads/abc"} if asked.method == "PUT" else {}
            return answer(201 if place else 204, b"", upload_complete="?0", **place)
        self.is_stored = True
        return answer(201, upload_complete="?1")


def cut_after(kept, **interim):
    """The connection breaks when the server has so much of the body, and has sent this interim response."""

    def said(server, asked):
        if interim:
            asked.interim(104, **interim)
        server.held += asked.body[:kept]
        raise CutError(kept)

    return said


def attempt(server, upload=None, **keys):
    """One attempt: result, connection, upload."""
    upload = upload or ResumableHttpUpload(photo(reading='{"a":1}'), ResumableOptions.model_validate(keys))
    connection: Any = FakeConnection(server)
    return upload.attempt(connection, CONTEXT), connection, upload


def broken(server, **keys):
    upload = ResumableHttpUpload(photo(), ResumableOptions.model_validate(keys))
    connection: Any = FakeConnection(server)
    with pytest.raises(CutError):
        upload.attempt(connection, CONTEXT)
    return upload


def test_a_page_is_put_as_ever_with_the_fields_that_let_it_be_resumed():
    server = Server()
    result, connection, _ = attempt(server)
    assert (result.outcome, result.response.status, server.held) == (Outcome.ACCEPTED, 201, CONTENT)
    (put,) = connection.requests
    assert (put.method, put.path, put.body) == ("PUT", PATH, CONTENT)
    assert put.headers["upload-draft-interop-version"] == "8"
    assert (put.headers["upload-complete"], put.headers["upload-length"]) == ("?1", str(SIZE))
    assert put.headers["content-type"] == "image/jpeg"
    assert put.headers["reading"] == '{"a":1}'
    assert put.headers["repr-digest"].startswith("sha-256=:")
    assert put.headers["idempotency-key"].startswith(f'"{STATION}/ppwp/2/')


def test_in_parts_the_rest_is_appended_to_the_upload():
    server = Server()
    result, connection, _ = attempt(server, chunk_size="1KB")
    assert (result.outcome, server.held) == (Outcome.ACCEPTED, CONTENT)
    assert [(one.method, one.headers["upload-complete"], len(one.body)) for one in connection.requests] == [
        ("PUT", "?0", 1000), ("PATCH", "?1", 24),
    ]  # fmt: skip
    assert "repr-digest" not in connection.requests[1].headers, "it is of the whole, not of a part"


def test_a_careful_creation_is_empty():
    _, connection, _ = attempt(Server(), creation="careful")
    assert [(one.method, len(one.body)) for one in connection.requests] == [("PUT", 0), ("PATCH", SIZE)]


def test_a_creation_that_breaks_off_is_resumed_where_an_interim_response_said():
    server = Server([cut_after(300, location="http://mock:1/uploads/abc", **VERSION)])
    upload = broken(server)
    result, connection, _ = attempt(server, upload)
    assert (result.outcome, server.held) == (Outcome.ACCEPTED, CONTENT)
    assert [(one.method, one.path, len(one.body)) for one in connection.requests] == [
        ("HEAD", "/uploads/abc", 0), ("PATCH", "/uploads/abc", SIZE - 300),
    ]  # fmt: skip
    assert upload.high_water.resent_bytes == 0


@pytest.mark.parametrize(
    "interim",
    [
        {},
        {"location": "/uploads/abc"},
        {"location": "/uploads/abc", "upload_draft_interop_version": "6"},
        {"location": "http://elsewhere/uploads/abc", **VERSION},
        {"upload_offset": "300", **VERSION},
    ],
    ids=["none", "no version", "another version", "another host", "no place"],
)
def test_without_a_place_of_this_draft_a_broken_creation_begins_again(interim):
    server = Server([cut_after(300, **interim)])
    upload = broken(server)
    result, connection, _ = attempt(server, upload)
    assert result.outcome is Outcome.ACCEPTED
    assert [one.method for one in connection.requests] == ["PUT"]
    assert upload.high_water.resent_bytes == 300


def test_other_interim_responses_mean_nothing():
    def said(server, asked):
        asked.interim(103, location="/uploads/abc", **VERSION)
        return cut_after(0)(server, asked)

    server = Server([said])
    _, connection, _ = attempt(server, broken(server))
    assert connection.requests[0].method == "PUT"


def test_an_upload_that_is_whole_but_was_refused_is_completed_without_its_bytes():
    def overloaded(server, asked):
        asked.interim(104, location="/uploads/abc", **VERSION)
        server.held = asked.body
        return answer(503, upload_complete="?0", retry_after="3")

    server = Server([overloaded])
    result, _, upload = attempt(server)
    assert (result.outcome, result.response.status) == (Outcome.UNAVAILABLE, 503)
    result, connection, _ = attempt(server, upload)
    assert result.outcome is Outcome.ACCEPTED
    assert [(one.method, len(one.body)) for one in connection.requests] == [("HEAD", 0), ("PATCH", 0)]


def test_what_is_too_large_for_the_server_is_cancelled_and_its_refusal_is_what_counts():
    def created(_server, _asked):
        return answer(201, location="/uploads/abc", upload_complete="?0", upload_limit="max-size=10")

    result, connection, _ = attempt(Server([created, answer(204)]), chunk_size="1KB")
    assert (result.outcome, result.response.status) == (Outcome.REJECTED, 201)
    assert [(one.method, one.path) for one in connection.requests] == [("PUT", PATH), ("DELETE", "/uploads/abc")]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ([answer(201, upload_complete="?0", location="http://elsewhere/x")], MalformedReason.LOCATION),
        ([None, answer(500), answer(204, upload_complete="?0")], MalformedReason.OFFSET),
        ([None, answer(500), answer(204, upload_complete="?0", upload_offset="1025")], MalformedReason.OFFSET),
        ([None, answer(500), answer(204, upload_complete="?0", upload_offset="-1")], MalformedReason.OFFSET),
    ],
)
def test_a_place_or_an_offset_that_is_not_valid_is_malformed(trouble, reason):
    server = Server(trouble)
    upload = ResumableHttpUpload(photo(), ResumableOptions.model_validate({"chunk_size": "1KB"}))
    connection: Any = FakeConnection(server)
    if len(trouble) > 1:
        upload.attempt(connection, CONTEXT)
    with pytest.raises(MalformedResponseError) as caught:
        upload.attempt(connection, CONTEXT)
    assert caught.value.reason is reason


def test_two_places_for_one_upload_are_one_too_many():
    def two(_server, asked):
        asked.interim(104, location="/uploads/abc", **VERSION)
        return answer(201, upload_complete="?0", location="/uploads/other")

    with pytest.raises(MalformedResponseError, match="/uploads/other, and was /uploads/abc"):
        attempt(Server([two]), chunk_size="1KB")


def scripted(*script):
    """A server that answers request after request with what the draft shows: interim responses, then the final one."""
    pending = list(script)

    def server(asked):
        *interim, final = pending.pop(0)
        for headers in interim:
            asked.interim(104, **headers)
        return final

    return server


EXAMPLE_A = (
    {"location": "http://mock:1/upload/b530ce8ff", "upload_limit": "max-size=1234567890", **VERSION},
    {"upload_offset": "234", **VERSION},
    answer(200, b'{"attachmentId": "b530ce8ff"}', location="http://mock:1/upload/b530ce8ff", upload_complete="?1",
           upload_limit="max-size=1234567890"),
)  # fmt: skip
EXAMPLE_B = (
    {"location": "http://mock:1/upload/3fd4994ad", **VERSION},
    answer(201, location="http://mock:1/upload/3fd4994ad", upload_complete="?0", upload_limit="max-size=1234567890"),
)
EXAMPLE_C = ({"location": "http://mock:1/upload/0587fa44b", **VERSION}, answer(500))
EXAMPLE_D = ({"location": "http://mock:1/upload/6723cdf37", **VERSION}, answer(400, upload_complete="?1"))
HEAD = (
    answer(204, upload_complete="?0", upload_offset="250", upload_length=str(SIZE), upload_limit="max-age=3600",
           cache_control="no-store"),
)  # fmt: skip
APPENDED = ({"upload_offset": "700", **VERSION}, answer(204, upload_complete="?0"))
COMPLETED = (answer(200, b'{"metadata": {}}', upload_complete="?1"),)
MISMATCH = (
    answer(409, b'{"expected-offset": 125, "provided-offset": 250}', upload_offset="125", upload_complete="?0"),
)


def test_the_drafts_example_of_a_creation_with_all_bytes():
    result, connection, _ = attempt(scripted(EXAMPLE_A))
    assert (result.outcome, len(connection.requests)) == (Outcome.REPLAYED, 1)
    assert result.response.body == b'{"attachmentId": "b530ce8ff"}'


def test_the_drafts_examples_of_a_creation_in_parts_and_of_appending():
    upload = ResumableHttpUpload(photo(), ResumableOptions.model_construct(chunk_size=500, creation="optimistic"))
    result, connection, _ = attempt(scripted(EXAMPLE_B, APPENDED, COMPLETED), upload)
    assert result.outcome is Outcome.REPLAYED
    assert [(one.path, one.headers.get("upload-offset"), one.headers["upload-complete"]) for one in connection.requests] == [
        (PATH, None, "?0"), ("/upload/3fd4994ad", "500", "?0"), ("/upload/3fd4994ad", "1000", "?1"),
    ]  # fmt: skip


def test_the_drafts_examples_of_a_server_error_of_offset_retrieval_and_of_a_mismatch():
    server = scripted(EXAMPLE_C, HEAD, MISMATCH, COMPLETED)
    result, _, upload = attempt(server)
    assert result.outcome is Outcome.SERVER_ERROR
    result, connection, _ = attempt(server, upload)
    assert result.outcome is Outcome.REPLAYED
    assert [(one.method, one.path, one.headers.get("upload-offset")) for one in connection.requests] == [
        ("HEAD", "/upload/0587fa44b", None), ("PATCH", "/upload/0587fa44b", "250"), ("PATCH", "/upload/0587fa44b", "125"),
    ]  # fmt: skip


def test_the_drafts_example_of_a_rejected_creation_that_cannot_be_continued():
    server = scripted(EXAMPLE_D, COMPLETED)
    result, _, upload = attempt(server)
    assert (result.outcome, result.response.status) == (Outcome.REJECTED, 400)
    _, connection, _ = attempt(server, upload)
    assert connection.requests[0].method == "PUT", "there is nothing to resume"
