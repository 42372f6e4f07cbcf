"""What a response is, however its bytes arrive; what its headers say, and what they can't make the journal choke on."""

import math
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.model import MalformedReason, Outcome
from harness.drive.client.headers import check_token, parse_retry_after, parse_server_timing, resolve_location
from harness.drive.client.outcomes import ConnectionClosedError, MalformedResponseError
from harness.drive.client.response import ResponseParser
from harness.run_folder.journal import AttemptRecord, JournalWriter, journal_file_name, read_journal

NOW = datetime(2024, 2, 14, 17, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("Wed, 14 Feb 2024 17:00:30 GMT", 30.0),
        ("Wed, 14 Feb 2024 16:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header, seconds):
    assert parse_retry_after(header, NOW) == seconds


@pytest.mark.parametrize("header", ["", "soon", "nan", "Wed, 99 Feb 2024"])
def test_a_retry_after_that_is_neither_asks_for_nothing(header):
    assert math.isnan(parse_retry_after(header, NOW))


def test_absurd_headers_fit_into_the_journal(tmp_path):
    writer = JournalWriter(tmp_path, 0)
    asked = parse_retry_after("9" * 45, NOW)
    queue = parse_server_timing("queue;dur=1e60, service;dur=inf")
    writer.end(
        AttemptRecord(
            Outcome.ACCEPTED, due_s=0.0, retry_after_s=asked, queue_s=queue["queue"], server_s=queue["service"]
        )
    )
    writer.close()
    (record,) = read_journal(tmp_path / journal_file_name(0))
    assert record["retry_after_s"] == pytest.approx(1e9)
    assert record["queue_s"] == pytest.approx(1e6)


LENGTH_2 = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n"
EMPTY = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
CHUNKED_OK = b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


def parse(received, size, *, bodiless=False):
    """The response in `received`, which arrives in pieces of `size` bytes; then the connection ends, if that is what the response needs."""
    parser = ResponseParser()
    parser.expect(bodiless=bodiless)
    for start in range(0, len(received), size):
        parser.feed(received[start : start + size])
    if not parser.complete:
        parser.feed(b"")
    return parser.response(reusable=True)


SIZES = pytest.mark.parametrize("size", [1, 3, 50, 100_000])


@SIZES
@pytest.mark.parametrize(
    ("received", "status", "body", "keeps"),
    [
        (EMPTY + b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 201, b"", False),
        (
            b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\nHTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
            503,
            b"",
            False,
        ),
        (EMPTY + b"junk", 201, b"", False),
        (EMPTY + EMPTY, 201, b"", False),
        (b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" + EMPTY, 201, b"", False),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 204, b"", False),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\nNo Content", 204, b"", False),
        (LENGTH_2 + b"Content-Length: 2\r\n\r\nok", 201, b"ok", True),
        (b"HTTP/1.1 201 Created\r\ncontent-length: 2, 2\r\nX: y\r\n\r\nok", 201, b"ok", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH_2 + b"Content-Length: 2\r\n\r\nok", 201, b"ok", True),
        (LENGTH_2 + CHUNKED_OK, 201, b"ok", True),
        (b"HTTP/1.1 201 Created\nContent-Length: 2\n\nok", 201, b"ok", True),
        (b"HTTP/1.1 102 Processing\r\n\r\n" * 9 + EMPTY, 201, b"", True),
        (b"HTTP/1.0 201 Created\r\n\r\nok", 201, b"ok", False),
        (
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Trailer: y\r\n\r\n",
            201,
            b"a",
            True,
        ),
    ],
)
def test_the_first_final_response_counts_however_its_bytes_arrive(received, size, status, body, keeps):
    response = parse(received, size)
    assert (response.status, response.body, response.keep_alive) == (status, body, keeps)
    assert "x-trailer" not in response.headers


@SIZES
@pytest.mark.parametrize(
    ("received", "reason"),
    [
        (LENGTH_2 + b"Content-Length: 3\r\n\r\nok!", MalformedReason.CONTENT_LENGTHS),
        (b"HTTP/1.1 201 Created\r\nContent-Length: -2\r\n\r\nok", MalformedReason.CONTENT_LENGTH),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 99999999999999999999999\r\n\r\nok", MalformedReason.CONTENT_LENGTH),
        (b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", MalformedReason.CHUNK),
        (b"HTTP/1.1 201 Created\r\nX\x00: y\r\n\r\n", MalformedReason.HEADER),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", MalformedReason.UPGRADE),
        (b"220 ready\r\n", MalformedReason.NOT_HTTP),
    ],
)
def test_what_can_not_be_read_says_why(received, size, reason):
    with pytest.raises(MalformedResponseError) as caught:
        parse(received, size)
    assert caught.value.reason is reason


@SIZES
def test_interim_responses_are_passed_on_as_they_come(size):
    heard = []
    parser = ResponseParser()
    parser.expect(bodiless=False, on_interim=lambda status, headers: heard.append((status, dict(headers))))
    received = b"HTTP/1.1 104 Upload Resumption Supported\r\nLocation: /u/1\r\n\r\n"
    for start in range(0, len(received), size):
        parser.feed(received[start : start + size])
    assert heard == [(104, {b"Location": b"/u/1"})]
    assert parser.is_between
    assert not parser.complete
    parser.feed(b"H")
    assert not parser.is_between, "the next response has begun"
    parser.feed(EMPTY[1:])
    assert parser.response(reusable=True).status == 201
    assert len(heard) == 1
    parser.expect(bodiless=False)
    parser.feed(received + EMPTY)
    assert len(heard) == 1, "who asked before asks no more"


@SIZES
def test_an_interim_response_alone_is_no_response(size):
    with pytest.raises(ConnectionClosedError):
        parse(b"HTTP/1.1 100 Continue\r\n\r\n", size)


@SIZES
def test_bytes_after_the_response_to_a_head_make_the_connection_unusable(size):
    response = parse(LENGTH_2 + b"\r\nok", size, bodiless=True)
    assert (response.status, response.body) == (201, b"")
    assert not response.keep_alive or size < 50  # in a later segment, they are noticed when the connection is leased


@given(st.binary(max_size=300), st.integers(1, 40))
def test_whatever_a_server_sends_ends_in_a_response_or_a_known_error(noise, size):
    for received in (noise, LENGTH_2 + noise, EMPTY + noise):
        try:
            response = parse(received, size)
        except (MalformedResponseError, ConnectionClosedError):
            continue
        assert response.status >= 200


@given(
    st.one_of(
        st.text(max_size=60), st.from_regex(r"\A[A-Z][a-z]{2}, [0-9]{1,30} (Feb|Foo) [0-9]{1,30} [0-9:]{1,20} GMT\Z")
    )
)
def test_any_header_value_is_parsed_bounded_or_ignored(text):
    text = text.encode("latin-1", "replace").decode("latin-1")
    seconds = parse_retry_after(text, datetime(2024, 2, 14, 17, 0, tzinfo=UTC))
    assert math.isnan(seconds) or 0 <= seconds <= 1e9
    assert all(math.isnan(value) or 0 <= value <= 1e9 for value in parse_server_timing(text).values())
    with suppress(MalformedResponseError):
        assert resolve_location(text, "h", "/v1/files").startswith("/")
    with suppress(MalformedResponseError):
        assert not set(check_token(text)) & set("\r\n\0")


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "\u20ac", "", " a", "a\x7f", 7, None, "a" * 20_000])
def test_a_token_that_a_header_can_not_hold_is_malformed(token):
    with pytest.raises(MalformedResponseError) as caught:
        check_token(token)
    assert caught.value.reason is MalformedReason.TOKEN
