"""A worker process on another machine than its leader: journal, metrics and heartbeats go over Locust's connection."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event

from harness.drive.assignment import Assignment, unpack_assignment
from harness.drive.distributed.join import CLOCK_OFFSET, HEARTBEAT_INTERVAL_S
from harness.drive.distributed.leader_session import Messenger
from harness.drive.worker import Worker

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CHUNK_BYTES = 256 * 1024
MAX_UNCONFIRMED_CHUNKS = 16
"""4 MB: with a round trip of 100 ms still 400,000 records a second."""
MAX_BUFFERED_BYTES = 64 * 1024 * 1024
"""Records of some 350,000 attempts."""
_JOURNAL_TIMEOUT_S = 30.0


class WorkerSession:
    """The remote side of one worker process."""

    def __init__(self, messenger: Messenger, environment: Mapping[str, str]) -> None:
        """Sends nothing before there is an assignment."""
        self._messenger = messenger
        self.clock_offset_s = float(environment[CLOCK_OFFSET])
        self._folder = Path(environment["HARNESS_RUN"])
        self._journal: JournalSender | None = None

    def make_worker(
        self, assignment: Assignment, on_records: Callable[[npt.NDArray[np.void]], None]
    ) -> Worker:  # fmt: skip
        """A worker for this assignment whose journal goes to the leader. Raises as `Worker` does."""
        journal = self._journal = JournalSender(assignment.rank, self._send)
        self._messenger.register_message("rows_written", lambda msg, **_: journal.confirm(msg.data))
        # Before the worker exists: making its plan takes seconds, in which the leader must hear something.
        gevent.spawn(self._send_heartbeats, assignment.rank)
        worker = Worker(unpack_assignment(assignment, self._folder), on_records, journal.write)

        def send_metrics(msg: Any, **_: Any) -> None:
            content = {"rank": assignment.rank, "number": msg.data, "text": worker.exposition()}
            self._send("metrics", content)

        self._messenger.register_message("get_metrics", send_metrics)
        return worker

    def finish_journal(self) -> dict[str, Any]:
        """Wait until the leader has the whole journal; returns the fields by which it can check that."""
        if self._journal is None:
            return {}
        self._journal.drain(_JOURNAL_TIMEOUT_S)
        return {"rows_bytes": self._journal.accepted_bytes}

    def _send(self, kind: str, content: Any) -> None:
        self._messenger.send_message(kind, content, None)

    def _send_heartbeats(self, rank: int) -> None:
        while True:
            # Not "heartbeat": that is a message of Locust's own, whose content it reads.
            self._send("worker_heartbeat", rank)
            gevent.sleep(HEARTBEAT_INTERVAL_S)


class JournalSender:
    """Sends a journal's bytes to the leader, in order, in chunks that the leader confirms.

    At most `MAX_UNCONFIRMED_CHUNKS` are on the way, so that a slow leader is noticed here and not by a growing queue inside
    ZeroMQ. At most `MAX_BUFFERED_BYTES` wait; beyond that writing fails, and the run ends as with a full disk.
    """

    def __init__(self, rank: int, send: Callable[[str, Any], None]) -> None:
        """`send` sends a message (kind, content) to the leader."""
        self._rank = rank
        self._send = send
        self._buffer = bytearray()
        self._unconfirmed = 0
        self._sent_bytes = 0
        self._changed = Event()
        self._idle = Event()
        self._idle.set()
        self._failed = ""
        gevent.spawn(self._run)

    def write(self, data: memoryview) -> int:
        """Accept bytes of the journal, as `os.write` does; returns how many.

        Raises OSError (ENOBUFS) if the leader could not write, or has not confirmed what is buffered already.
        """
        if self._failed or len(self._buffer) + len(data) > MAX_BUFFERED_BYTES:
            reason = self._failed or f"the leader does not accept its rows: {len(self._buffer):,} bytes are waiting"
            raise OSError(errno.ENOBUFS, reason)
        self._buffer += data
        self._idle.clear()
        self._changed.set()
        return len(data)

    @property
    def accepted_bytes(self) -> int:
        """Bytes accepted by `write`: what the leader must have received in the end."""
        return self._sent_bytes + len(self._buffer)

    def confirm(self, error: str) -> None:
        """The leader has written a chunk; `error` says why it could not, else ""."""
        self._unconfirmed -= 1
        self._failed = self._failed or error
        self._changed.set()

    def drain(self, timeout_s: float) -> bool:
        """Wait until the leader has written everything; False if it has not in time, or could not."""
        return bool(self._idle.wait(timeout_s)) and not self._failed

    def _run(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            while self._buffer and self._unconfirmed < MAX_UNCONFIRMED_CHUNKS and not self._failed:
                chunk = bytes(self._buffer[:CHUNK_BYTES])
                del self._buffer[:CHUNK_BYTES]
                self._unconfirmed += 1
                # "at" lets the leader notice a gap: ZeroMQ loses what was on the way when a connection broke.
                self._send("rows", {"rank": self._rank, "at": self._sent_bytes, "rows": chunk})
                self._sent_bytes += len(chunk)
            if self._failed or not (self._unconfirmed or self._buffer):
                self._idle.set()
