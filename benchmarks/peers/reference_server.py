"""A server that knows the truth: `python -m benchmarks.peers.reference_server`.

It answers each request after a delay drawn from a seed, and keeps when each arrived and when it was answered, on the
monotonic clock that every process of this machine shares. It may freeze once: then it reads on, but works and answers no more
until it thaws. Its own process; asyncio and uvloop, so that at 3,000 requests/s it is no bottleneck (its lag is in the table).

Says {"port": …} on stdout; writes its log and ends when its stdin ends.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gc
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import httptools
import numpy as np
import uvloop

_ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
_DRAWN = 1_000_000


class ObservedRequest(NamedTuple):
    """A request as the server knows it. Seconds on the monotonic clock."""

    path: str
    arrived_s: float
    """Its last byte was read."""
    scheduled_s: float
    """The delay was over."""
    answered_s: float
    """The answer was handed to the kernel."""


class AnswerDelays:
    """When each request is to be answered."""

    def __init__(self, median_s: float, sigma: float, seed: int, freeze_after_s: float, freeze_s: float) -> None:
        """Lognormal delays; a freeze of `freeze_s` (0: none) begins so long after the first request."""
        self._drawn: list[float] = np.random.default_rng(seed).lognormal(np.log(median_s), sigma, _DRAWN).tolist()
        self._count = 0
        self._after_s, self._freeze_s = freeze_after_s, freeze_s
        self._begin_s = float("inf")

    def answer_at(self, arrived_s: float) -> float:
        """The moment of the answer to what arrived then. Work under way when the server freezes goes on when it thaws.

        >>> frozen = Delays(0.25, 0.0, 1, freeze_after_s=1.0, freeze_s=2.0)
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
    """One connection: requests one after another, each answered in its time."""

    def __init__(self, delays: AnswerDelays, log: list[ObservedRequest]) -> None:
        self._delays, self._log = delays, log
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._path = ""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface's
        """Nobody is there any more."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Bytes; what is no HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def on_url(self, url: bytes) -> None:
        """The request's path."""
        self._path = url.decode("latin-1")

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        arrived_s = time.monotonic()
        scheduled_s = self._delays.answer_at(arrived_s)
        self._loop.call_later(scheduled_s - arrived_s, self._answer, self._path, arrived_s, scheduled_s)

    def _answer(self, path: str, arrived_s: float, scheduled_s: float) -> None:
        if self._transport is not None:
            self._log.append(ObservedRequest(path, arrived_s, scheduled_s, time.monotonic()))
            self._transport.write(_ANSWER)


async def serve(delays: AnswerDelays, log: list[ObservedRequest]) -> None:
    """Until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ReferenceConnection(delays, log), "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)  # noqa: T201 - what the parent waits for
    gc.collect()
    gc.freeze()
    gc.disable()  # a run is short, and a collection would be a delay that no seed has drawn
    await loop.run_in_executor(None, sys.stdin.read)


def write_log(path: Path, log: Sequence[ObservedRequest]) -> None:
    """As CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(ObservedRequest._fields)
        writer.writerows(log)


def read_log(path: Path) -> list[ObservedRequest]:
    """What `write_log` wrote, in the order of arrival."""
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
    told = parser.parse_args()
    log: list[ObservedRequest] = []
    uvloop.run(serve(AnswerDelays(told.median_s, told.sigma, told.seed, told.freeze_after_s, told.freeze_s), log))
    write_log(told.log, log)


if __name__ == "__main__":
    main()
