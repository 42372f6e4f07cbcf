"""Plays the readers of one worker: GETs of the published results, each begun when it is due, whatever the server does.

They share nothing with the stations but the process and its clock: connections of their own, kept and shared as those of a
CDN are, and records of a kind of their own in the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import gevent

from harness.base.model import Outcome, Shortage
from harness.drive.client.connection import Endpoint
from harness.drive.client.outcomes import EXPECTED_ERRORS, classify_error, classify_shortage
from harness.drive.client.pool import AttemptConnection, ConnectionPool
from harness.drive.client.protocols.base import format_head
from harness.drive.client.response import HttpResponse
from harness.drive.client.uploader import AttemptResult, TimeoutQueue
from harness.drive.greenlet_pool import GreenletPool
from harness.drive.virtual_user import sleep_until
from harness.plan.readers import Read
from harness.run_folder.journal import JournalWriter
from harness.scenario.readers import MAX_READS_IN_FLIGHT, ReaderOptions
from harness.station.response_outcome import classify_read

_MAX_ETAGS = 10_000
_LAST_READS_S = 1.0
"""How long a run that is over waits for reads in flight: a read that hangs must not delay its end."""


class ReaderDriver:
    """The readers of one worker. A read that is broken off, by `stop` or `kill`, leaves no record."""

    def __init__(
        self,
        options: ReaderOptions,
        reads: Iterator[Read],
        endpoint: Endpoint,
        clock: Callable[[], float],
        deadline_s: float,
        journal: JournalWriter,
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        """`clock` gives seconds since T0; `on_error` is called when an internal error has ended a read."""
        self._options = options
        self._reads = reads
        self._clock = clock
        self._deadline_s = deadline_s
        self._journal = journal
        self._host = endpoint.host_header
        self._guard = endpoint.guard
        self._connections = ConnectionPool(endpoint, "reuse", clock)
        self._timeouts = TimeoutQueue(options.timeout)
        self._greenlets = GreenletPool(on_error)
        self._etags: dict[str, str] = {}
        self._starter: gevent.Greenlet | None = None
        self.until_s: float | None = None
        """When reads ceased to be started; None while they are."""

    def start(self) -> None:
        """Begin; reads start until the deadline, `stop` or `kill`."""
        self._starter = gevent.spawn(self._start_reads)

    def join(self) -> None:
        """Wait until no read is started any more, and none is in flight: after the deadline each has its whole timeout."""
        if self._starter is not None:
            self._starter.join()
        self._greenlets.join()
        self._connections.close()

    def stop(self) -> None:
        """Start no more reads, and break off those that do not end soon."""
        self._start_no_more()
        self._greenlets.join(_LAST_READS_S)
        self._greenlets.kill()

    def kill(self) -> None:
        """Start no more reads, and break off those in flight."""
        self._start_no_more()
        self._greenlets.kill()

    def _start_no_more(self) -> None:
        if self._starter is not None:
            self._starter.kill()
        if self.until_s is None:
            self.until_s = min(self._clock(), self._deadline_s)

    def _start_reads(self) -> None:
        for read in self._reads:
            if read.due_s >= self._deadline_s or sleep_until(self._clock, read.due_s) >= self._deadline_s:
                break
            if len(self._greenlets) < MAX_READS_IN_FLIGHT:
                self._greenlets.start(partial(self._make, read))
            else:
                result = AttemptResult(Outcome.GENERATOR_ERROR, due_s=read.due_s, done_s=self._clock())
                result.shortage = Shortage.MAX_IN_FLIGHT
                self._record(read, result)
        self.until_s = self._deadline_s  # the next one would be due after it

    def _make(self, read: Read) -> None:
        """Make one read and record how it ended."""
        if self._guard is not None:
            self._guard.wait_for_rate()
        sent_s = self._clock()
        result = AttemptResult(due_s=read.due_s, sent_s=sent_s)
        source = self._connections.source()
        connection = AttemptConnection(source, self._clock, result, None, sent_s + self._options.timeout)
        timeout = self._timeouts.start()
        try:
            response = connection.request([self._format(read.path)])
            result.outcome, result.status = classify_read(response.status), response.status
            self._remember(read.path, response)
        except EXPECTED_ERRORS as error:
            if isinstance(error, gevent.GreenletExit):  # the run was stopped: this says nothing about the server
                raise
            result.outcome = classify_error(error, result.stage)
            if result.outcome is Outcome.GENERATOR_ERROR:
                result.shortage = classify_shortage(error)
        finally:
            timeout.cancel()
            connection.release()
        result.done_s = self._clock()
        self._record(read, result)

    def _format(self, path: str) -> bytes:
        headers = [f"Host: {self._host}", "Accept-Encoding: identity"]
        if not self._options.cached:
            headers.append("Cache-Control: no-cache")
        if etag := self._etags.get(path):
            headers.append(f"If-None-Match: {etag}")
        return format_head(f"GET {path}", headers)

    def _remember(self, path: str, response: HttpResponse) -> None:
        if not self._options.conditional:
            return
        etag = response.headers.get("etag")
        # A header from outside goes out again: nothing but what RFC 9110 lets an entity tag be.
        if etag and etag.isascii() and etag.isprintable() and (path in self._etags or len(self._etags) < _MAX_ETAGS):
            self._etags[path] = etag

    def _record(self, read: Read, result: AttemptResult) -> None:
        result.page = read.resource
        self._journal.read(result)
