"""The mock server in a process of its own, supervised over pipes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from tests.support.mock_in_process import STATION, path_of, photo

ADMIN_TOKEN = "let me in"
LONGEST_S = 60.0
"""A bound for what takes at most a second on an idle machine."""


STARTED: set[Process] = set()
"""Servers that have not been stopped yet."""


class Process:
    """A running `python -m mock_server --supervised`."""

    def __init__(self, folder: Path, *flags: str, t0: bool = True, **keys: Any) -> None:
        profile = folder / "profile.json"
        profile.write_text(json.dumps({"service_time": "0s", "grace": "2s", **keys}))
        self.folder = folder
        self.log = (folder / "log.txt").open("ab")
        arguments = ["--profile", str(profile), "--data", str(folder / "data"), "--port", "0", "--admin-port", "0"]
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "mock_server", "--supervised", *arguments, *flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env={**os.environ, "MOCK_SERVER_ADMIN_TOKEN": ADMIN_TOKEN},
        )  # fmt: skip
        STARTED.add(self)
        self.events: Queue[dict[str, Any]] = Queue()
        Thread(target=self._listen, daemon=True).start()
        self.ready = self.wait_for("ready")
        if t0:
            self.say({"event": "t0", "monotonic": time.monotonic()})

    def _listen(self) -> None:
        for line in self.popen.stdout or ():
            self.events.put(json.loads(line))

    def wait_for(self, event: str, longest_s: float = LONGEST_S) -> dict[str, Any]:
        """The next event of this kind; others are dropped."""
        while True:
            try:
                received = self.events.get(timeout=longest_s)
            except Empty:
                message = f"no {event}: {(self.folder / 'log.txt').read_text()}"
                raise AssertionError(message) from None
            if received["event"] == event:
                return received

    def say(self, command: dict[str, Any]) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps(command) + "\n")
        self.popen.stdin.flush()

    def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        *,
        admin: bool = False,
    ) -> tuple[int, bytes]:
        """Status and body of a request; OSError if there is no answer."""
        port = self.ready["admin_port" if admin else "port"]
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers or {}, method=method)
        if admin:
            request.add_header("Authorization", f"Bearer {ADMIN_TOKEN}")
        try:
            with urllib.request.urlopen(request, timeout=LONGEST_S) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def created(self, headers: dict[str, str], path: str = "/v1/files", data: bytes = b"") -> str:
        """Create a resumable upload by POST; its path."""
        url = f"http://127.0.0.1:{self.ready['port']}{path}"
        request = urllib.request.Request(url, data, headers, method="POST")
        with urllib.request.urlopen(request, timeout=LONGEST_S) as answer:  # noqa: S310
            assert answer.status == 201
            return str(urlsplit(answer.headers["Location"]).path)

    def break_off(self, method: str, path: str, headers: dict[str, str], length: int, data: bytes) -> None:
        """Send a request of which only the first bytes come, and leave."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection(("127.0.0.1", self.ready["port"])) as connection:
            head = f"{method} {path} HTTP/1.1\r\nHost: mock\r\n{lines}Content-Length: {length}\r\n\r\n"
            connection.sendall(head.encode() + data)

    def offset(self, path: str, headers: dict[str, str]) -> int:
        """The offset of a resumable upload."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.ready['port']}{path}", None, headers, method="HEAD")
        with urllib.request.urlopen(request, timeout=LONGEST_S) as answer:  # noqa: S310
            return int(answer.headers["Upload-Offset"])

    def token(self, station: str) -> str:
        login = json.dumps({"station": station, "pin": station[-6:]}).encode()
        status, body = self.ask("POST", "/v1/login", {"Content-Type": "application/json"}, login)
        assert status == 200, body
        return str(json.loads(body)["token"])

    def stored(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ask("GET", "/stored", admin=True)[1].splitlines()]

    def metric(self, name: str) -> float:
        for line in self.ask("GET", "/metrics", admin=True)[1].decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds; fails after a while, with the log."""
        end = time.monotonic() + LONGEST_S
        while not condition():
            assert time.monotonic() < end, (self.folder / "log.txt").read_text()
            time.sleep(0.01)

    def end(self) -> int:
        """Stop the server by closing its stdin; returns its exit code."""
        STARTED.discard(self)
        if self.popen.stdin is not None and not self.popen.stdin.closed:
            self.popen.stdin.close()
        try:
            return self.popen.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            self.popen.send_signal(signal.SIGKILL)
            raise
        finally:
            self.log.close()
            if self.popen.stdout is not None:
                self.popen.stdout.close()


@contextmanager
def process(folder: Path, *flags: str, **keys: Any) -> Iterator[Process]:
    """A server process, stopped when the block ends."""
    server = Process(folder, *flags, **keys)
    try:
        yield server
    finally:
        server.end()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def put(server: Process, token: str, code: str = STATION, page: int = 1) -> int:
    """PUT a page; returns the status."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "image/jpeg"}
    return server.ask("PUT", path_of(code, page), headers, photo((code, page)))[0]
