"""A bare gevent socket: one request prepared once, sent and answered again and again; no plan, journal or metrics.

Not a tool that anybody would use, but the floor: what a generator in Python costs that does nothing else. What our
generator costs beyond it is the price of planning, checking and recording every attempt.
`python -m benchmarks.peers.tools.bare URL BODY CONNECTIONS RATE SECONDS` is the process that is measured.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version as installed_version
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peers.tools.tool import Tool, ToolJob, ToolReport

_HEAD_START_S = 0.3
"""All connections are opened before the first request is due."""


def _command(binary: str, job: ToolJob) -> list[str]:
    rate = f"{job.rate_per_s or 0:g}"
    module = "benchmarks.peers.tools.bare"
    return [binary, "-P", "-m", module, job.url, str(job.body), str(job.connections), rate, f"{job.duration_s:g}"]


def _parse(output: str, _: ToolJob) -> ToolReport:
    counts = json.loads(output)
    return ToolReport(counts["requests"], counts["errors"])


TOOL = Tool(
    name="bare gevent socket",
    advice="pip install gevent",  # always installed: ours is built on it
    keeps_rate=True,
    version=lambda _: installed_version("gevent"),
    command=_command,
    parse=_parse,
    is_floor=True,
)


def main(url: str, body: str, connections: str, rate: str, seconds: str) -> None:
    """Send with one greenlet per connection; `rate` is that of all together, 0: each as fast as it is answered."""
    # only the process that is measured needs gevent; the benchmark's own process stays free of it
    import gevent  # noqa: PLC0415
    from gevent import socket  # noqa: PLC0415

    content = Path(body).read_bytes()
    host, port = urlsplit(url).hostname, urlsplit(url).port
    request = f"PUT / HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
    every_s = int(connections) / float(rate) if float(rate) else 0.0
    begin_s = time.monotonic() + _HEAD_START_S
    end_s = begin_s + float(seconds)
    counts = {"requests": 0, "errors": 0}

    def send(number: int) -> None:
        connection = socket.create_connection((str(host), int(port or 80)))
        # as in our client; with Nagle the second segment of a request would wait for an ACK
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # connections are staggered evenly, so that the sum of their rates is even
        due_s = begin_s + every_s * number / int(connections)
        while due_s < end_s:
            now_s = time.monotonic()
            if due_s > now_s:
                gevent.sleep(due_s - now_s)
            connection.sendall(request)
            counts["requests"] += 1
            counts["errors"] += not connection.recv(65_536).startswith(b"HTTP/1.1 201 ")
            due_s = due_s + every_s if every_s else time.monotonic()

    gevent.joinall([gevent.spawn(send, number) for number in range(int(connections))], raise_error=True)
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
