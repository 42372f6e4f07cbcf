"""A worker process on another machine than its master: rows, instruments and signs of life go over Locust's connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent

from harness.drive.assignment import Assignment, unpack_assignment
from harness.drive.distributed.env import CLOCK_OFFSET
from harness.drive.distributed.journal_sender import JournalSender
from harness.drive.distributed.leader_session import Messenger
from harness.drive.worker import Worker

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_HEARTBEAT_S = 0.5
_JOURNAL_TIMEOUT_S = 30.0


class WorkerSession:
    """Of one worker process."""

    def __init__(self, post: Messenger, environment: Mapping[str, str]) -> None:
        """Nothing is sent before there are orders."""
        self._post = post
        self.clock_offset_s = float(environment[CLOCK_OFFSET])
        self._folder = Path(environment["HARNESS_RUN"])
        self._homeward: JournalSender | None = None

    def shift(self, orders: Assignment, on_records: Callable[[npt.NDArray[np.void]], None]) -> Worker:
        """The shift of these orders, with its rows going home. Raises as `Worker` does."""
        homeward = self._homeward = JournalSender(orders.rank, self._send)
        self._post.register_message("taken", lambda msg, **_: homeward.taken(msg.data))
        gevent.spawn(self._live, orders.rank)
        shift = Worker(unpack_assignment(orders, self._folder), on_records, homeward.write)

        def show(msg: Any, **_: Any) -> None:
            content = {"rank": orders.rank, "number": msg.data, "text": shift.exposition()}
            self._send("instruments", content)

        self._post.register_message("instruments?", show)
        return shift

    def settle(self) -> dict[str, Any]:
        """Wait until all rows are home; what the master is to check that by."""
        if self._homeward is None:
            return {}
        self._homeward.settle(_JOURNAL_TIMEOUT_S)
        return {"rows_bytes": self._homeward.sent_bytes}

    def _send(self, kind: str, content: Any) -> None:
        self._post.send_message(kind, content, None)

    def _live(self, rank: int) -> None:
        while True:
            self._send("pulse", rank)
            gevent.sleep(_HEARTBEAT_S)
