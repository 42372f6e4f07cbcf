"""TLS over real sockets: handshakes that come about or don't, sessions taken up again, and the client's promises as in the clear."""

import socket
import ssl
import threading
import time
from contextlib import suppress

import gevent
import pytest

from harness.base.model import Outcome
from harness.drive.client.connection import Connection, Endpoint, Progress
from harness.drive.client.outcomes import AttemptTimeoutError, ConnectionClosedError, Stage, classify_error
from harness.drive.client.pool import ConnectionPool
from harness.drive.client.shaped_connection import ShapedConnection
from harness.drive.client.tls import TlsConfig
from harness.station.link import LinkModel
from harness.target.connect import make_tls_context
from mock_server.net import tls as server_tls
from tests.support.scripted_server import OK, REQUEST, read_request, reset, scripted

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return server_tls.make_certificate(tmp_path_factory.mktemp("certificate"), "127.0.0.1")


@pytest.fixture
def secure(certificate):
    """Makes a script speak TLS: it gets the wrapped connection."""

    def wrap(script, version=None):
        context = server_tls.server_context(*certificate)
        if version is not None:
            context.minimum_version = context.maximum_version = version

        def outer(connection, number):
            with context.wrap_socket(connection, server_side=True) as wrapped:
                script(wrapped, number)

        return outer

    return wrap


@pytest.fixture
def make(certificate):
    opened = []
    context = make_tls_context(certificate[0].read_text())

    def to(address, name="127.0.0.1", authority=context, session=None):
        target = Endpoint(socket.AF_INET, address, "x", (), TlsConfig(authority, name))
        opened.append(Connection(target, None, time.monotonic, session))
        return opened[-1]

    yield to
    for connection in opened:
        connection.close()


def answers(*pieces):
    def script(connection, _number):
        read_request(connection)
        for piece in pieces:
            connection.sendall(piece)

    return script


def big_request(body):
    return [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body), memoryview(body)]


@pytest.mark.heavy
@pytest.mark.parametrize("version", VERSIONS)
def test_a_body_larger_than_every_buffer_arrives_whole_and_is_counted_exactly(make, secure, version):
    got = []

    def script(connection, _number):
        got.append(read_request(connection)[1])
        connection.sendall(OK)

    body = bytes(range(256)) * 20_000
    head, view = big_request(body)
    with scripted(secure(script, version)) as address:
        connection, progress = make(address), Progress()
        connection.connect()
        answer = connection.request([head, view[:-1000], view[-1000:]], progress)
    assert (answer.status, answer.body, answer.keep_alive) == (201, b"ok", True)
    assert got == [body]
    assert progress.sent_bytes == len(head) + len(body)
    assert progress.body_sent_s <= progress.first_byte_s


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "trusted"), [("127.0.0.1", False), ("localhost.example", True), ("127.0.0.2", True)])
def test_a_certificate_that_nobody_vouches_for_or_of_another_name_fails(make, secure, name, trusted):
    with scripted(tolerant(secure(answers(OK)))) as address:
        connection = make(address, name) if trusted else make(address, name, make_tls_context(None))
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            connection.connect()
        connection.close()
    assert classify_error(caught.value, Stage.CONNECT) is Outcome.TLS_FAILED


def tolerant(script):
    """The script, where the handshake is expected to fail."""

    def outer(connection, number):
        try:
            script(connection, number)
        except (ssl.SSLError, ConnectionError):
            return

    return outer


def test_a_server_that_speaks_no_tls_fails(make):
    def script(connection, _number):
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with scripted(script) as address, pytest.raises(ssl.SSLError) as caught:
        make(address).connect()
    assert classify_error(caught.value, Stage.CONNECT) is Outcome.TLS_FAILED


def test_a_server_that_closes_or_resets_during_the_handshake_has_closed_or_reset(make):
    def script(connection, number):
        connection.recv(1000)
        (reset if number else socket.socket.close)(connection)

    with scripted(script, connections=2) as address:
        with pytest.raises(ConnectionClosedError):
            make(address).connect()
        with pytest.raises(ConnectionResetError) as caught:
            make(address).connect()
    assert classify_error(caught.value, Stage.CONNECT) is Outcome.RESET


def test_a_handshake_that_is_never_answered_times_out_while_connecting(make):
    struck = threading.Event()
    with scripted(lambda _connection, _number: struck.wait(60)) as address:
        with pytest.raises(AttemptTimeoutError) as caught, gevent.Timeout(0.2, AttemptTimeoutError):
            make(address).connect()
        struck.set()
    assert classify_error(caught.value, Progress().stage) is Outcome.TIMEOUT_CONNECT


def test_garbage_in_the_middle_of_a_connection_is_a_failure_of_tls(make, secure, certificate):
    context = server_tls.server_context(*certificate)

    def script(connection, _number):
        raw = connection.dup()
        wrapped = context.wrap_socket(connection, server_side=True)
        read_request(wrapped)
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        raw.close()
        wrapped.close()

    with scripted(script) as address:
        connection = make(address)
        connection.connect()
        with pytest.raises(ssl.SSLError) as caught:
            connection.request(REQUEST, Progress())
    assert classify_error(caught.value, Stage.RESPONSE) is Outcome.TLS_FAILED


