"""Thousands of connections that do nothing, hundreds that do it slowly, and the rest that must not notice."""

import contextlib
import resource
import selectors
import socket
import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.mock_in_process import head, path_of, photo, station
from tests.support.mock_process import Process, process

IDLE = 5000
SLOW = 500


@contextlib.contextmanager
def many_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < IDLE + SLOW + 200:
        pytest.fail(f"the machine lets a process have only {before[1]} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Crowd(threading.Thread):
    """Slow uploads, each a kilobyte a second, by one thread."""

    def __init__(self, port: int, tokens: list[str]) -> None:
        super().__init__(daemon=True)
        self.lines: list[socket.socket] = []
        self.over = threading.Event()
        for number in range(SLOW):
            line = socket.create_connection(("127.0.0.1", port))
            code = station(number % len(tokens) + 1)
            headers = {"Authorization": f"Bearer {tokens[number % len(tokens)]}", "Content-Type": "image/jpeg"}
            line.sendall(head("PUT", path_of(code, 3), headers, 1_000_000))
            self.lines.append(line)

    def run(self) -> None:
        while not self.over.wait(0.1):
            for line in self.lines[:: len(self.lines) // SLOW]:
                line.sendall(b"x" * 100)


def idle_lines(server: Process) -> list[socket.socket]:
    """Open connections, no more at a time than the backlog of a server that is starved of its core can hold."""
    lines: list[socket.socket] = []
    while len(lines) < IDLE:
        lines += [socket.create_connection(("127.0.0.1", server.ready["port"])) for _ in range(500)]
        until_metric(server, "process_open_fds", len(lines))
    return lines


def until_metric(server: Process, name: str, least: float) -> None:
    deadline = time.monotonic() + 20
    while server.metric(name) < least:
        assert time.monotonic() < deadline, f"{name} is not {least} after 20 s"
        time.sleep(0.01)


def uploads(server: Process, tokens: list[str], numbers: range, page: int) -> list[float]:
    """How long each of some uploads took, one after the other, in seconds."""
    took = []
    for number in numbers:
        picture = photo((number, page), size=200_000)
        headers = {"Authorization": f"Bearer {tokens[number - 1]}", "Content-Type": "image/jpeg"}
        begun = time.monotonic()
        assert server.ask("PUT", path_of(station(number), page), headers, picture)[0] == 201
        took.append(time.monotonic() - begun)
    return took


@pytest.mark.slow
def test_5000_idle_and_500_slow_connections_do_not_disturb_the_rest(tmp_path):
    with many_descriptors(), process(tmp_path, header_timeout="1h", body_timeout="1h") as server:
        port = server.ready["port"]
        tokens = [server.token(station(number)) for number in range(1, 101)]
        alone = uploads(server, tokens, range(1, 101), page=1)
        idle = idle_lines(server)
        crowd = Crowd(port, tokens)
        crowd.start()
        until_metric(server, "http_server_active_requests", SLOW)
        assert server.metric("process_open_fds") > IDLE + SLOW
        assert server.metric("http_server_active_requests") == SLOW
        cpu, begun = server.metric("process_cpu_seconds_total"), time.monotonic()
        time.sleep(2.0)
        busy = (server.metric("process_cpu_seconds_total") - cpu) / (time.monotonic() - begun)
        among = uploads(server, tokens, range(1, 101), page=2)
        lag = server.metric("mock_server_loop_lag_p99_seconds")
        crowd.over.set()
        crowd.join()
        sockets = [*idle, *crowd.lines]
        with selectors.DefaultSelector() as selector:
            for line in sockets:
                selector.register(line, selectors.EVENT_READ)
            assert selector.select(0) == [], "nobody was answered or cut off"
        for line in sockets:
            line.close()
        # 5,000 pieces a second of 100 bytes cost something; two noisy cores cost more: half a core is argued enough.
        assert busy < 0.6
        assert lag < 0.1, "one look in a hundred; the worst one of a busy machine says nothing of the server"
        assert statistics.median(among) < 3 * statistics.median(alone) + 0.02
