"""The tus client: what it asks, what it makes of every answer, and that no cut loses or repeats more than it must."""

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.model import Outcome
from harness.drive.client.headers import resolve_location
from harness.drive.client.outcomes import MalformedResponseError
from harness.drive.client.protocols import tus
from harness.scenario.client import TusOptions
from harness.station.tus_steps import MAX_CORRECTIONS
from tests.support.fake_connection import CONTENT, CONTEXT, STATION, CutError, FakeConnection, answer, photo

SIZE = len(CONTENT)


def options(**keys):
    return TusOptions.model_validate({"chunk_size": "1KB", **keys})


@dataclass
class Server:
    """A tus server in a few lines; `trouble` answers (or raises) instead of it, as long as it has something to say."""

    trouble: list[Any] = field(default_factory=list)
    held: bytes = b""
    places: int = 0

    def __call__(self, asked):
        if self.trouble and (said := self.trouble.pop(0)) is not None:
            return said(self, asked) if callable(said) else said
        if asked.method == "POST":
            self.places += 1
            self.held = asked.body
            headers = {"location": f"http://mock:1/v1/files/{self.places}"}
            if asked.body:
                headers["upload_offset"] = str(len(asked.body))
            return answer(201, b"", **headers)
        if asked.method == "HEAD":
            return answer(200, upload_offset=str(len(self.held)), upload_length=str(SIZE))
        assert asked.headers["upload-offset"] == str(len(self.held)), "at the right byte"
        self.held += asked.body
        return answer(204, upload_offset=str(len(self.held)))


def attempt(server, upload=None, **keys):
    """One attempt: result, connection, upload."""
    upload = upload or tus.TusUpload(photo(reading='{"a":1}'), options(**keys))
    connection: Any = FakeConnection(server)
    return upload.attempt(connection, CONTEXT), connection, upload


def cut_at(kept, taken=None):
    """A request that breaks: the server keeps so many bytes of a PATCH, the client's kernel has taken more."""

    def said(server, asked):
        if asked.method != "PATCH":
            raise CutError(0)
        server.held += asked.body[:kept]
        raise CutError(kept if taken is None else taken)

    return said


def test_a_page_is_created_and_sent_in_chunks():
    server = Server()
    result, connection, upload = attempt(server)
    assert (result.outcome, result.response.status, server.held) == (Outcome.ACCEPTED, 204, CONTENT)
    post, first, last = connection.requests
    assert (post.method, post.path, post.headers["upload-length"]) == ("POST", "/v1/files", str(SIZE))
    pairs = dict(pair.split(" ") for pair in post.headers["upload-metadata"].split(","))
    assert {key: base64.b64decode(value).decode() for key, value in pairs.items()} == {
        "station": STATION, "form": "ppwp", "page": "2", "reading": '{"a":1}',
    }  # fmt: skip
    assert [(a.method, a.path, a.headers["upload-offset"], len(a.body)) for a in (first, last)] == [
        ("PATCH", "/v1/files/1", "0", 1000), ("PATCH", "/v1/files/1", "1000", 24),
    ]  # fmt: skip
    assert first.headers["content-type"] == "application/offset+octet-stream"
    assert upload.high_water.resent_bytes == 0


def test_every_request_says_who_asks_which_version_is_spoken_and_how_long_an_answer_is_waited_for():
    _, connection, _ = attempt(Server([None, answer(409)]))
    assert [asked.method for asked in connection.requests] == ["POST", "PATCH", "HEAD", "PATCH", "PATCH"]
    for asked in connection.requests:
        assert asked.headers["tus-resumable"] == "1.0.0"
        assert asked.headers["authorization"] == "Bearer secret"
        assert (asked.headers["x-attempt"], asked.headers["upload-timeout"]) == ("3", "7.5")
        assert asked.headers["idempotency-key"].startswith(f'"{STATION}/ppwp/2/')


def test_without_a_chunk_size_all_that_is_missing_goes_at_once():
    _, connection, _ = attempt(Server(), tus.TusUpload(photo(), TusOptions()))
    assert [len(asked.body) for asked in connection.requests] == [0, SIZE]
    assert "reading" not in connection.requests[0].headers["upload-metadata"]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_each_chunk_has_the_checksum_of_its_own_bytes(algorithm):
    _, connection, _ = attempt(Server(), checksum=algorithm)
    for asked in connection.requests[1:]:
        name, _, digest = asked.headers["upload-checksum"].partition(" ")
        assert name == algorithm
        assert base64.b64decode(digest) == hashlib.new(algorithm, asked.body).digest()


def test_the_first_chunk_comes_with_the_creation_if_that_is_wanted():
    result, connection, _ = attempt(Server(), creation_with_upload=True, checksum="sha1")
    assert [(asked.method, len(asked.body)) for asked in connection.requests] == [("POST", 1000), ("PATCH", 24)]
    assert "upload-checksum" in connection.requests[0].headers
    assert result.outcome is Outcome.ACCEPTED


