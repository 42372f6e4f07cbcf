"""How accurately many shaped connections at once keep their rates, and what pacing costs: `python -m benchmarks.shaping [STATIONS]`.

Every station sends one photo over its own link to a sink in another process. Achieved rate: bytes of the request ÷ the time
from connected to completely sent. CPU: of this process, per step of 16 KB; without shaping the same bytes as fast as possible.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time

import gevent
import numpy as np

from harness.drive.client.connection import Connection, Endpoint, Progress
from harness.drive.client.shaped_connection import CHUNK_BYTES, ShapedConnection
from harness.station.link import LinkModel

_LASTS_S = 8.0


def measure(port: int, rates: list[float] | None, sizes: list[int]) -> tuple[list[float], float]:
    """Achieved rates in bytes per second, and CPU seconds of this process; `rates` None: not shaped."""
    target = Endpoint(socket.AF_INET, ("127.0.0.1", port), "x")

    def send(number: int) -> float:
        # an unshaped connection is the baseline of the CPU cost
        plain = rates is None
        link = LinkModel(1.0 if rates is None else rates[number])
        made = (
            Connection(target, None, time.monotonic) if plain else ShapedConnection(target, None, time.monotonic, link)
        )
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {sizes[number]}\r\n\r\n".encode()
        progress = Progress()
        made.connect()
        began = time.monotonic()
        made.request([head, memoryview(bytes(sizes[number]))], progress)
        made.close()
        return progress.sent_bytes / (progress.body_sent_s - began)

    before = time.process_time()
    jobs = [gevent.spawn(send, number) for number in range(len(sizes))]
    gevent.joinall(jobs, raise_error=True)
    return [job.value for job in jobs], time.process_time() - before


def main(stations: int) -> None:
    """Measure and print a line per bandwidth."""
    command = [sys.executable, "-m", "harness.doctor.sink_server"]
    sink = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert sink.stdout is not None  # noqa: S101
    port = json.loads(sink.stdout.readline())["port"]
    for mbit in (0.2, 0.5, 1.0):
        rates = (np.random.default_rng(1).lognormal(0, 0.3, stations) * mbit * 125_000).tolist()
        sizes = [int(rate * _LASTS_S) for rate in rates]
        achieved, cpu_s = measure(port, rates, sizes)
        off = np.abs(np.array(achieved) / np.array(rates) - 1) * 100
        _, plain_s = measure(port, None, sizes)
        steps = sum(sizes) / CHUNK_BYTES
        sys.stdout.write(
            f"{stations} stations, median {mbit:g} Mbit/s each, {sum(rates) * 8e-6:,.0f} Mbit/s in total: rate error "
            f"{np.median(off):.2f} % (median), {np.quantile(off, 0.99):.2f} % (p99), {off.max():.2f} % (worst); "
            f"{100 * cpu_s / _LASTS_S:.0f} % of a core, {cpu_s / steps * 1e6:.0f} us per step (unlimited {plain_s / steps * 1e6:.0f})\n"
        )
    sink.communicate()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
