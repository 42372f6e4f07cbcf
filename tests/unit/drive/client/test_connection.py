"""The HTTP client: what becomes of every way in which a server can answer, or not."""

import errno
import math
import socket
import threading
import time
from contextlib import suppress
from typing import Any, ClassVar

import gevent
import pytest

from harness.base.model import MalformedReason, Outcome
from harness.drive.client.connection import Connection, Endpoint, Progress
from harness.drive.client.outcomes import (
    AttemptTimeoutError,
    ConnectionClosedError,
    GeneratorLimitError,
    MalformedResponseError,
    Stage,
    classify_error,
)
from tests.support.scripted_server import OK, REQUEST, read_request, reset, scripted


@pytest.fixture
def connect():
    opened = []

    def to(address):
        connection = Connection(Endpoint(socket.AF_INET, address, "x"), None, time.monotonic)
        opened.append(connection)
        connection.connect()
        return connection

    yield to
    for connection in opened:
        connection.close()


def answering(*pieces, pause_s=0.0, close=True):
    def script(connection, _number):
        read_request(connection)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause_s)
        if close:
            connection.close()

    return script


def test_an_answer_is_taken_whole_with_its_headers_and_phases_in_order(connect):
    with scripted(answering(OK)) as address:
        progress = Progress()
        before = time.monotonic()
        answer = connect(address).request(REQUEST, progress)
    assert (answer.status, answer.body, answer.headers["x-name"], answer.keep_alive) == (201, b"ok", "value", True)
    assert before <= progress.body_sent_s <= progress.first_byte_s <= time.monotonic()
    assert progress.sent_bytes == len(REQUEST[0])


def test_an_answer_in_single_bytes_is_the_same_answer(connect):
    pieces = [OK[number : number + 1] for number in range(len(OK))]
    with scripted(answering(*pieces, pause_s=0.0005)) as address:
        assert connect(address).request(REQUEST, Progress()).body == b"ok"


def test_a_chunked_answer_is_put_together(connect):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
    with scripted(answering(chunked)) as address:
        assert connect(address).request(REQUEST, Progress()).body == b"abcde"


def test_an_interim_answer_is_passed_over(connect):
    with scripted(answering(b"HTTP/1.1 100 Continue\r\n\r\n", OK)) as address:
        assert connect(address).request(REQUEST, Progress()).status == 201
    with scripted(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)) as address:
        assert connect(address).request(REQUEST, Progress()).status == 201


def test_an_interim_answer_is_heard_while_the_body_is_still_being_sent_and_is_not_the_first_byte(connect):
    interim = b"HTTP/1.1 104 Upload Resumption Supported\r\nLocation: /u/1\r\n\r\n"
    body, heard, read_on = memoryview(bytes(8_000_000)), [], threading.Event()

    def script(connection, _number):
        head = connection.recv(1000)
        connection.sendall(interim)
        read_on.wait(30)
        left = len(REQUEST[0]) + len(body) - len(head)
        while left:
            left -= len(connection.recv(min(left, 65_536)))
        connection.sendall(OK)

    def note(status, headers):
        heard.append((status, dict(headers)[b"Location"], progress.sent_bytes))
        read_on.set()

    with scripted(script) as address:
        progress = Progress()
        head = REQUEST[0].replace(b"\r\n\r\n", b"\r\nContent-Length: 8000000\r\n\r\n")
        assert connect(address).request([head, body], progress, on_interim=note).status == 201
    ((status, place, sent_bytes),) = heard
    assert (status, place) == (104, b"/u/1")
    assert sent_bytes < len(body), "the server read no further before the client had heard of it"
    assert progress.first_byte_s >= progress.body_sent_s


