"""`python -m benchmarks.peers.tools.bare_sender URL BODY CONNECTIONS RATE SECONDS`: sends and reads, and knows nothing else."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import gevent
from gevent import socket

_HEAD_START_S = 0.3


def main(url: str, body: str, connections: str, rate: str, seconds: str) -> None:
    """A greenlet a connection; RATE is that of all together, 0: each as fast as it is answered."""
    content = Path(body).read_bytes()
    host, port = urlsplit(url).hostname, urlsplit(url).port
    request = f"PUT / HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
    every_s = int(connections) / float(rate) if float(rate) else 0.0
    begin_s = time.monotonic() + _HEAD_START_S
    end_s = begin_s + float(seconds)
    counts = {"requests": 0, "errors": 0}

    def send(number: int) -> None:
        line = socket.create_connection((str(host), int(port or 80)))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due_s = begin_s + every_s * number / int(connections)
        while due_s < end_s:
            now_s = time.monotonic()
            if due_s > now_s:
                gevent.sleep(due_s - now_s)
            line.sendall(request)
            counts["requests"] += 1
            counts["errors"] += not line.recv(65_536).startswith(b"HTTP/1.1 201 ")
            due_s = due_s + every_s if every_s else time.monotonic()

    gevent.joinall([gevent.spawn(send, number) for number in range(int(connections))], raise_error=True)
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
