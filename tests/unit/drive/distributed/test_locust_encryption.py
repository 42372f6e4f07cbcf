"""Locust's own sockets are locked, or nothing is; that the real Locust's are is shown in tests/integration/machines."""

from typing import Any

import pytest
import zmq

from harness.drive.distributed.locust_encryption import encrypt_locust

TOKEN = "a-join-token-for-tests-only"


class LikeLocusts:
    """Makes its socket as locust.rpc.zmqrpc.BaseSocket of 2.47 does; importing that would patch this process."""

    def __init__(self, sock_type, ipv4_only):
        self.socket: Any = zmq.Context.instance().socket(sock_type)
        self.ipv4_only = ipv4_only


@pytest.mark.parametrize(("kind", "master"), [(zmq.ROUTER, 1), (zmq.DEALER, 0)])
def test_every_socket_is_locked_as_its_side_of_the_line_is(kind, master):
    class Locked(LikeLocusts):
        __init__ = LikeLocusts.__init__

    encrypt_locust(Locked, TOKEN)
    made = Locked(kind, True)
    assert made.socket.mechanism == zmq.CURVE
    assert made.socket.curve_server == master
    made.socket.close()


def test_a_locust_that_makes_its_sockets_otherwise_is_refused_rather_than_left_open():
    class Changed:
        def __init__(self, sock_type):
            self.sock_type = sock_type

    with pytest.raises(RuntimeError, match="can't be locked"):
        encrypt_locust(Changed, TOKEN)
