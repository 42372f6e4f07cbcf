"""An upload server of several steps, in threads: a session, an address on another port for each photo, and a confirmation."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "sesame-session"


@dataclass
class StepServer:
    """What the two servers were asked and have stored."""

    url: str = ""
    files_url: str = ""
    stored: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """(server, method, path)."""
    confirm: Callable[[str], bool] = lambda _: True
    """Whether a photo's confirmation says so in its body; its status is 200 in any case."""
    keep: Callable[[str], bool] = lambda _: True
    """Whether a photo that was acknowledged stays."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Server(ThreadingHTTPServer):
    state: StepServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    name = ""
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass

    def handle_method(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        state = self.server.state
        with state.lock:
            state.requests.append((self.name, self.command, self.path))
            self.respond(state, body)

    do_GET = do_POST = do_PUT = handle_method  # noqa: N815 - the base class looks them up so

    def respond(self, state: StepServer, body: bytes) -> None:
        raise NotImplementedError

    def reply(self, status: int, body: Any = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Main(_Handler):
    name = "main"

    def respond(self, state: StepServer, body: bytes) -> None:
        if self.path == "/stored":
            lines = (f"{hashlib.sha256(photo).hexdigest()}  {name}" for name, photo in state.stored.items())
            self.reply(200, "\n".join(lines).encode())
        elif self.path == "/session":
            self.reply(204, Set_Cookie=f"sid={SECRET}-{json.loads(body)['who']}; Path=/; HttpOnly")
        elif not self.headers.get("Cookie", "").startswith(f"sid={SECRET}"):
            self.reply(401)
        elif self.path == "/uploads":
            name = json.loads(body)["name"]
            self.reply(201, {"url": f"{state.files_url}/{name}?key=1", "id": name})
        else:
            name = self.path.removeprefix("/uploads/")
            self.reply(200, {"ok": state.confirm(name)})
            if name in state.stored and not state.keep(name):
                del state.stored[name]


class _Files(_Handler):
    name = "files"

    def respond(self, state: StepServer, body: bytes) -> None:
        if "Cookie" in self.headers:  # it is the other server's
            self.reply(400)
            return
        state.stored[self.path.partition("?")[0].removeprefix("/")] = body
        self.reply(200)


@contextmanager
def step_server() -> Iterator[StepServer]:
    """The two servers, on loopback."""
    state = StepServer()
    servers = [_Server(("127.0.0.1", 0), handler) for handler in (_Main, _Files)]
    for one in servers:
        one.state = state
    threads = [threading.Thread(target=one.serve_forever, args=[0.02], daemon=True) for one in servers]
    state.url, state.files_url = (f"http://127.0.0.1:{one.server_port}" for one in servers)
    for thread in threads:
        thread.start()
    try:
        yield state
    finally:
        for one, thread in zip(servers, threads, strict=True):
            one.shutdown()
            one.server_close()
            thread.join()
