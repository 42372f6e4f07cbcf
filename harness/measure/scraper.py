"""Scrapes every target once a second into the run folder, each in a thread of its own.

A target that doesn't answer is recorded as such and delays nothing else.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from harness.run_folder.scrape_log import Scrape, append_scrape
from harness.target.connect import TlsPeer

INTERVAL_S = 1.0
_TIMEOUT_S = 2.0
_RESPONSE_TIMEOUT_S = 5.0
"""For the whole response: one that drips byte by byte would never exceed the socket's own timeout."""
_LATE = f"response not complete within {_RESPONSE_TIMEOUT_S:g} s"
_MAX_BYTES = 16 * 1024 * 1024


class EarlyScrape(NamedTuple):
    """A scrape from before T0 was chosen."""

    target: str
    at_s: float
    """On the monotonic clock."""
    text: str
    error: str


def scrape_early(targets: Mapping[str, str], secure: TlsPeer | None = None) -> list[EarlyScrape]:
    """Scrape every target (name -> URL) once, before the run begins: what its counters have counted by then isn't the run's."""
    found = []
    for name, url in targets.items():
        text, error = _fetch(url, secure)
        found.append(EarlyScrape(name, time.monotonic(), text, error))
    return found


class Scraper:
    """Scrapes from `start` to `stop`; `scrape_now` scrapes every target once more."""

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, str],
        clock: Callable[[], float],
        on_scrape: Callable[[Scrape], None] = lambda _: None,
        secure: TlsPeer | None = None,
    ) -> None:
        """`targets` maps a name to the URL of its metrics; `clock` gives seconds since T0.

        `on_scrape` is called from the target's thread. `secure` is for URLs with https.
        """
        self._folder = folder
        self._targets = dict(targets)
        self._clock = clock
        self._on_scrape = on_scrape
        self._secure = secure
        self._stopped = threading.Event()
        self.unwritten = ""
        """Why a scrape could not be written; "" if all could."""
        self._locks = {name: threading.Lock() for name in targets}
        self._threads = [
            threading.Thread(target=self._run, args=(name,), name=f"scrape-{name}", daemon=True) for name in targets
        ]

    def start(self) -> None:
        """Start scraping, once a second."""
        for thread in self._threads:
            thread.start()

    def scrape_now(self) -> None:
        """Scrape every target; returns when each has answered or failed."""
        for name in list(self._targets):
            self._scrape(name)

    def remove_targets(self, names: Iterable[str]) -> None:
        """Stop scraping these targets."""
        for name in names:
            self._targets.pop(name, None)

    def stop(self) -> None:
        """End the threads."""
        self._stopped.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_TIMEOUT_S + INTERVAL_S)

    def _run(self, name: str) -> None:
        due = self._clock()
        while not self._stopped.wait(max(0.0, due - self._clock())):
            self._scrape(name)
            due = max(due + INTERVAL_S, self._clock())

    def _scrape(self, name: str) -> None:
        url = self._targets.get(name)
        if url is None:
            return
        with self._locks[name]:
            text, error = _fetch(url, self._secure)
            scrape = Scrape(name, self._clock(), text, error)
            self._write(scrape)
        self._on_scrape(scrape)

    def add_early(self, scrapes: Iterable[EarlyScrape], t0: float) -> None:
        """Take in scrapes of before T0, which is at `t0` on the monotonic clock."""
        for early in scrapes:
            scrape = Scrape(early.target, early.at_s - t0, early.text, early.error)
            self._write(scrape)
            self._on_scrape(scrape)

    def _write(self, scrape: Scrape) -> None:
        try:
            append_scrape(self._folder, scrape)
        except OSError as error:  # the run goes on, and reports in the end what is missing
            self.unwritten = f"a scrape of {scrape.target} could not be written: {error.strerror}"


def _fetch(url: str, secure: TlsPeer | None) -> tuple[str, str]:
    """The exposition and "", or "" and what went wrong. Bounded in bytes and in time: a target may be anyone's server."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    late = threading.Event()
    try:
        connection.connect()
        if parts.scheme == "https" and secure is not None:
            connection.sock = secure.context.wrap_socket(connection.sock, server_hostname=secure.server_name)
        with _disconnect_after(connection.sock, _RESPONSE_TIMEOUT_S, late):
            connection.request("GET", parts.path or "/metrics")
            response = connection.getresponse()
            body = response.read(_MAX_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError, RuntimeError) as error:  # RuntimeError: no more threads
        return "", _LATE if late.is_set() else f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        connection.close()
    if late.is_set():
        return "", _LATE
    if response.status != http.HTTPStatus.OK:
        return "", f"HTTP status {response.status}"
    if len(body) > _MAX_BYTES:
        return "", f"more than {_MAX_BYTES:,} bytes"
    return body.decode("utf-8", "replace"), ""


@contextlib.contextmanager
def _disconnect_after(connection: socket.socket, seconds: float, late: threading.Event) -> Iterator[None]:
    """Shut the connection down, and set `late`, if the block takes longer than `seconds`."""

    def disconnect() -> None:
        late.set()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, disconnect)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
