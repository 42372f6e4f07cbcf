"""How many connections the stations of a worker open, from which addresses, and which one each request of an attempt uses."""

import errno
import fcntl
import socket
import struct
import termios
import threading
import time

import gevent
import pytest

from harness.drive.client.connection import Connection, Endpoint, Progress
from harness.drive.client.outcomes import AttemptTimeoutError, ConnectionClosedError
from harness.drive.client.pool import AttemptConnection, ConnectionPool
from harness.station.link import LinkModel
from tests.support.scripted_server import OK, REQUEST, read_request, reset, scripted

STAYS = b"HTTP/1.1 204 No Content\r\n\r\n"
ENDS = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def test_source_addresses_are_taken_in_turn():
    peers = []

    def script(connection, _number):
        peers.append(connection.getpeername()[0])
        connection.close()

    with scripted(script, connections=3) as address:
        connections = ConnectionPool(
            Endpoint(socket.AF_INET, address, "x", ("127.0.0.1", "127.0.0.2")), "each", time.monotonic
        )
        for _ in range(3):
            connection = connections.source().lease()
            connection.connect()
            connection.close()
            time.sleep(0.05)
    assert peers == ["127.0.0.1", "127.0.0.2", "127.0.0.1"]


@pytest.mark.parametrize(("policy", "opened"), [("new", 2), ("each", 4), ("reuse", 1)])
def test_the_connection_policy_decides_how_many_connections_two_stations_with_two_pages_open(policy, opened):
    def script(connection, _number):
        while read_request(connection)[0]:
            connection.sendall(OK)
        connection.close()

    with scripted(script, connections=opened) as address:
        connections = ConnectionPool(Endpoint(socket.AF_INET, address, "x"), policy, time.monotonic)
        seen = []
        for _station in range(2):
            source = connections.source()
            for _page in range(2):
                connection = source.lease()
                if not connection.used:
                    connection.connect()
                    seen.append(connection)
                answer = connection.request(REQUEST, Progress())
                source.release(connection, alive=answer.keep_alive)
            source.close()
        connections.close()
    assert len(seen) == opened


def connection_to(address, policy="new"):
    connections = ConnectionPool(Endpoint(socket.AF_INET, address, "x"), policy, time.monotonic)
    source = connections.source()
    return source, AttemptConnection(source, time.monotonic, Progress(), None, time.monotonic() + 10)


BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
LONG = [b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n", bytes(8_000_000)]
"""More than the kernels of both sides take of what nobody reads."""


@pytest.mark.parametrize("reads", [0, 50_000])
@pytest.mark.parametrize("link", [None, LinkModel(50e6)], ids=["plain", "shaped"])
@pytest.mark.parametrize("ending", ["refused", "timed out", "reset"])
def test_what_the_server_has_not_received_does_not_count_as_sent(ending, link, reads):
    received, asked = [], threading.Event()

    def script(connection, _number):
        taken = 0
        while taken < reads:
            taken += len(connection.recv(reads - taken))
        if ending == "refused":
            connection.sendall(BUSY)
        if ending == "reset":
            time.sleep(0.1)  # until its receive buffer is full
            received.append(taken + waiting(connection))
            reset(connection)
        asked.wait(30)
        if ending != "reset":
            received.append(taken + waiting(connection))

    with scripted(script) as address:
        connections = ConnectionPool(Endpoint(socket.AF_INET, address, "x"), "each", time.monotonic)
        source = connections.source(link)
        attempt = AttemptConnection(source, time.monotonic, Progress(), None, time.monotonic() + 10)
        if ending == "refused":
            assert attempt.request(LONG).status == 503
        else:
            with pytest.raises((AttemptTimeoutError, OSError)), gevent.Timeout(1.0, AttemptTimeoutError):
                attempt.request(LONG)
        asked.set()
        attempt.release()
        source.close()
    # A shaped link is still sending when it is refused: what it sent since then has arrived too.
    assert reads <= attempt.progress.sent_bytes <= received[0]
    if link is None or ending == "timed out":
        assert attempt.progress.sent_bytes == received[0]
    assert received[0] < 3_000_000


def waiting(connection):
    """Bytes that have arrived and were not read."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))[0]


def test_a_body_that_the_server_has_read_counts_whole_though_no_answer_comes():
    def script(connection, _number):
        read_request(connection)
        connection.close()

    with scripted(script) as address:
        source, attempt = connection_to(address)
        with pytest.raises(ConnectionClosedError):
            attempt.request(LONG)
        attempt.release()
        source.close()
    assert attempt.progress.sent_bytes == sum(map(len, LONG))


@pytest.mark.parametrize(("said", "opened"), [(STAYS, [0, 0, 0]), (ENDS, [0, 1, 2])])
def test_requests_share_a_connection_until_the_server_ends_it(said, opened):
    took = []

    def script(connection, number):
        while read_request(connection)[0]:
            took.append(number)
            connection.sendall(said)

    with scripted(script, connections=opened[-1] + 1) as address:
        source, attempt = connection_to(address)
        connected = []
        for _ in opened:
            assert attempt.request(REQUEST).status == 204
            connected.append(attempt.progress.connected_s)
        attempt.release()
        source.close()
    assert took == opened
    assert len(set(connected)) == 1  # when the attempt was connected first
    assert attempt.progress.sent_bytes == 3 * len(REQUEST[0])


def test_the_times_are_those_of_the_latest_request():
    def script(connection, _number):
        read_request(connection)
        connection.sendall(STAYS)
        read_request(connection)
        connection.close()

    with scripted(script) as address:
        source, attempt = connection_to(address)
        attempt.request(REQUEST)
        assert attempt.progress.first_byte_s >= attempt.progress.body_sent_s
        with pytest.raises(ConnectionClosedError):
            attempt.request(REQUEST)
        attempt.release()
        source.close()
    assert attempt.progress.first_byte_s != attempt.progress.first_byte_s  # NaN: to the second nothing came


def test_a_connection_whose_request_broke_off_is_not_used_again():
    def script(connection, number):
        while read_request(connection)[0]:
            if number == 0:
                return
            connection.sendall(STAYS)

    with scripted(script, connections=2) as address:
        source, attempt = connection_to(address)
        with pytest.raises(ConnectionClosedError):
            attempt.request(REQUEST)
        attempt.release()
        again = AttemptConnection(source, time.monotonic, Progress(), None, time.monotonic() + 10)
        assert again.request(REQUEST).status == 204
        again.release()
        source.close()


def test_the_time_that_is_left_runs_out_and_does_not_go_below_nothing():
    now = [1.0]
    _, template = connection_to(("127.0.0.1", 1))
    attempt = AttemptConnection(template._source, lambda: now[0], Progress(), None, 3.0)
    assert attempt.remaining_s == 2.0
    now[0] = 9.0
    assert attempt.remaining_s == 0.0


def test_a_kept_connection_that_the_server_closed_while_idle_is_replaced_and_counted():
    def script(connection, _number):
        read_request(connection)
        connection.sendall(OK)  # says nothing of closing
        connection.close()

    with scripted(script, connections=2) as address:
        connections = ConnectionPool(Endpoint(socket.AF_INET, address, "x"), "new", time.monotonic)
        source = connections.source()
        attempt = AttemptConnection(source, time.monotonic, Progress(), None, time.monotonic() + 10)
        assert attempt.request(REQUEST).status == 201
        time.sleep(0.1)  # the server's FIN arrives
        assert attempt.request(REQUEST).status == 201  # the second request of one attempt, as after a login
        attempt.release()
        time.sleep(0.1)
        assert connections.stale_connections == 1
        fresh = source.lease()
        assert (fresh.used, connections.stale_connections) == (False, 2)
        fresh.close()


class ClosedOnSending(Connection):
    """A kept connection whose close is noticed only when the request is sent, before its first byte."""

    def _send(self, buffers, progress, bodiless):
        if self.reused:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        self.reused = True
        return super()._send(buffers, progress, bodiless)

    reused = False


def test_a_close_noticed_before_the_first_byte_is_no_failure_but_one_after_it_is(monkeypatch):
    def script(connection, _number):
        while read_request(connection)[0]:
            connection.sendall(OK)

    monkeypatch.setattr("harness.drive.client.pool.Connection", ClosedOnSending)
    with scripted(script, connections=2) as address:
        connections = ConnectionPool(Endpoint(socket.AF_INET, address, "x"), "new", time.monotonic)
        attempt = AttemptConnection(connections.source(), time.monotonic, Progress(), None, time.monotonic() + 10)
        assert [attempt.request(REQUEST).status for _ in range(2)] == [201, 201]
        assert connections.stale_connections == 1
        monkeypatch.setattr(ClosedOnSending, "_send", sent_a_byte_and_broke)
        with pytest.raises(BrokenPipeError):
            attempt.request(REQUEST)
        assert connections.stale_connections == 1  # nothing was sent again
        attempt.release()


def sent_a_byte_and_broke(_connection, _buffers, progress, _bodiless):
    progress.sent_bytes += 1
    raise BrokenPipeError(errno.EPIPE, "Broken pipe")
