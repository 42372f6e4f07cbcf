"""An nginx that takes uploads and forgets them: the sink of the measurements."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_CONFIGURATION = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; worker_cpu_affinity {affinity}; worker_rlimit_nofile 65536;
{user}
events {{ worker_connections 32768; }}
http {{
    access_log off; client_max_body_size 8m; client_body_buffer_size 1m; keepalive_requests 1000000000; keepalive_timeout 600s;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream answers {{ server unix:{folder}/answers; keepalive 64; }}
    server {{ listen 127.0.0.1:{port} backlog=4096; tcp_nodelay on;
        location /small/ {{ return 201 "ok"; }}
        location /whole/ {{ proxy_pass http://answers; proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
    server {{ listen unix:{folder}/answers; location / {{ return 201 "ok"; }} }}
}}
"""
"""`/small/` answers at once (a body that came with the head is read, not looked at); `/whole/` has read the whole body before."""


@contextlib.contextmanager
def nginx(cpu: int | None = None) -> Iterator[str]:
    """Its address. One worker, on that core."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        message = "nginx is not installed: apt-get install nginx"
        raise FileNotFoundError(message)
    with tempfile.TemporaryDirectory(prefix="sink-") as path, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        file = Path(path) / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        affinity = "auto" if cpu is None else format(1 << cpu, "b")
        file.write_text(_CONFIGURATION.format(folder=path, port=port, user=user, affinity=affinity), "utf-8")
        server = subprocess.Popen([program, "-p", path, "-c", str(file)], stderr=subprocess.DEVNULL)
        try:
            _await(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    message = "nginx did not come up"
    raise RuntimeError(message)
