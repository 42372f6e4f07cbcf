"""Before a run one connection is tried: real sockets on this machine that listen, don't, hang, or speak something else."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from harness.base.address import Origin
from harness.base.errors import UsageError
from harness.target import connect
from harness.target.connect import check_reachable, make_tls_context, open_connection
from mock_server.net import tls as server_tls

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return server_tls.make_certificate(tmp_path_factory.mktemp("certificate"), HERE)


@contextlib.contextmanager
def listening(answer=None):
    """A socket that listens; what comes in is handed to `answer`, in a thread, until it is closed. Gives its port."""
    with socket.create_server((HERE, 0), backlog=1) as listener:

        def take():
            with contextlib.suppress(OSError):
                while True:
                    taken, _ = listener.accept()
                    with taken, contextlib.suppress(OSError):
                        answer(taken)

        if answer is not None:
            threading.Thread(target=take, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def closed_port():
    with socket.create_server((HERE, 0)) as listener:
        return listener.getsockname()[1]


def problem(scheme, port, context=None, timeout_s=5.0):
    with pytest.raises(UsageError) as caught:
        check_reachable(Origin(scheme, "localhost", port), HERE, context, timeout_s)
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_where_nobody_listens_is_told_with_what_to_do(scheme):
    port = closed_port()
    said = problem(scheme, port)
    assert said == (
        f"--target: connection refused by {scheme}://localhost:{port} (127.0.0.1): start the server, or check the address"
    )


def test_a_server_that_listens_is_connected_to_once_and_asked_nothing():
    heard = []
    with listening(lambda taken: heard.append(taken.recv(100))) as port:
        check_reachable(Origin("http", "localhost", port), HERE, None)
        with open_connection(
            Origin("http", "localhost", port), HERE, None, 5.0
        ):  # taken after the first one was done with
            pass
        for _ in range(500):
            if len(heard) == 2:
                break
            threading.Event().wait(0.01)
    assert heard == [b"", b""]


def test_a_server_that_takes_no_connection_in_time_is_told_so():
    with listening() as port, contextlib.ExitStack() as waiting:
        for _ in range(4):  # more than its backlog
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((HERE, port))
        assert "accepted no connection within 0.3 s: start the server" in problem("http", port, timeout_s=0.3)


def test_a_server_that_is_silent_in_the_handshake_is_told_so():
    with listening() as port:
        assert "accepted no connection within 0.3 s" in problem("https", port, timeout_s=0.3)


def test_a_server_that_speaks_plain_http_on_an_https_target_is_told_so():
    with listening(lambda taken: (taken.recv(100), taken.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))) as port:
        assert "failed (WRONG_VERSION_NUMBER)" in problem("https", port)


def test_a_server_that_hangs_up_in_the_handshake_is_told_so():
    with listening(lambda taken: taken.recv(5)) as port:
        assert f"https://localhost:{port} (127.0.0.1)" in problem("https", port)


def test_a_certificate_counts_only_under_its_authority(certificate):
    context = server_tls.server_context(*certificate)

    def shake_hands(taken):
        with context.wrap_socket(taken, server_side=True) as secured:
            secured.recv(1)

    with listening(shake_hands) as port:
        check_reachable(Origin("https", HERE, port), HERE, make_tls_context(certificate[0].read_text()))
        assert "name its authority with client.tls.authority" in problem("https", port)


def test_a_localhost_that_leads_elsewhere_is_refused(monkeypatch):
    assert str(connect.parse_loopback_origin("--host", "http://localhost:8080")) == "http://localhost:8080"
    monkeypatch.setattr(connect, "resolve_address", lambda _: "192.0.2.1")
    with pytest.raises(UsageError, match="only servers on this machine"):
        connect.parse_loopback_origin("--host", "http://localhost:8080")
