"""The server that cost is measured against: an nginx that reads every body completely before it answers, and discards it.

A plain `return 201` answers as soon as nginx has read the head and discards the body later: a generator that receives the
answer early stops sending. So each request is passed on, without its body, to a second server of the same nginx over a Unix
socket: nginx contacts that one only once it has buffered the whole body (`proxy_request_buffering`). `reads_bodies` verifies
this on the running server. The log has the time of each answer and the bytes of its request.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.round import pinned_to
from harness.base.errors import ProcessFailedError, UsageError

UNREAD = "/unread/"
"""Paths below it are answered as soon as the head is read, and not logged. For small bodies, which arrive with the head, when
the sink should cost as little as possible."""
_CONFIGURATION = """\
{user}worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile {descriptors};
events {{ worker_connections {connections}; }}
http {{
  log_format answered '$msec $status $request_length';
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_max_body_size 16m;
  client_body_buffer_size 1m;
  upstream answer {{ server unix:{folder}/answer.sock; keepalive 64; keepalive_requests 1000000000; }}
  server {{ listen unix:{folder}/answer.sock; location / {{ return 201; }} }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    access_log {folder}/answered.log answered buffer=256k flush=200ms;
    location / {{
      proxy_pass http://answer;
      proxy_http_version 1.1;
      proxy_method GET;
      proxy_pass_request_body off;
      proxy_pass_request_headers off;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
    }}
    location {unread} {{ access_log off; return 201 "ok"; }}
  }}
}}
"""
_FLUSH_S = 0.5


@dataclass(frozen=True)
class LoggedRequest:
    """An upload that nginx read and answered."""

    at_s: float
    """Seconds since the epoch."""
    status: int
    bytes_read: int
    """Head and body."""


class NginxSink:
    """A running nginx."""

    def __init__(self, folder: Path, port: int) -> None:
        self._log = folder / "answered.log"
        self.url = f"http://127.0.0.1:{port}"
        self._address = ("127.0.0.1", port)

    def forget(self) -> None:
        """Empty the log. nginx opened it for appending, so it goes on at the start of the file."""
        time.sleep(_FLUSH_S)
        self._log.write_bytes(b"")

    def answered(self) -> list[LoggedRequest]:
        """Every upload since `forget`, in order."""
        time.sleep(_FLUSH_S)
        return parse_log(self._log.read_text("ascii"))

    def reads_bodies(self, size_bytes: int) -> bool:
        """Whether it answers 201 only after the last byte of a body."""
        with socket.create_connection(self._address, timeout=5) as connection:
            connection.sendall(b"PUT / HTTP/1.1\r\nHost: sink\r\nContent-Length: %d\r\n\r\n" % size_bytes)
            connection.sendall(bytes(size_bytes - 1))
            connection.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                connection.recv(100)
                return False  # an answer, or the end of the connection, before the last byte
            connection.settimeout(5)
            connection.sendall(b"\0")
            return connection.recv(100).startswith(b"HTTP/1.1 201")


def parse_log(text: str) -> list[LoggedRequest]:
    r"""The lines of nginx's log.

    >>> parse_log("1795479237.423 201 1126\n")
    [LoggedRequest(at_s=1795479237.423, status=201, bytes_read=1126)]
    """
    return [LoggedRequest(float(at), int(status), int(size)) for at, status, size in map(str.split, text.splitlines())]


def find_nginx() -> str:
    """Path of nginx. Raises UsageError if it is not installed."""
    found = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if found is None:
        message = "measuring the cost of an upload needs nginx, which is not installed: apt-get install nginx"
        raise UsageError(message)
    return found


@contextlib.contextmanager
def running_nginx(folder: Path, cores: frozenset[int]) -> Iterator[NginxSink]:
    """Start an nginx on these cores. Raises ProcessFailedError if it does not start."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    text = _CONFIGURATION.format(
        user=""
        if os.geteuid()
        else "user root;\n",  # as root nginx would switch to another user, who cannot read the folder
        folder=folder,
        port=port,
        descriptors=descriptors,
        connections=descriptors // 3,
        unread=UNREAD,
    )
    (folder / "nginx.conf").write_text(text, "utf-8")
    command = [find_nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with pinned_to(cores), (folder / "nginx.out").open("wb") as out:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        _wait_until_listening(server, port, folder)
        yield NginxSink(folder, port)
    finally:
        server.terminate()
        server.wait(10)


def _wait_until_listening(server: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    until = time.monotonic() + 10
    while server.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    output = (folder / "nginx.out").read_text("utf-8", "replace")
    message = f"nginx did not start: {output.strip()[-500:]}"
    raise ProcessFailedError(message)
