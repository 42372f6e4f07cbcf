"""The protocols that send a photo whole: what goes on the connection, and what counts as sent again."""

import base64
from typing import Any

import multipart as form
import pytest

from harness.base.model import Outcome
from harness.drive.client.protocols.multipart import MultipartUpload, build_head
from harness.drive.client.protocols.put import PutUpload
from tests.support.fake_connection import CONTENT, CONTEXT, STATION, CutError, FakeConnection, answer, photo

READING = '{"a":1}'


def test_a_put_carries_the_photo_as_it_is_and_the_reading_in_a_header():
    connection: Any = FakeConnection(lambda _: answer(201))
    result = PutUpload(photo(reading=READING)).attempt(connection, CONTEXT)
    (asked,) = connection.requests
    assert (result.outcome, asked.method) == (Outcome.ACCEPTED, "PUT")
    assert asked.path == f"/v1/stations/{STATION}/forms/ppwp/pages/2"
    assert asked.body == CONTENT
    assert asked.headers["reading"] == READING
    assert (asked.headers["content-type"], asked.headers["content-length"]) == ("image/jpeg", str(len(CONTENT)))


def test_a_page_without_votes_has_no_reading():
    connection: Any = FakeConnection(lambda _: answer(201))
    PutUpload(photo()).attempt(connection, CONTEXT)
    MultipartUpload(photo()).attempt(connection, CONTEXT)
    assert "reading" not in connection.requests[0].headers
    assert b'name="reading"' not in connection.requests[1].body


def test_a_form_has_the_parts_photo_and_reading():
    connection: Any = FakeConnection(lambda _: answer(201))
    MultipartUpload(photo(reading=READING)).attempt(connection, CONTEXT)
    (asked,) = connection.requests
    boundary = form.parse_options_header(asked.headers["content-type"])[1]["boundary"]
    assert int(asked.headers["content-length"]) == len(asked.body)
    parser = form.PushMultipartParser(boundary)
    parts: dict[str, bytes] = {}
    name = ""
    for event in [*parser.parse(asked.body)]:
        if isinstance(event, bytearray | bytes):
            parts[name] += bytes(event)
        elif event is not None:
            name = event.name
            parts[name] = b""
    assert parts == {"reading": READING.encode(), "photo": CONTENT}


@pytest.mark.parametrize("protocol", [PutUpload, MultipartUpload])
def test_who_asks_and_what_it_is_about_stands_in_the_headers(protocol):
    connection: Any = FakeConnection(lambda _: answer(201))
    protocol(photo()).attempt(connection, CONTEXT)
    headers = connection.requests[0].headers
    assert headers["authorization"] == "Bearer secret"
    assert (headers["x-attempt"], headers["upload-timeout"]) == ("3", "10")
    assert headers["idempotency-key"] == f'"{STATION}/ppwp/2/{"ab" * 8}"'
    assert headers["repr-digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex('ab' * 32)).decode()}:"


@pytest.mark.parametrize("protocol", [PutUpload, MultipartUpload])
def test_only_bytes_of_the_photo_that_were_sent_before_count_as_sent_again(protocol):
    def cut(taken):
        def server(_asked):
            raise CutError(taken)

        return FakeConnection(server)

    upload = protocol(photo())
    before = 0
    if protocol is MultipartUpload:  # the part's own head does not count as photo
        before = len(build_head(photo(), CONTEXT).split(b"\r\n\r\n", 1)[1])
    for taken, resent in ((0, 0), (before + 600, 0), (before + 400, 400), (before + 900, 1000)):
        with pytest.raises(CutError):
            upload.attempt(cut(taken), CONTEXT)
        assert (upload.high_water.resent_bytes, taken) == (resent, taken)
    connection: Any = FakeConnection(lambda _: answer(201))
    upload.attempt(connection, CONTEXT)
    assert upload.high_water.resent_bytes == 1000 + 900
    assert upload.high_water.reached == len(CONTENT)
