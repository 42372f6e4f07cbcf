"""Paced connections over real sockets: rates, round trips, outages, and what is heard while sending."""

import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import gevent
import numpy as np
import pytest

from harness.drive.client import shaped_connection
from harness.drive.client.connection import Connection, Endpoint, Progress
from harness.drive.client.outcomes import AttemptTimeoutError, Stage
from harness.drive.client.pool import ConnectionPool
from harness.drive.client.shaped_connection import ShapedConnection
from harness.station.link import LinkModel
from tests.support.scripted_server import scripted

OK = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def sink():
    process = subprocess.Popen(
        [sys.executable, Path(__file__).parents[3] / "support" / "accepting_server.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield ("127.0.0.1", int(process.stdout.readline()))
    process.communicate()


def connection(address, line):
    return ShapedConnection(Endpoint(socket.AF_INET, address, "x"), None, time.monotonic, line)


def request(size):
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    return [head, memoryview(bytes(size))]


def timed(address, line, size=50_000, clock=time.monotonic):
    """Seconds to connect, from connected to all sent, and the whole exchange's; what was sent when."""
    made, progress = ShapedConnection(Endpoint(socket.AF_INET, address, "x"), None, clock, line), Progress()
    try:
        began = clock()
        made.connect()
        connected = clock()
        assert made.request(request(size), progress).status == 201
        return connected - began, progress.body_sent_s - connected, clock() - connected, progress
    finally:
        made.close()


@pytest.fixture
def waits(monkeypatch):
    """A clock that only the connection's own waits move: real sockets take no time on it."""

    class Waits:
        now_s = 0.0

        def __call__(self):
            return self.now_s

        def sleep(self, seconds):
            self.now_s += seconds

        def wait_read(self, number, timeout, timeout_exc):
            if not select.select([number], [], [], 0)[0]:
                self.now_s += timeout
                raise timeout_exc

    found = Waits()
    monkeypatch.setattr(shaped_connection, "wait_read", found.wait_read)
    monkeypatch.setattr(shaped_connection, "gevent", SimpleNamespace(sleep=found.sleep))
    return found


def test_an_upload_takes_as_long_as_its_line_needs(sink, waits):
    _, sent_s, _, progress = timed(sink, LinkModel(100_000), clock=waits)
    assert progress.sent_bytes == 50_000 + len(request(50_000)[0])
    assert sent_s == pytest.approx(progress.sent_bytes / 100_000)


def test_a_round_trip_is_paid_for_connecting_and_another_for_the_answer(sink, waits):
    connecting_s, sent_s, whole_s, progress = timed(sink, LinkModel(1e9, rtt_s=0.2), size=100, clock=waits)
    assert connecting_s == pytest.approx(0.2)
    assert sent_s == pytest.approx(0.1, abs=1e-6)  # and what 150 bytes take
    assert whole_s == pytest.approx(0.2, abs=1e-6)
    assert progress.first_byte_s - progress.body_sent_s == pytest.approx(0.1)


def test_an_outage_holds_the_upload_up(sink, waits):
    line = LinkModel(100_000, outages=iter([(0.2, 0.7)]))
    _, sent_s, _, progress = timed(sink, line, size=40_000, clock=waits)
    assert sent_s == pytest.approx(progress.sent_bytes / 100_000 + 0.5)


@pytest.mark.timed  # the rates of a thousand real connections at once, on real clocks: how even they are is the machine's
@pytest.mark.models
def test_a_thousand_stations_at_once_have_their_rates(sink):
    """Real rates, so nothing may run beside it; the bench measures what it is on a quiet one."""
    rates = np.random.default_rng(1).uniform(15_000, 40_000, 1000)
    jobs = [gevent.spawn(timed, sink, LinkModel(rate)) for rate in rates]
    gevent.joinall(jobs, raise_error=True)
    achieved = np.array([job.value[3].sent_bytes / job.value[1] for job in jobs])
    off = np.abs(achieved / rates - 1)
    assert np.median(off) < 0.05
    assert np.quantile(off, 0.99) < 0.15


@pytest.mark.heavy
def test_an_early_refusal_is_heard_in_the_middle_of_a_step():
    def refuse(accepted, _number):
        accepted.recv(20_000)
        accepted.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        time.sleep(0.1)

    with scripted(refuse) as address:
        made, progress = connection(address, LinkModel(16_384)), Progress()
        made.connect()
        began = time.monotonic()
        answer = made.request(request(200_000), progress)
        assert answer.status == 503
        assert not answer.keep_alive
        assert time.monotonic() - began < 9  # the whole body would take 12 s
        assert progress.sent_bytes <= 3 * 16_384
        made.close()


def test_the_deadline_strikes_while_the_line_is_slow():
    with scripted(lambda accepted, _: accepted.recv(1)) as address:
        made, progress = connection(address, LinkModel(10_000)), Progress()
        made.connect()
        with pytest.raises(AttemptTimeoutError), gevent.Timeout(0.3, AttemptTimeoutError):
            made.request(request(100_000), progress)
        assert progress.stage is Stage.SEND
        made.close()


@pytest.mark.heavy
def test_a_line_that_the_server_held_up_does_not_catch_up_afterwards():
    """What wasn't sent because the server took nothing is not made up for at more than the line's rate."""

    def pause_then_read(accepted, _number):
        time.sleep(1.0)
        head, body = b"", 0
        while b"\r\n\r\n" not in head:
            head += accepted.recv(65_536)
        body = len(head.split(b"\r\n\r\n", 1)[1])
        while body < 40_000_000:
            body += len(accepted.recv(1_048_576))
        accepted.sendall(OK)

    with scripted(pause_then_read) as address:
        made, progress = connection(address, LinkModel(40_000_000)), Progress()  # a second's worth
        made.connect()
        began = time.monotonic()
        made.request(request(40_000_000), progress)
        assert progress.body_sent_s - began > 1.0 + 0.4  # the kernel holds some megabytes
        made.close()


def test_unlimited_connections_are_plain_ones_and_a_pooled_one_takes_the_line_of_its_user(sink):
    pool = ConnectionPool(Endpoint(socket.AF_INET, sink, "x"), "reuse", time.monotonic)
    plain = pool.source().lease()
    assert type(plain) is Connection
    plain.close()
    first, second = LinkModel(1e6), LinkModel(2e6)
    source = pool.source(first)
    made = source.lease()
    assert isinstance(made, ShapedConnection)
    made.connect()
    source.release(made, alive=True)
    again = pool.source(second).lease()
    assert again is made
    assert made.link is second
    made.close()
