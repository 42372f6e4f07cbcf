"""How many connections the stations of a worker open, and from which addresses."""

import socket
import time

import pytest

from harness.drive.client.connection import Endpoint, Progress
from harness.drive.client.pool import ConnectionPool
from tests.support.scripted_server import OK, REQUEST, read_request, scripted


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
            connection = connections.lane().lease()
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
            lane = connections.lane()
            for _page in range(2):
                connection = lane.lease()
                if not connection.used:
                    connection.connect()
                    seen.append(connection)
                answer = connection.exchange(REQUEST, Progress())
                lane.back(connection, alive=answer.keep_alive)
            lane.close()
        connections.close()
    assert len(seen) == opened