@pytest.mark.parametrize("more", [b"", b"Content-Length: 500\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_the_answer_to_a_head_ends_with_its_headers_and_the_connection_can_be_used_again(connect, more):
    def script(connection, _number):
        for _ in range(2):
            read_request(connection)
            connection.sendall(
                b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nUpload-Offset: 7\r\n" + more + b"\r\n"
            )

    with scripted(script) as address:
        connection = connect(address)
        for _ in range(2):
            answer = connection.request([b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"], Progress(), bodiless=True)
            assert (answer.status, answer.headers["upload-offset"], answer.keep_alive) == (200, "7", True)


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_the_answer_to_a_head_can_end_the_connection_too(connect, said):
    with scripted(answering(said)) as address:
        assert not connect(address).request(REQUEST, Progress(), bodiless=True).keep_alive


def test_an_answer_without_length_ends_with_the_connection(connect):
    with scripted(answering(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as address:
        answer = connect(address).request(REQUEST, Progress())
    assert (answer.body, answer.keep_alive) == (b"all of it", False)


def test_connection_close_means_it_is_not_used_again(connect):
    with scripted(answering(OK.replace(b"X-Name: value", b"Connection: close"))) as address:
        assert not connect(address).request(REQUEST, Progress()).keep_alive


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 201 Cre", b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nok"])
def test_a_server_that_closes_before_its_answer_is_whole_has_closed(connect, said):
    with scripted(answering(said)) as address, pytest.raises(ConnectionClosedError):
        connect(address).request(REQUEST, Progress())


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH\r\n", b"\x00\x01\x02garbage\r\n\r\n", b"HTTP/1.1 2x1 Hm\r\n\r\n"])
def test_what_is_no_http_is_malformed(connect, said):
    with scripted(answering(said)) as address, pytest.raises(MalformedResponseError):
        connect(address).request(REQUEST, Progress())


def endless(head, piece):
    def script(connection, _number):
        read_request(connection)
        try:
            connection.sendall(head)
            while True:
                connection.sendall(piece)
        except OSError:
            connection.close()

    return script


@pytest.mark.parametrize(
    ("head", "piece", "reason"),
    [
        (b"HTTP/1.1 201 Created\r\n", b"X-A: " + b"b" * 8000 + b"\r\n", MalformedReason.HEAD_TOO_LONG),
        (b"HTTP/1.1 201 Created\r\nX-A: ", b"b" * 8000, MalformedReason.HEAD_TOO_LONG),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 ", b"103 Hints\r\n\r\nHTTP/1.1 " * 99, MalformedReason.HEAD_TOO_LONG),
        (
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X-A: b\r\n" * 99,
            MalformedReason.FRAMING,
        ),
        (b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2;", b"a=b;" * 99, MalformedReason.FRAMING),
    ],
)
def test_a_head_or_framing_without_end_is_malformed(connect, head, piece, reason):
    with scripted(endless(head, piece)) as address:
        connection = connect(address)
        with pytest.raises(MalformedResponseError) as caught:
            connection.request(REQUEST, Progress())
        connection.close()
    assert caught.value.reason is reason


def test_a_body_without_end_keeps_nobody_else_waiting_and_ends_with_the_attempts_time(connect):
    others: list[float] = []

    def breathe():
        while True:
            gevent.sleep(0.01)
            others.append(time.monotonic())

    with scripted(endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536)) as address:
        connection = connect(address)
        other = gevent.spawn(breathe)
        with pytest.raises(AttemptTimeoutError), gevent.Timeout(0.3, AttemptTimeoutError):
            connection.request(REQUEST, Progress())
        connection.close()
        other.kill()
    assert len(others) >= 3


class EverReady:
    """A transport on which there is always something to read, however fast one reads."""

    def __init__(self, plain):
        self.sendmsg = plain.sendmsg
        self.until_s = time.monotonic() + 5

    def recv(self, size):
        assert time.monotonic() < self.until_s, "the event loop never turned"
        return b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (size - 19)


def test_a_server_that_sends_faster_than_anyone_reads_does_not_keep_the_event_loop_from_turning(connect):
    def script(connection, _number):
        read_request(connection)
        connection.sendall(b"x")  # never read: the socket stays readable
        with suppress(ConnectionResetError):  # closed with that byte unread
            connection.recv(1)

    with scripted(script) as address:
        connection = connect(address)
        connection._transport = EverReady(connection._socket)
        try:
            with pytest.raises(AttemptTimeoutError), gevent.Timeout(0.2, AttemptTimeoutError):
                connection.request(REQUEST, Progress())
        finally:
            connection.close()  # the server waits for it


def test_of_a_long_body_a_mebibyte_is_kept(connect):
    with scripted(answering(b"HTTP/1.1 201 Created\r\nContent-Length: 2000000\r\n\r\n", b"x" * 2_000_000)) as address:
        answer = connect(address).request(REQUEST, Progress())
    assert (answer.status, len(answer.body)) == (201, 1_048_576)


def test_a_reset_is_a_reset(connect):
    def script(connection, _number):
        read_request(connection)
        reset(connection)

    with scripted(script) as address, pytest.raises(ConnectionResetError) as caught:
        connect(address).request(REQUEST, Progress())
    assert classify_error(caught.value, Stage.RESPONSE) is Outcome.RESET


def test_a_port_where_nobody_listens_refuses(connect):
    with socket.socket() as bound:  # so that nobody else may listen there
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="connect") as caught:
            connect(bound.getsockname())
    assert classify_error(caught.value, Stage.CONNECT) is Outcome.REFUSED


def big_request(size=8_000_000):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    return [head, memoryview(bytes(size))]


def test_a_body_larger_than_every_buffer_arrives_whole(connect):
    got = []

    def script(connection, _number):
        got.append(read_request(connection)[1])
        connection.sendall(OK)
        connection.close()

    body = bytes(range(256)) * 20_000
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with scripted(script) as address:
        progress = Progress()
        connect(address).request([head, memoryview(body[:-1000]), body[-1000:]], progress)
    assert got == [body]
    assert progress.sent_bytes == len(head) + len(body)


def test_an_answer_that_comes_before_the_body_is_sent_is_heard_and_the_sending_stops(connect):
    busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n"

    def script(connection, _number):
        read_request(connection, limit=0)
        connection.sendall(busy)
        time.sleep(0.3)
        connection.close()

    request = big_request(50_000_000)
    with scripted(script) as address:
        progress = Progress()
        answer = connect(address).request(request, progress)
    assert (answer.status, answer.headers["retry-after"], answer.keep_alive) == (503, "7", False)
    assert progress.sent_bytes < 50_000_000
    assert math.isnan(progress.body_sent_s)


def test_an_interim_answer_in_mid_body_does_not_stop_the_sending(connect):
    got = []

    def script(connection, _number):
        received = len(read_request(connection, limit=0)[1])
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        time.sleep(0.2)
        while received < 31_000_000:
            received += len(connection.recv(1_000_000))
        got.append(received)
        connection.sendall(OK)

    with scripted(script) as address:
        progress = Progress()
        assert connect(address).request(big_request(31_000_000), progress).status == 201
    assert got
    assert progress.sent_bytes > 31_000_000


def test_a_switch_to_another_protocol_is_malformed(connect):
    said = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    with scripted(answering(said)) as address, pytest.raises(MalformedResponseError):
        connect(address).request(REQUEST, Progress())


def test_an_answer_right_behind_an_interim_one_is_heard_at_once():
    """With TLS both may lie in the channel already: the socket would not say again that there is something to read."""

    class Channel:
        waiting: ClassVar = [b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"]

        def recv(self, _size):
            if not self.waiting:
                raise BlockingIOError
            return self.waiting.pop(0)

    connection = Connection(Endpoint(socket.AF_INET, ("127.0.0.1", 1), "x"), None, time.monotonic)
    channel: Any = Channel()
    connection._transport = channel
    assert connection._has_response(Progress(), bodiless=False)
    assert connection._parser is not None
    assert connection._parser.response(reusable=True).status == 503
    connection.close()


def test_an_answer_followed_by_a_reset_in_mid_body_is_still_heard(connect):
    busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

    def script(connection, _number):
        read_request(connection, limit=0)
        connection.sendall(busy)
        connection.close()  # with unread data in its buffer: the kernel sends RST after the answer

    with scripted(script) as address:
        assert connect(address).request(big_request(50_000_000), Progress()).status == 503


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [("send", Outcome.TIMEOUT_SEND), ("response", Outcome.TIMEOUT_RESPONSE)],
)
def test_a_deadline_is_named_after_the_phase_in_which_it_struck(connect, stage, outcome):
    struck = threading.Event()

    def script(connection, _number):
        if stage == "response":
            read_request(connection)
        assert struck.wait(60), "it waits for the server"
        connection.close()

    request = big_request(50_000_000) if stage == "send" else REQUEST
    with scripted(script) as address:
        progress = Progress()
        connection = connect(address)
        began = time.monotonic()
        with pytest.raises(AttemptTimeoutError) as caught, gevent.Timeout(0.2, AttemptTimeoutError):
            connection.request(request, progress)
        assert time.monotonic() - began > 0.15
        struck.set()
        connection.close()
    assert classify_error(caught.value, progress.stage) is outcome


def test_a_connection_that_is_not_taken_times_out_while_connecting():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        connection = Connection(Endpoint(socket.AF_INET, address, "x"), None, time.monotonic)
        with pytest.raises(AttemptTimeoutError), gevent.Timeout(0.2, AttemptTimeoutError):
            connection.connect()
        connection.close()
        for filler in fillers:
            filler.close()


def test_an_idle_connection_that_the_server_closed_is_stale_and_a_living_one_is_not(connect):
    seen = threading.Event()

    def script(connection, _number):
        read_request(connection)
        connection.sendall(OK)
        seen.wait(60)

    with scripted(script) as address:
        connection = connect(address)
        connection.request(REQUEST, Progress())
        assert not connection.is_stale()
        seen.set()
    assert connection.is_stale()


def test_running_out_of_descriptors_is_our_fault(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("harness.drive.client.connection._native_socket", refuse)
    with pytest.raises(GeneratorLimitError) as caught:
        Connection(Endpoint(socket.AF_INET, ("127.0.0.1", 1), "x"), None, time.monotonic)
    assert classify_error(caught.value, Stage.CONNECT) is Outcome.GENERATOR_ERROR
