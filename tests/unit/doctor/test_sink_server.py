"""The sink that the generator is measured by reads every request to its end, however it is cut, and answers each once."""

import asyncio

import pytest

from harness.doctor.sink_server import DiscardProtocol

SMALL = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde"
BODILESS = b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"PUT /c HTTP/1.1\r\ncontent-length: 700000\r\n\r\n" + bytes(700_000)


class Transport(asyncio.Transport):
    def __init__(self):
        self.answers = 0

    def write(self, data):
        assert data.startswith(b"HTTP/1.1 201 ")
        self.answers += 1


def answered(stream, piece_bytes):
    sink, transport = DiscardProtocol(), Transport()
    sink.connection_made(transport)
    while stream:
        buffer = sink.get_buffer(-1)
        piece = stream[: min(piece_bytes, len(buffer))]
        buffer[: len(piece)] = piece
        sink.buffer_updated(len(piece))
        stream = stream[len(piece) :]
    return transport.answers


@pytest.mark.heavy
@pytest.mark.parametrize("piece_bytes", [7, 61, 4_096, 1 << 20])
def test_every_request_is_answered_once_however_it_is_cut(piece_bytes):
    assert answered(SMALL + BODILESS + LARGE + SMALL, piece_bytes) == 4


@pytest.mark.parametrize("request_bytes", [SMALL, LARGE])
def test_no_request_is_answered_before_its_last_byte(request_bytes):
    assert answered(request_bytes[:-1], 4_096) == 0