def test_a_photo_that_fits_into_the_creation_is_accepted_with_it():
    result, connection, _ = attempt(Server(), chunk_size="5KB", creation_with_upload=True)
    assert (result.outcome, result.response.status, len(connection.requests)) == (Outcome.ACCEPTED, 201, 1)


def test_a_server_that_leaves_the_bytes_of_a_creation_alone_gets_them_again_and_they_count_as_sent_again():
    created = answer(201, location="/v1/files/1")
    result, connection, upload = attempt(Server([created]), creation_with_upload=True)
    assert [(asked.method, len(asked.body)) for asked in connection.requests[:2]] == [("POST", 1000), ("PATCH", 1000)]
    assert result.outcome is Outcome.ACCEPTED
    assert upload.high_water.resent_bytes == 1000


def test_after_a_cut_the_next_attempt_asks_and_goes_on_at_the_right_byte():
    server = Server([None, None, cut_at(7, taken=15)])
    upload = tus.TusUpload(photo(), options())
    with pytest.raises(CutError):
        attempt(server, upload)
    result, connection, _ = attempt(server, upload)
    assert [(asked.method, asked.headers.get("upload-offset")) for asked in connection.requests] == [
        ("HEAD", None),
        ("PATCH", "1007"),
    ]
    assert (result.outcome, server.held) == (Outcome.ACCEPTED, CONTENT)
    assert upload.high_water.resent_bytes == 8  # of the 15 that were sent the server had 7


def test_a_page_whose_last_answer_was_lost_is_replayed_when_the_server_says_that_it_has_all():
    server = Server([None, None, cut_at(24)])
    upload = tus.TusUpload(photo(), options())
    with pytest.raises(CutError):
        attempt(server, upload)
    result, connection, _ = attempt(server, upload)
    assert (result.outcome, result.response.status) == (Outcome.REPLAYED, 200)
    assert [asked.method for asked in connection.requests] == ["HEAD"]
    assert upload.high_water.resent_bytes == 0


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_upload_that_is_gone_when_asked_for_is_created_anew(status):
    server = Server([None, cut_at(600)])
    upload = tus.TusUpload(photo(), options())
    with pytest.raises(CutError):
        attempt(server, upload)
    server.trouble = [answer(status)]
    result, connection, _ = attempt(server, upload)
    assert [asked.method for asked in connection.requests] == ["HEAD", "POST", "PATCH", "PATCH"]
    assert (result.outcome, server.held, server.places) == (Outcome.ACCEPTED, CONTENT, 2)
    assert upload.high_water.resent_bytes == 600


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_that_is_gone_while_it_is_sent_is_created_anew_in_the_same_attempt(status):
    server = Server([None, None, answer(status)])
    result, connection, upload = attempt(server)
    assert [asked.method for asked in connection.requests] == ["POST", "PATCH", "PATCH", "POST", "PATCH", "PATCH"]
    assert (result.outcome, server.held) == (Outcome.ACCEPTED, CONTENT)
    assert upload.high_water.resent_bytes == SIZE


def test_a_wrong_offset_is_asked_for_and_the_upload_goes_on_there():
    def rolled_back(server, _asked):
        server.held = server.held[:300]
        return answer(409)

    server = Server([None, None, rolled_back])
    result, connection, upload = attempt(server)
    assert [asked.method for asked in connection.requests] == ["POST", "PATCH", "PATCH", "HEAD", "PATCH"]
    assert (result.outcome, server.held) == (Outcome.ACCEPTED, CONTENT)
    assert upload.high_water.resent_bytes == SIZE - 300


def test_a_conflict_whose_upload_is_gone_was_meant_for_good():
    result, connection, _ = attempt(Server([None, None, answer(409), answer(410)]))
    assert (result.outcome, result.response.status) == (Outcome.REJECTED, 409)
    assert [asked.method for asked in connection.requests] == ["POST", "PATCH", "PATCH", "HEAD"]


def test_a_chunk_whose_checksum_was_wrong_is_sent_again():
    server = Server([None, answer(460)])
    result, connection, upload = attempt(server, checksum="sha1")
    assert [asked.headers.get("upload-offset") for asked in connection.requests] == [None, "0", "0", "1000"]
    assert (result.outcome, upload.high_water.resent_bytes) == (Outcome.ACCEPTED, 1000)


def test_a_locked_upload_is_left_to_the_strategy_and_kept():
    upload = tus.TusUpload(photo(), options())
    server = Server([None, answer(423, retry_after="2")])
    result, _, _ = attempt(server, upload)
    assert (result.outcome, result.response.status) == (Outcome.REJECTED, 423)
    result, connection, _ = attempt(server, upload)
    assert [asked.method for asked in connection.requests] == ["HEAD", "PATCH", "PATCH"]
    assert result.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (401, "rejected"), (403, "rejected"), (413, "rejected"), (422, "unreadable"), (429, "throttled"),
        (500, "server_error"), (503, "unavailable"), (200, "malformed"), (202, "malformed"), (302, "malformed"),
    ],
)  # fmt: skip
def test_no_other_answer_to_a_creation_is_taken_for_a_success(status, outcome):
    result, _, _ = attempt(Server([answer(status, upload_offset=str(SIZE))]))
    assert result.outcome == outcome


