"""The lock of the connection: who knows the token gets through, who doesn't is not even heard."""

import secrets
import time

import msgpack
import pytest
import zmq

from harness.base.errors import UsageError
from harness.drive.distributed.auth import MIN_TOKEN_CHARACTERS, derive_keys, encrypt_socket, read_join_token
from harness.drive.distributed.leader_client import LeaderClient

TOKEN = "a-join-token-for-tests-only"


@pytest.mark.parametrize(
    ("token", "found"), [("", "is not set"), ("x" * (MIN_TOKEN_CHARACTERS - 1), "has 23 characters")]
)
def test_a_token_that_is_missing_or_short_is_refused_with_the_way_to_make_one(token, found):
    with pytest.raises(UsageError) as caught:
        read_join_token({"HARNESS_JOIN_TOKEN": token})
    assert found in str(caught.value)
    assert "head -c 32 /dev/urandom" in str(caught.value)
    assert token == "" or token not in str(caught.value)


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


def test_who_knows_the_token_is_heard_and_answered(master):
    socket, port = master
    with LeaderClient("127.0.0.1", port, "b_1", TOKEN) as line:
        until = time.monotonic() + 60
        while not line.say("join", {"name": "b"}) and time.monotonic() < until:
            line.hear(0.05)
        assert socket.poll(60_000)
        identity, message = socket.recv_multipart()
        assert (identity, msgpack.loads(message)) == (b"b_1", ["join", {"name": "b"}, "b_1"])
        socket.send_multipart([identity, msgpack.dumps(("welcome", 0, "master"))])
        assert line.hear(60.0) == ("welcome", 0)
        line.hear(0.0)
        assert (line.reached, line.trusted) == (True, True)


def test_who_has_another_token_is_not_heard_and_can_tell_why(master):
    socket, port = master
    with LeaderClient("127.0.0.1", port, "b_1", secrets.token_hex(32)) as line:
        until = time.monotonic() + 60
        while not line.reached and time.monotonic() < until:
            line.hear(0.02)
        for _ in range(10):
            line.say("join", {"name": "b"})
            line.hear(0.02)
        assert not socket.poll(0)
        assert (line.reached, line.trusted) == (True, False)


def test_who_speaks_without_a_lock_is_not_heard_either(master):
    socket, port = master
    with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
        plain.setsockopt(zmq.LINGER, 0)
        plain.connect(f"tcp://127.0.0.1:{port}")
        plain.send(msgpack.dumps(("client_ready", None, "x")))
        assert not socket.poll(200)
