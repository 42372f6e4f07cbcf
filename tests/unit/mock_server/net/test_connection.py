"""Where one request ends and the next begins."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.net.connection import RequestFraming

bodies = st.binary(max_size=40).map(lambda body: body + b"\r\n\r\nGET / HTTP/1.1\r\n\r\n")
"""Bodies that look like requests: only their lengths tell where they end."""


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;x=y\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n"


requests = st.one_of(
    st.just(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    st.just(b"\r\n\r\nGET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    bodies.map(lambda body: b"POST / HTTP/1.1\r\ncontent-LENGTH:  %d \r\n\r\n%s" % (len(body), body)),
    st.tuples(bodies, st.integers(1, 20), st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nC: d\r\n"])).map(
        lambda drawn: (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n%s%s\r\n" % (chunked(*drawn[:2]), drawn[2])
        )
    ),
)


def fed(pieces: list[bytes]) -> RequestFraming:
    framing = RequestFraming()
    for piece in pieces:
        framing.feed(piece)
    return framing


@pytest.mark.heavy
@settings(max_examples=300, deadline=None)
@given(st.lists(requests, max_size=5), st.lists(st.integers(0, 500), max_size=8))
def test_every_request_is_counted_however_its_bytes_come(drawn, cuts):
    stream = b"".join(drawn)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    framing = fed([stream[begin:end] for begin, end in pairwise(places)])
    assert (framing.headers, framing.is_in_header) == (len(drawn), False)


@pytest.mark.heavy
@settings(max_examples=200, deadline=None)
@given(st.lists(requests, max_size=3), st.integers(1, 20), st.booleans())
def test_a_header_that_has_begun_is_seen_behind_any_request(drawn, length, together):
    before, begun = b"".join(drawn), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[:length]
    framing = fed([before + begun] if together else [before, begun])
    assert (framing.headers, framing.is_in_header) == (len(drawn), True)


def test_a_body_that_has_not_ended_is_no_header():
    assert fed([b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"GET / HT"]).is_in_header is False
    assert fed([b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"ff\r\nGET"]).is_in_header is False


def test_what_is_no_chunk_is_not_followed_any_further():
    framing = fed([b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"no size\r\n", b"GET / HTTP/1.1\r\n"])
    assert framing.is_in_header is False


@pytest.mark.heavy
def test_a_long_header_is_not_looked_through_again_with_every_byte():
    framing = RequestFraming()
    framing.feed(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(200_000):  # a second or so; looked through again each time it would be minutes
        framing.feed(b"x")
    framing.feed(b"\r\n\r\n")
    assert framing.headers == 1


UPGRADES = [
    b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    b"POST / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 5\r\n\r\nGET /",
    b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n5\r\nGET /\r\n0\r\n\r\n",
    b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", UPGRADES)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
def test_a_request_that_asks_for_an_upgrade_is_followed_like_any_other(request_bytes, piece_bytes):
    stream = request_bytes * 2 + b"GET / HT"
    framing = fed([stream[at : at + piece_bytes] for at in range(0, len(stream), piece_bytes)])
    assert (framing.headers, framing.is_in_header) == (2, True)


def test_a_malformed_header_is_still_timed():
    framing = fed([b"GET / HTTP/1.1\r\nno colon\r\n", b"Host: x"])
    assert (framing.headers, framing.is_in_header) == (0, True)
