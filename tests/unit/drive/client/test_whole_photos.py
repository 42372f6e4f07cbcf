"""The protocols that send a photo whole: what goes on the wire, and what counts as sent again."""

import base64
from typing import Any

import multipart as form
import pytest

from harness.base.model import Outcome
from harness.drive.client.protocols import multipart, put
from tests.support.fake_session import CONTENT, SENDER, STATION, CutError, Wire, answer, photo

READING = '{"a":1}'


def test_a_put_carries_the_photo_as_it_is_and_the_reading_in_a_header():
    wire: Any = Wire(lambda _: answer(201))
    ending = put.PutUpload(photo(reading=READING)).attempt(wire, SENDER)
    (asked,) = wire.asked
    assert (ending.outcome, asked.method) == (Outcome.ACCEPTED, "PUT")
    assert asked.path == f"/v1/stations/{STATION}/forms/ppwp/pages/2"
    assert asked.body == CONTENT
    assert asked.headers["reading"] == READING
    assert (asked.headers["content-type"], asked.headers["content-length"]) == ("image/jpeg", str(len(CONTENT)))


def test_a_page_without_votes_has_no_reading():
    wire: Any = Wire(lambda _: answer(201))
    put.PutUpload(photo()).attempt(wire, SENDER)
    multipart.MultipartUpload(photo()).attempt(wire, SENDER)
    assert "reading" not in wire.asked[0].headers
    assert b'name="reading"' not in wire.asked[1].body


def test_a_form_has_the_parts_photo_and_reading():
    wire: Any = Wire(lambda _: answer(201))
    multipart.MultipartUpload(photo(reading=READING)).attempt(wire, SENDER)
    (asked,) = wire.asked
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


@pytest.mark.parametrize("protocol", [put, multipart])
def test_who_asks_and_what_it_is_about_stands_in_the_headers(protocol):
    wire: Any = Wire(lambda _: answer(201))
    protocol.Delivery(photo()).attempt(wire, SENDER)
    headers = wire.asked[0].headers
    assert headers["authorization"] == "Bearer secret"
    assert (headers["x-attempt"], headers["upload-timeout"]) == ("3", "10")
    assert headers["idempotency-key"] == f'"{STATION}/ppwp/2/{"ab" * 8}"'
    assert headers["repr-digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex('ab' * 32)).decode()}:"


@pytest.mark.parametrize("protocol", [put, multipart])
def test_only_bytes_of_the_photo_that_were_sent_before_count_as_sent_again(protocol):
    def cut(taken):
        def server(_asked):
            raise CutError(taken)

        return Wire(server)

    delivery = protocol.Delivery(photo())
    before = 0
    if protocol is multipart:  # the part's own head is no byte of the photo
        before = len(multipart.build_head(photo(), SENDER).split(b"\r\n\r\n", 1)[1])
    for taken, resent in ((0, 0), (before + 600, 0), (before + 400, 400), (before + 900, 1000)):
        with pytest.raises(CutError):
            delivery.attempt(cut(taken), SENDER)
        assert (delivery.mark.resent_bytes, taken) == (resent, taken)
    wire: Any = Wire(lambda _: answer(201))
    delivery.attempt(wire, SENDER)
    assert delivery.mark.resent_bytes == 1000 + 900
    assert delivery.mark.reached == len(CONTENT)
