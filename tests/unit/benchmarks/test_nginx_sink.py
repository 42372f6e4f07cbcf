"""A sink is one only if it reads a body to its last byte before it answers."""

import contextlib
import socket
import threading

import pytest

from benchmarks.peers.nginx_sink import NginxSink

BODY = 1000
OK = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


@contextlib.contextmanager
def server(act):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            with connection:
                act(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


def read_all(connection):
    """Head and body, or what came before the other side left."""
    received = b""
    while not received.partition(b"\r\n\r\n")[2].endswith(bytes(BODY)):
        piece = connection.recv(65536)
        if not piece:
            return
        received += piece


def answers(connection):
    read_all(connection)
    connection.sendall(OK)


def answers_after_the_head(connection):
    connection.recv(10, socket.MSG_PEEK)
    connection.sendall(OK)
    read_all(connection)


def leaves_after_the_head(connection):
    connection.recv(10, socket.MSG_PEEK)
    connection.shutdown(socket.SHUT_WR)
    read_all(connection)


def answers_with_an_error(connection):
    read_all(connection)
    connection.sendall(OK.replace(b"201 Created", b"502 Bad Gateway"))


@pytest.mark.parametrize(
    ("act", "reads"),
    [(answers, True), (answers_after_the_head, False), (leaves_after_the_head, False), (answers_with_an_error, False)],
)
def test_a_sink_that_answers_early_leaves_or_fails_is_found_out(act, reads, tmp_path):
    with server(act) as port:
        assert NginxSink(tmp_path, port).reads_bodies(BODY) is reads