@pytest.mark.parametrize("resumption", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_station_takes_its_session_up_again_if_that_is_wanted_and_no_other_station_does(certificate, version, resumption):  # fmt: skip
    context = server_tls.server_context(*certificate)
    context.minimum_version = context.maximum_version = version
    reused = []

    def script(connection, _number):
        with context.wrap_socket(connection, server_side=True) as wrapped:
            reused.append(wrapped.session_reused)
            read_request(wrapped)
            wrapped.sendall(OK)

    with scripted(script, connections=4) as address:
        tls = TlsConfig(make_tls_context(certificate[0].read_text()), "127.0.0.1", resumption)
        connections = ConnectionPool(Endpoint(socket.AF_INET, address, "x", (), tls), "each", time.monotonic)
        here = []
        for pages in (3, 1):  # of two stations
            source = connections.source()
            for _ in range(pages):
                connection = source.lease()
                connection.connect()
                assert connection.tls is not None
                here.append(connection.tls.is_resumed)
                source.release(connection, alive=connection.request(REQUEST, Progress()).keep_alive)
    assert here == reused == [False, resumption, resumption, False]


def test_an_answer_that_comes_before_the_body_is_sent_is_heard_also_behind_an_interim_one(make, secure):
    busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n"

    def script(connection, _number):
        read_request(connection, limit=0)
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        connection.sendall(busy)
        time.sleep(0.3)

    with scripted(secure(script)) as address:
        connection, progress = make(address), Progress()
        connection.connect()
        with gevent.Timeout(10, AttemptTimeoutError):
            answer = connection.request(big_request(bytes(50_000_000)), progress)
    assert (answer.status, answer.headers["retry-after"], answer.keep_alive) == (503, "7", False)
    assert progress.sent_bytes < 50_000_000


def test_of_a_body_that_is_cut_what_counts_as_sent_is_what_the_server_can_read(make, secure):
    got = []

    def script(connection, _number):
        time.sleep(0.5)
        received = 0
        try:
            while data := connection.recv(65_536):
                received += len(data)
        except ssl.SSLEOFError:
            pass
        got.append(received)

    with scripted(secure(script)) as address:
        connection, progress = make(address), Progress()
        connection.connect()
        with pytest.raises(AttemptTimeoutError), gevent.Timeout(0.2, AttemptTimeoutError):
            connection.request(big_request(bytes(50_000_000)), progress)
        connection.close()
    assert 0 < progress.sent_bytes <= got[0] < progress.sent_bytes + 16_384


@pytest.mark.parametrize("ragged", [True, False])
def test_an_answer_without_length_ends_with_the_connection(make, certificate, ragged):
    context = server_tls.server_context(*certificate)

    def script(connection, _number):
        wrapped = context.wrap_socket(connection, server_side=True)
        read_request(wrapped)
        wrapped.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        if not ragged:
            with suppress(OSError):  # the farewell is sent, and not waited for
                wrapped.unwrap()
        wrapped.close()

    with scripted(script) as address:
        connection = make(address)
        connection.connect()
        answer = connection.request(REQUEST, Progress())
        connection.close()
    assert (answer.body, answer.keep_alive) == (b"all of it", False)


def test_an_idle_connection_with_a_late_ticket_lives_and_one_that_the_server_closed_is_stale(make, secure):
    seen = threading.Event()

    def script(connection, _number):
        read_request(connection)
        connection.sendall(OK)
        seen.wait(60)

    with scripted(secure(script, ssl.TLSVersion.TLSv1_3)) as address:
        connection = make(address)
        connection.connect()
        time.sleep(0.1)
        assert not connection.is_stale()  # the tickets came behind the handshake
        connection.request(REQUEST, Progress())
        assert not connection.is_stale()
        seen.set()
    assert connection.is_stale()


@pytest.mark.parametrize(("version", "round_trips"), [(ssl.TLSVersion.TLSv1_2, 3), (ssl.TLSVersion.TLSv1_3, 2)])
def test_over_a_line_a_handshake_costs_its_round_trips(certificate, secure, version, round_trips):
    tls = TlsConfig(make_tls_context(certificate[0].read_text()), "127.0.0.1")
    with scripted(secure(answers(OK), version)) as address:
        target = Endpoint(socket.AF_INET, address, "x", (), tls)
        connection = ShapedConnection(target, None, time.monotonic, LinkModel(1e9, 0.1))
        began = time.monotonic()
        connection.connect()
        took_s = time.monotonic() - began
        assert connection.request(REQUEST, Progress()).status == 201
        connection.close()
    assert took_s >= 0.1 * round_trips
    assert connection.tls is not None
    assert connection.tls.round_trips == round_trips - 1


def test_a_certificate_file_may_have_comments_in_any_script(certificate):
    context = make_tls_context("# autorit\u00e9 \u2014 \u7f72\u540d\n" + certificate[0].read_text())
    assert len(context.get_ca_certs()) == 1