@pytest.mark.parametrize(("status", "outcome"), [(201, "malformed"), (202, "malformed"), (301, "malformed"), (403, "rejected"), (503, "unavailable")])  # fmt: skip
def test_no_other_answer_to_a_patch_is_taken_for_a_success(status, outcome):
    result, _, _ = attempt(Server([None, answer(status, upload_offset=str(SIZE))]))
    assert result.outcome == outcome


@pytest.mark.parametrize("offset", [None, "", "-1", "1.5", "many", str(SIZE + 1), "9" * 30, "\u0663"])
@pytest.mark.parametrize("method", ["PATCH", "HEAD"])
def test_an_offset_that_is_none_is_malformed(method, offset):
    said = answer(204 if method == "PATCH" else 200, **({} if offset is None else {"upload_offset": offset}))
    with pytest.raises(MalformedResponseError):
        attempt(Server([None, said] if method == "PATCH" else [None, answer(409), said]))


def test_a_server_that_claims_to_have_all_is_taken_at_its_word():
    result, connection, _ = attempt(Server([None, answer(204, upload_offset=str(SIZE))]))
    assert (result.outcome, len(connection.requests)) == (Outcome.ACCEPTED, 2)  # the audit tells whether it was true


@pytest.mark.parametrize("said", [answer(404), answer(409), answer(460), answer(204, upload_offset="0")])
def test_a_server_that_takes_everything_back_is_not_asked_for_ever(said):
    def contrary(asked):
        if asked.method == "POST":
            return answer(201, location="x")
        return said if asked.method == "PATCH" else answer(200, upload_offset="0")

    result, connection, _ = attempt(contrary)
    assert (result.outcome, result.response.status) == (Outcome.SERVER_ERROR, said.status)
    assert len([asked for asked in connection.requests if asked.method == "PATCH"]) == MAX_CORRECTIONS + 1


def test_another_place_of_creation_can_be_told():
    _, connection, _ = attempt(Server([answer(201, location="abc")]), tus.TusUpload(photo(), options(), "/files/"))
    assert [asked.path for asked in connection.requests] == ["/files/", "/files/abc", "/files/abc"]


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("http://mock:1/v1/files/x", "/v1/files/x"),
        ("HTTP://MOCK:1/v1/files/x?a=b", "/v1/files/x?a=b"),
        ("https://mock:1/x", "/x"),
        ("//mock:1/x", "/x"),
        ("/other/x", "/other/x"),
        ("x", "/v1/x"),
        ("files/../x", "/v1/x"),
        ("?id=7", "/v1/files?id=7"),
    ],
)
def test_a_location_may_be_absolute_or_relative(location, path):
    assert resolve_location(location, "mock:1", "/v1/files") == path


@pytest.mark.parametrize(
    "location",
    ["", "http://other:1/x", "http://mock:2/x", "http://mock/x", "//other/x", "http://mock:1@other/x", "http://[x", "/a b", "/\u00e9", "ftp:x", "/x\ty"],
)  # fmt: skip
def test_a_location_that_leads_elsewhere_or_nowhere_is_malformed(location):
    with pytest.raises(MalformedResponseError):
        resolve_location(location, "mock:1", "/v1/files")


def test_an_upload_whose_place_is_elsewhere_is_never_followed():
    upload = tus.TusUpload(photo(), options())
    with pytest.raises(MalformedResponseError):
        attempt(Server([answer(201, location="http://other/x")]), upload)
    _, connection, _ = attempt(Server(), upload)
    assert connection.requests[0].method == "POST"


@pytest.mark.heavy
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1000), st.integers(0, 1000)), max_size=12))
def test_whatever_is_cut_the_server_gets_every_byte_and_what_was_sent_again_is_counted_exactly(cuts):
    """Each cut: after so many requests; the server keeps so many bytes of a PATCH, and more were sent in vain."""
    server, upload, payload = Server(), tus.TusUpload(photo(), options()), 0
    connection: Any
    for before, kept, more in cuts:
        server.trouble = [*[None] * before, cut_at(kept, taken=kept + more)]
        connection = FakeConnection(server)
        try:
            result = upload.attempt(connection, CONTEXT)
        except CutError as cut:
            payload += sum(len(asked.body) for asked in connection.requests[:-1]) + min(
                cut.taken, len(connection.requests[-1].body)
            )
            continue
        payload += sum(len(asked.body) for asked in connection.requests)
        assert result.outcome in {Outcome.ACCEPTED, Outcome.REPLAYED}
    server.trouble = []
    connection = FakeConnection(server)
    assert upload.attempt(connection, CONTEXT).outcome in {Outcome.ACCEPTED, Outcome.REPLAYED}
    payload += sum(len(asked.body) for asked in connection.requests)
    assert server.held == CONTENT
    assert upload.high_water.reached == SIZE
    assert upload.high_water.resent_bytes == payload - SIZE
