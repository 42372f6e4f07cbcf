"""The leader's side of workers on other machines: joining, clocks, journals, metrics, heartbeats.

Events reported to the parent process: `join_accepted` and `join_rejected` (one worker), `joined` (all are there, with the
facts about each), `refused` (too few came in time, or one can't work), `failed` and `starved` (one died before T0, or has no
resources), `lost` (one died or stopped reporting after T0), `unwritten` (a worker's journal could not be kept).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import gevent

from harness import __version__
from harness.drive.distributed.join import (
    HEARTBEAT_TIMEOUT_S,
    JOIN_TIMEOUT,
    REMOTE_WORKERS,
    JoinRequest,
    rejection_reason,
)
from harness.drive.distributed.leader_client import ClockOffset, clock_drift_s
from harness.drive.distributed.metrics_proxy import MetricsProxy
from harness.run_folder.journal import journal_file_name

_POLL_S = 0.25
_STALLED_S = 1.5
"""A check of the heartbeats that runs so long after the one before shows that this process itself was stalled."""
_SEND_DELAY_S = 0.2


class Messenger(Protocol):
    """What sends and receives messages between Locust's processes: Locust's runner."""

    def send_message(self, msg_type: str, data: Any, client_id: str | None = None) -> None:
        """Send a message to one client."""

    def register_message(self, msg_type: str, listener: Callable[..., None]) -> None:
        """Call `listener` for every message of this kind."""


class LeaderSession:
    """Leads the workers on other machines through one run; lives in the run's Locust master process.

    A worker is known by three numbers: its ticket (order of joining), its rank (its shard of the plan), and Locust's id of
    its process. Two clients belong to each: its `harness worker`, which joins and reports its end, and its Locust worker.
    """

    def __init__(
        self, messenger: Messenger, journal: Path, environment: Mapping[str, str], send_event: Callable[..., None],
        clock: Callable[[], float] = time.monotonic, own_client: tuple[str, str] = ("", ""),
    ) -> None:  # fmt: skip
        """Start to wait for the workers that the environment asks for.

        `journal` is the run's journal folder; `send_event` reports to the parent process; `clock` is the monotonic one.
        `own_client` is the name and digest of the run's own client, which every worker must have too.
        """
        self._own_client = own_client
        self._wanted = int(environment[REMOTE_WORKERS])
        self._timeout_s = float(environment[JOIN_TIMEOUT])
        self._base_port = int(environment.get("HARNESS_METRICS_PORT", "0"))
        self._messenger = messenger
        self._send_event = send_event
        self._clock = clock
        self._journals = JournalReceiver(journal)
        self._requests: dict[int, JoinRequest] = {}
        self._joined_clients: dict[int, str] = {}
        self._clocks: dict[int, ClockOffset] = {}
        self._rejections: list[str] = []
        self._next_ticket = 0
        self._ranks: dict[int, int] = {}
        self._clients: dict[int, str] = {}
        self._last_message_s: dict[int, float] = {}
        self._proxies: dict[int, MetricsProxy] = {}
        self._over: set[int] = set()
        self._started = False
        for kind in ("time", "join", "clock", "gone", "rows", "worker_heartbeat", "metrics"):
            messenger.register_message(kind, getattr(self, f"_on_{kind}"))
        gevent.spawn(self._limit_joining)

    # --- joining

    def _on_time(self, msg: Any, **_: Any) -> None:
        # The question's fields come last and so are returned unchanged: the worker needs them to match its round trip.
        reply = {"theirs_s": self._clock(), "theirs_wall_s": time.time(), **msg.data}
        self._messenger.send_message("time", reply, client_id=msg.node_id)

    def _on_join(self, msg: Any, **_: Any) -> None:
        free = self._wanted - len(self._requests)
        reason = rejection_reason(msg.data, __version__, free=free, own_client=self._own_client)
        if reason:
            name = msg.data.get("name") if isinstance(msg.data, dict) else None
            self._rejections.append(f"{name or 'a worker'}: {reason}")
            self._send_event("join_rejected", name=str(name), reason=reason)
            self._messenger.send_message("refused", reason, client_id=msg.node_id)
            return
        ticket, self._next_ticket = self._next_ticket, self._next_ticket + 1
        request = self._requests[ticket] = JoinRequest(**msg.data)
        self._clocks[ticket] = ClockOffset(request.offset_s, request.wall_offset_s, request.uncertainty_s)
        self._joined_clients[ticket] = msg.node_id
        self._send_event("join_accepted", **request.to_message())
        self._messenger.send_message("welcome", ticket, client_id=msg.node_id)

    def _limit_joining(self) -> None:
        gevent.sleep(self._timeout_s)
        if len(self._requests) < self._wanted:
            names = [request.name for request in self._requests.values()]
            reason = f"{len(names)} of {self._wanted} workers joined within {self._timeout_s:g} s"
            reason += f" ({', '.join(names)})" if names else ""
            self.cancel("; ".join([reason, *(f"rejected: {rejection}" for rejection in self._rejections)]))

    def cancel(self, reason: str, event: str = "refused") -> None:
        """Tell every worker, and the parent by this event, that there will be no run, and why."""
        for client in self._joined_clients.values():
            self._messenger.send_message("over", reason, client_id=client)
        # On this event the parent ends this process: give the messages time to leave.
        gevent.sleep(_SEND_DELAY_S)
        self._send_event(event, reason=reason)

    # --- assigning

    def assign_ranks(self, clients: list[str], tickets: dict[str, int]) -> None:
        """Give the workers their ranks: `clients` are Locust's ids in the order of the ranks, with each one's ticket."""
        self._ranks = {tickets[client]: rank for rank, client in enumerate(clients)}
        self._clients = dict(enumerate(clients))
        for rank, client in self._clients.items():
            self._proxies[rank] = MetricsProxy(self._make_metrics_request(client))
        self._send_event("joined", workers=[self.describe_worker(rank) for rank in sorted(self._clients)])

    def _make_metrics_request(self, client: str) -> Callable[[int], None]:
        return lambda number: self._messenger.send_message("get_metrics", number, client_id=client)

    def start_metrics_proxy(self, rank: int) -> int:
        """Serve a worker's metrics on loopback, as if it ran on this machine; returns the port."""
        return self._proxies[rank].start(self._base_port and self._base_port + rank)

    def describe_worker(self, rank: int) -> dict[str, Any]:
        """The facts about a worker's machine that run.json records."""
        ticket = self._ticket_of(rank)
        request = self._requests[ticket]
        first = ClockOffset(request.offset_s, request.wall_offset_s, request.uncertainty_s)
        return {
            "rank": rank,
            "host": request.name,
            "clock_offset_s": first.monotonic_s,
            "wall_offset_s": first.wall_s,
            "clock_uncertainty_s": first.uncertainty_s,
            "clock_drift_s": clock_drift_s(first, self._clocks[ticket]),
            "limits": request.limits,
        }

    def start(self) -> None:
        """T0 is known to all: from now on workers must report."""
        self._started = True
        self._last_message_s = dict.fromkeys(self._clients, self._clock())
        gevent.spawn(self._check_heartbeats)

    def complete_account(self, account: dict[str, Any]) -> dict[str, Any]:
        """A worker's account with what only the leader knows: its machine, and whether its whole journal is here."""
        rank = account["rank"]
        self._over.add(rank)
        missing = account.pop("rows_bytes", 0) - self._journals.received(rank)
        unwritten = account["unwritten"] or self._journals.unwritten
        if missing and not unwritten:
            unwritten = f"{missing:,} bytes of its rows were not received"
        # Reported at once, not with the last account: other workers may have hours to go, and the run is invalid.
        if unwritten:
            self._send_event("unwritten", rank=rank, reason=unwritten)
        return {**account, "unwritten": unwritten, **self.describe_worker(rank)}

    # --- during the run

    def _on_clock(self, msg: Any, **_: Any) -> None:
        self._clocks[msg.data["ticket"]] = ClockOffset(**msg.data["offset"])

    def _on_worker_heartbeat(self, msg: Any, **_: Any) -> None:
        self._last_message_s[msg.data] = self._clock()

    def _on_metrics(self, msg: Any, **_: Any) -> None:
        self._proxies[msg.data["rank"]].deliver(msg.data["number"], msg.data["text"])

    def _on_rows(self, msg: Any, **_: Any) -> None:
        rank = msg.data["rank"]
        self._last_message_s[rank] = self._clock()
        error = self._journals.append(rank, msg.data["at"], msg.data["rows"])
        self._messenger.send_message("rows_written", error, client_id=msg.node_id)

    def _on_gone(self, msg: Any, **_: Any) -> None:
        """A worker's `harness worker` reports that its process has ended, or can't work."""
        ticket, reason = msg.data["ticket"], msg.data["reason"]
        request = self._requests.get(ticket)
        if request is None:
            return
        rank = self._ranks.get(ticket)
        if rank is None:  # not assigned yet: another worker may take its place
            del self._requests[ticket], self._joined_clients[ticket]
            self._send_event("join_rejected", name=request.name, reason=reason)
        elif not self._started:
            self.cancel(f"worker {rank} on {request.name}: {reason}", msg.data["event"])
        else:
            self._report_lost(rank, reason)

    def _check_heartbeats(self) -> None:
        checked_s = self._clock()
        while True:
            gevent.sleep(_POLL_S)
            now = self._clock()
            slept_s, checked_s = now - checked_s, now
            for rank, last_s in list(self._last_message_s.items()):
                # While this process was stalled (stopped, starved of CPU, a slow disk), heartbeats arrived but could not be
                # read: that time is not the workers' silence.
                if slept_s > _STALLED_S:
                    self._last_message_s[rank] = last_s + slept_s
                elif now - last_s > HEARTBEAT_TIMEOUT_S:
                    self._report_lost(rank, f"nothing was received from it for {HEARTBEAT_TIMEOUT_S:g} s")

    def _report_lost(self, rank: int, reason: str) -> None:
        if rank not in self._over:
            self._over.add(rank)
            self._send_event("lost", rank=rank, host=self.describe_worker(rank)["host"], reason=reason)
        self._last_message_s.pop(rank, None)

    def _ticket_of(self, rank: int) -> int:
        return next(ticket for ticket, found in self._ranks.items() if found == rank)


class JournalReceiver:
    """Writes the journals of a run's remote workers; a chunk is with the kernel when `append` returns."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the run's journal folder."""
        self._folder = folder
        self._files: dict[int, int] = {}
        self._received: dict[int, int] = {}
        self.unwritten = ""
        """Why journals can no longer be written; "" while they can."""

    def received(self, rank: int) -> int:
        """Bytes of a worker's journal that are written."""
        return self._received.get(rank, 0)

    def append(self, rank: int, at: int, rows: bytes) -> str:
        """Write a chunk that belongs at offset `at` of a worker's journal; returns why that failed, or ""."""
        if self.unwritten:
            return self.unwritten
        # A gap or a repetition would shift all later records: better no journal than a wrong one.
        if at != self.received(rank):
            return f"rows were lost in transit: {at - self.received(rank):,} bytes are missing"
        try:
            if rank not in self._files:
                path = self._folder / journal_file_name(rank)
                self._files[rank] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            view = memoryview(rows)
            while view:
                written = os.write(self._files[rank], view)
                self._received[rank] = self.received(rank) + written
                view = view[written:]
        except OSError as error:
            self.unwritten = error.strerror or str(error)
        return self.unwritten
