"""An attempt's way to the server: which connection each of its requests takes, and what the times say."""

import socket
import time

import pytest

from harness.drive.client.connection import Endpoint, Progress
from harness.drive.client.outcomes import ConnectionClosedError
from harness.drive.client.pool import ConnectionPool
from harness.drive.client.session import AttemptConnection
from tests.support.scripted_server import REQUEST, read_request, scripted

STAYS = b"HTTP/1.1 204 No Content\r\n\r\n"
ENDS = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def wire_to(address, policy="new"):
    connections = ConnectionPool(Endpoint(socket.AF_INET, address, "x"), policy, time.monotonic)
    lane = connections.lane()
    return lane, AttemptConnection(lane, time.monotonic, Progress(), None, time.monotonic() + 10)


@pytest.mark.parametrize(("said", "opened"), [(STAYS, [0, 0, 0]), (ENDS, [0, 1, 2])])
def test_requests_share_a_connection_until_the_server_ends_it(said, opened):
    took = []

    def script(connection, number):
        while read_request(connection)[0]:
            took.append(number)
            connection.sendall(said)

    with scripted(script, connections=opened[-1] + 1) as address:
        lane, wire = wire_to(address)
        connected = []
        for _ in opened:
            assert wire.ask(REQUEST).status == 204
            connected.append(wire.progress.connected_s)
        wire.let_go()
        lane.close()
    assert took == opened
    assert len(set(connected)) == 1  # when the attempt was connected first
    assert wire.progress.sent_bytes == 3 * len(REQUEST[0])


def test_the_times_are_those_of_the_latest_request():
    def script(connection, _number):
        read_request(connection)
        connection.sendall(STAYS)
        read_request(connection)
        connection.close()

    with scripted(script) as address:
        lane, wire = wire_to(address)
        wire.ask(REQUEST)
        assert wire.progress.first_byte_s >= wire.progress.body_sent_s
        with pytest.raises(ConnectionClosedError):
            wire.ask(REQUEST)
        wire.let_go()
        lane.close()
    assert wire.progress.first_byte_s != wire.progress.first_byte_s  # NaN: to the second nothing came


def test_a_connection_whose_request_broke_off_is_not_used_again():
    def script(connection, number):
        while read_request(connection)[0]:
            if number == 0:
                return
            connection.sendall(STAYS)

    with scripted(script, connections=2) as address:
        lane, wire = wire_to(address)
        with pytest.raises(ConnectionClosedError):
            wire.ask(REQUEST)
        wire.let_go()
        again = AttemptConnection(lane, time.monotonic, Progress(), None, time.monotonic() + 10)
        assert again.ask(REQUEST).status == 204
        again.let_go()
        lane.close()


def test_the_time_that_is_left_runs_out_and_does_not_go_below_nothing():
    now = [1.0]
    _, template = wire_to(("127.0.0.1", 1))
    wire = AttemptConnection(template._lane, lambda: now[0], Progress(), None, 3.0)
    assert wire.remaining_s == 2.0
    now[0] = 9.0
    assert wire.remaining_s == 0.0
