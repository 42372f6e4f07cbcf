"""Encryption of the connection: only peers that know the token get through."""

import secrets
import time
from typing import Any

import msgpack
import pytest
import zmq

from harness.base.errors import UsageError
from harness.drive.distributed.auth import (
    MIN_TOKEN_CHARACTERS,
    derive_keys,
    encrypt_locust,
    encrypt_socket,
    read_join_token,
)
from harness.drive.distributed.leader_client import LeaderClient

TOKEN = "a-join-token-for-tests-only"


@pytest.mark.parametrize(
    ("token", "found"), [("", "is not set"), ("x" * (MIN_TOKEN_CHARACTERS - 1), "has 23 characters, fewer than 24")]
)
def test_a_token_that_is_missing_or_short_is_refused_with_the_way_to_make_one(token, found):
    with pytest.raises(UsageError) as caught:
        read_join_token({"HARNESS_JOIN_TOKEN": token})
    assert found in str(caught.value)
    assert "head -c 32 /dev/urandom" in str(caught.value)
    assert token == "" or token not in str(caught.value)


@pytest.mark.heavy
def test_the_keys_come_from_the_token_and_the_side_alone():
    assert derive_keys(TOKEN, "master") == derive_keys(TOKEN, "master")
    assert len({derive_keys(TOKEN, "master"), derive_keys(TOKEN, "worker"), derive_keys(TOKEN + "x", "master")}) == 3


@pytest.fixture
def master():
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    encrypt_socket(socket, TOKEN, master=True)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    yield socket, port
    socket.close(linger=0)
    context.term()


def test_a_client_with_the_token_is_answered(master):
    socket, port = master
    with LeaderClient("127.0.0.1", port, "b_1", TOKEN) as client:
        until = time.monotonic() + 60
        while not client.send("join", {"name": "b"}) and time.monotonic() < until:
            client.receive(0.05)
        assert socket.poll(60_000)
        identity, message = socket.recv_multipart()
        assert (identity, msgpack.loads(message)) == (b"b_1", ["join", {"name": "b"}, "b_1"])
        socket.send_multipart([identity, msgpack.dumps(("welcome", 0, "master"))])
        assert client.receive(60.0) == ("welcome", 0)
        client.receive(0.0)
        assert (client.connected, client.authenticated) == (True, True)


def test_a_client_with_another_token_is_not_received_and_knows_why(master):
    socket, port = master
    with LeaderClient("127.0.0.1", port, "b_1", secrets.token_hex(32)) as client:
        until = time.monotonic() + 60
        while not client.connected and time.monotonic() < until:
            client.receive(0.02)
        for _ in range(10):
            client.send("join", {"name": "b"})
            client.receive(0.02)
        assert not socket.poll(0)
        assert (client.connected, client.authenticated) == (True, False)


def test_a_client_without_encryption_is_not_received(master):
    socket, port = master
    with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
        plain.setsockopt(zmq.LINGER, 0)
        plain.connect(f"tcp://127.0.0.1:{port}")
        plain.send(msgpack.dumps(("client_ready", None, "x")))
        assert not socket.poll(200)


# that the real Locust's sockets are encrypted is shown in tests/integration/machines


class LikeLocusts:
    """Makes its socket as locust.rpc.zmqrpc.BaseSocket of 2.47 does; importing that would patch this process."""

    def __init__(self, sock_type, ipv4_only):
        self.socket: Any = zmq.Context.instance().socket(sock_type)
        self.ipv4_only = ipv4_only


@pytest.mark.parametrize(("kind", "master"), [(zmq.ROUTER, 1), (zmq.DEALER, 0)])
def test_every_socket_is_encrypted_for_its_side(kind, master):
    class Encrypted(LikeLocusts):
        __init__ = LikeLocusts.__init__

    encrypt_locust(Encrypted, TOKEN)
    made = Encrypted(kind, True)
    assert made.socket.mechanism == zmq.CURVE
    assert made.socket.curve_server == master
    made.socket.close()


def test_a_locust_that_makes_its_sockets_differently_is_refused_rather_than_left_open():
    class Changed:
        def __init__(self, sock_type):
            self.sock_type = sock_type

    with pytest.raises(RuntimeError, match="can't be encrypted"):
        encrypt_locust(Changed, TOKEN)
