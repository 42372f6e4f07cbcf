"""A graceful stop: what has begun is finished within the grace time, new work is refused."""

import json
import signal
import socket
import threading
import time

from tests.support.mock_in_process import STATION, head, path_of, photo
from tests.support.mock_process import LONGEST_S, Process, put

BUSY_S = 20.0
"""What a busy machine may take for milliseconds of work; far from the time that would show a mistake."""


def test_a_graceful_stop_finishes_what_it_has_and_refuses_new_work(tmp_path):
    server = Process(tmp_path, service_time="3s", grace="1h")
    token = server.token(STATION)
    statuses: dict[int, int] = {}
    running = threading.Thread(target=lambda: statuses.__setitem__(1, put(server, token, page=1)))
    running.start()
    server.until(lambda: server.metric("mock_server_workers_busy") == 1)
    server.popen.send_signal(signal.SIGTERM)
    server.until(lambda: server.ask("GET", "/readyz")[0] == 503)
    assert put(server, token, page=2) == 503
    running.join()
    assert statuses == {1: 201}
    assert server.popen.wait(LONGEST_S) == 0, "it stops once nothing is left, not when the grace time is over"
    server.end()


def test_a_graceful_stop_refuses_what_it_cannot_finish_in_its_grace_time(tmp_path):
    server = Process(tmp_path, service_time="1h", grace="2s", workers=1)
    token = server.token(STATION)
    statuses: list[int] = []
    uploads = [
        threading.Thread(target=lambda page=page: statuses.append(put(server, token, page=page))) for page in (1, 2)
    ]
    for upload in uploads:
        upload.start()
    server.until(lambda: server.metric("mock_server_queue_depth") == 1)
    begun = time.monotonic()
    server.popen.send_signal(signal.SIGTERM)
    assert server.popen.wait(LONGEST_S) == 0
    assert time.monotonic() - begun < 2 + BUSY_S, "the work would take an hour"
    for upload in uploads:
        upload.join()
    assert statuses == [503, 503]
    server.end()


def half_sent(server: Process, token: str) -> tuple[socket.socket, bytes]:
    """A connection on which half an upload has come, and the other half."""
    line, picture = socket.create_connection(("127.0.0.1", server.ready["port"])), photo(size=100_000)
    line.settimeout(LONGEST_S)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "image/jpeg"}
    line.sendall(head("PUT", path_of(), headers, len(picture)) + picture[:50_000])
    server.until(lambda: server.metric("http_server_active_requests") == 1)
    return line, picture[50_000:]


def test_an_upload_that_is_half_sent_may_be_finished_within_the_grace_time(tmp_path):
    server = Process(tmp_path, grace="60s")
    line, rest = half_sent(server, server.token(STATION))
    with line:
        server.popen.send_signal(signal.SIGTERM)
        server.until(lambda: server.ask("GET", "/readyz")[0] == 503)
        line.sendall(rest)
        assert line.recv(65536).startswith(b"HTTP/1.1 201")
    assert server.popen.wait(LONGEST_S) == 0
    server.end()


def test_an_upload_that_is_half_sent_at_the_end_of_the_grace_time_is_refused(tmp_path):
    server = Process(tmp_path, grace="1500ms")
    line, rest = half_sent(server, server.token(STATION))
    with line:
        begun = time.monotonic()
        server.popen.send_signal(signal.SIGTERM)
        answer = line.recv(65536)
        line.sendall(rest)
        head_, _, body = answer.partition(b"\r\n\r\n")
        assert head_.startswith(b"HTTP/1.1 503")
        assert b"connection: close" in head_.lower()
        assert json.loads(body)["detail"] == "The server is stopping"
        assert server.popen.wait(LONGEST_S) == 0
        assert time.monotonic() - begun < 1.5 + BUSY_S, "the body's own timeout would be a minute"
    server.end()
