"""Paced connections over real sockets: rates, round trips, outages, and what is heard while sending."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import gevent
import numpy as np
import pytest

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


def timed(address, line, size=50_000):
    """Seconds from connected to all sent, and the whole exchange's."""
    made, progress = connection(address, line), Progress()
    try:
        began = time.monotonic()
        made.connect()
        connected = time.monotonic()
        assert made.request(request(size), progress).status == 201
        return connected - began, progress.body_sent_s - connected, time.monotonic() - connected, progress
    finally:
        made.close()


@pytest.mark.heavy
@pytest.mark.timed
def test_an_upload_takes_as_long_as_its_line_needs(sink):
    _, sent_s, _, progress = timed(sink, LinkModel(100_000))
    assert progress.sent_bytes == 50_000 + len(request(50_000)[0])
    assert sent_s == pytest.approx(progress.sent_bytes / 100_000, abs=0.1)


@pytest.mark.timed
def test_a_round_trip_is_paid_for_connecting_and_another_for_the_answer(sink):
    connecting_s, sent_s, whole_s, progress = timed(sink, LinkModel(1e9, rtt_s=0.2), size=100)
    assert connecting_s == pytest.approx(0.2, abs=0.1)
    assert sent_s == pytest.approx(0.1, abs=0.08)
    assert whole_s == pytest.approx(0.2, abs=0.15)
    assert progress.first_byte_s - progress.body_sent_s >= 0.1


@pytest.mark.timed
def test_an_outage_holds_the_upload_up(sink):
    now = time.monotonic()
    _, sent_s, _, _ = timed(sink, LinkModel(100_000, outages=iter([(now + 0.2, now + 0.7)])), size=40_000)
    assert sent_s == pytest.approx(0.4 + 0.5, abs=0.1)


@pytest.mark.timed
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
