"""A server that records the true response times: `python -m benchmarks.peers.reference_server`.

It answers each request after a delay drawn from a seed, and logs when each arrived and was answered, on the monotonic clock
that all processes of this machine share. It may freeze once: it goes on reading, but answers nothing until it thaws. It is a
process of its own on uvloop, so that it does not become the bottleneck at 3,000 requests/s; its own lag is part of the results.

It prints {"port": …} on stdout; when its stdin ends, it writes the log and exits.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import httptools
import numpy as np
import uvloop

from benchmarks.peers.round import pinned_to
from harness.base.errors import ProcessFailedError

MEDIAN_DELAY_S, SIGMA = 0.020, 0.5
"""Of the lognormal distribution of delays."""
MEAN_DELAY_S = 0.0227
"""Of the same distribution: median · exp(sigma² / 2)."""
FREEZE_S = 2.0

_ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
_DRAWN = 1_000_000


class ObservedRequest(NamedTuple):
    """A request as the server observed it. Seconds on the monotonic clock."""

    path: str
    arrived_s: float
    """When its last byte was read."""
    scheduled_s: float
    """When its delay was over."""
    answered_s: float
    """When the answer was handed to the kernel."""


class AnswerDelays:
    """Decides when each request is answered."""

    def __init__(self, median_s: float, sigma: float, seed: int, freeze_after_s: float, freeze_s: float) -> None:
        """Lognormal delays; a freeze of `freeze_s` (0: none) begins `freeze_after_s` after the first request."""
        self._drawn: list[float] = np.random.default_rng(seed).lognormal(np.log(median_s), sigma, _DRAWN).tolist()
        self._count = 0
        self._after_s, self._freeze_s = freeze_after_s, freeze_s
        self._begin_s = float("inf")

    def answer_at(self, arrived_s: float) -> float:
        """When to answer a request that arrived then. Work under way when the server freezes goes on when it thaws.

        >>> frozen = AnswerDelays(0.25, 0.0, 1, freeze_after_s=1.0, freeze_s=2.0)
        >>> [frozen.answer_at(moment) for moment in (100.0, 100.9, 101.5, 103.5)]
        [100.25, 103.15, 103.25, 103.75]
        """
        if not self._count:
            self._begin_s = arrived_s + self._after_s
        delay_s = self._drawn[self._count % _DRAWN]
        self._count += 1
        thaw_s = self._begin_s + self._freeze_s
        if self._begin_s <= arrived_s < thaw_s:
            return thaw_s + delay_s
        if arrived_s < self._begin_s < arrived_s + delay_s:
            return arrived_s + delay_s + self._freeze_s
        return arrived_s + delay_s


class ReferenceConnection(asyncio.Protocol):
    """One connection: requests one after the other, each answered after its delay."""

    def __init__(self, delays: AnswerDelays, log: list[ObservedRequest]) -> None:
        self._delays, self._log = delays, log
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._path = ""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        """The client left: pending answers are dropped."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Parse bytes; anything but HTTP aborts the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def on_url(self, url: bytes) -> None:
        """Keep the path of the request."""
        self._path = url.decode("latin-1")

    def on_message_complete(self) -> None:
        """Schedule the answer once the last byte of a request was read."""
        arrived_s = time.monotonic()
        scheduled_s = self._delays.answer_at(arrived_s)
        self._loop.call_later(scheduled_s - arrived_s, self._answer, self._path, arrived_s, scheduled_s)

    def _answer(self, path: str, arrived_s: float, scheduled_s: float) -> None:
        if self._transport is not None:
            self._log.append(ObservedRequest(path, arrived_s, scheduled_s, time.monotonic()))
            self._transport.write(_ANSWER)


async def serve(delays: AnswerDelays, log: list[ObservedRequest]) -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ReferenceConnection(delays, log), "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)  # noqa: T201 - the parent waits for it
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection would add a delay that was not drawn, and a round is too short to need one
    await loop.run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def running_reference_server(
    log: Path, freeze_after_s: float | None, seed: int, cores: frozenset[int]
) -> Iterator[str]:
    """Start the server on these cores; yields its URL. Its log is complete once the block has been left.

    Raises ProcessFailedError if the server does not start.
    """
    freeze = (
        [] if freeze_after_s is None else ["--freeze-after-s", f"{freeze_after_s:g}", "--freeze-s", f"{FREEZE_S:g}"]
    )
    delays = ["--median-s", f"{MEDIAN_DELAY_S:g}", "--sigma", f"{SIGMA:g}", "--seed", str(seed), *freeze]
    command = [sys.executable, "-P", "-m", "benchmarks.peers.reference_server", "--log", str(log), *delays]
    with (
        pinned_to(cores),
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        if server.stdout is None or server.stdin is None:
            raise RuntimeError
        try:
            line = server.stdout.readline()
            if not line:
                message = f"the reference server ended with exit code {server.wait(10)} before it was ready"
                raise ProcessFailedError(message)
            yield f"http://127.0.0.1:{json.loads(line)['port']}"
            server.stdin.close()
            server.wait(30)
        finally:
            server.kill()


def write_log(path: Path, log: Sequence[ObservedRequest]) -> None:
    """Write the log as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(ObservedRequest._fields)
        writer.writerows(log)


def read_log(path: Path) -> list[ObservedRequest]:
    """The requests that `write_log` wrote, in order of arrival."""
    with path.open(newline="") as file:
        rows = [
            ObservedRequest(row["path"], *(float(row[name]) for name in ObservedRequest._fields[1:]))
            for row in csv.DictReader(file)
        ]
    return sorted(rows, key=lambda row: row.arrived_s)


def main() -> None:
    """Serve, then write the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--median-s", type=float, required=True)
    parser.add_argument("--sigma", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--freeze-after-s", type=float, default=0.0)
    parser.add_argument("--freeze-s", type=float, default=0.0)
    options = parser.parse_args()
    log: list[ObservedRequest] = []
    uvloop.run(
        serve(
            AnswerDelays(options.median_s, options.sigma, options.seed, options.freeze_after_s, options.freeze_s), log
        )
    )
    write_log(options.log, log)


if __name__ == "__main__":
    main()
