"""A server that does to each connection exactly what a script says: raw sockets in a thread."""

import socket
import struct
import threading
from contextlib import contextmanager

REQUEST = [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"]
OK = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-Name: value\r\n\r\nok"


def read_request(connection, limit=10_000_000):
    """Head and body of one request with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            return data, b""
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(
        next((line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
    )
    while len(body) < min(length, limit):
        body += connection.recv(65_536)
    return head, body


def reset(connection):
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextmanager
def scripted(script, connections=1):
    """A listening server; `script(connection, number)` is called for each connection in turn. Yields its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.settimeout(60)
    errors = []

    def serve():
        try:
            for number in range(connections):
                connection, _ = listener.accept()
                connection.settimeout(60)
                with connection:
                    script(connection, number)
        except Exception as error:  # noqa: BLE001 - raised again in the test
            errors.append(error)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        thread.join(60)
        listener.close()
    assert not errors, errors
    assert not thread.is_alive()
