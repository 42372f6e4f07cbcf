"""The master's side of workers on other machines: who is let in, their clocks, their rows, their instruments, their silence.

What the parent hears: `joined` (all are there, and what each is), `refused` (not enough came in time, or one can't work),
`failed` and `starved` (one died before T0, or has no room), `lost` (one died or fell silent after T0), `unwritten` (rows of one
could not be kept).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import gevent

from harness import __version__
from harness.drive.distributed.clock_sync import ClockOffset, clock_drift_s
from harness.drive.distributed.env import JOIN_TIMEOUT, REMOTE_WORKERS
from harness.drive.distributed.join import JoinRequest, rejection_reason
from harness.drive.distributed.journal_receiver import JournalReceiver
from harness.drive.distributed.metrics_proxy import MetricsProxy

SILENT_S = 3.0
"""A worker that says nothing for so long is lost. It says something every half second."""
_POLL_S = 0.25
_STALLED_S = 1.5
"""A look that comes so long after the one before finds messages that were not read in time."""


class Messenger(Protocol):
    """What a master sends and hears messages by: Locust's runner."""

    def send_message(self, msg_type: str, data: Any, client_id: str | None = None) -> None:
        """Send to one client."""

    def register_message(self, msg_type: str, listener: Callable[..., None]) -> None:
        """Hear messages of a kind."""


class LeaderSession:
    """Of one run's master process."""

    def __init__(
        self, post: Messenger, journal: Path, environment: Mapping[str, str], say: Callable[..., None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """The environment says how many are let in, and for how long; `say` tells the parent; `clock` is the monotonic one."""
        self._places = int(environment[REMOTE_WORKERS])
        self._timeout_s = float(environment[JOIN_TIMEOUT])
        self._base_port = int(environment.get("HARNESS_METRICS_PORT", "0"))
        self._post = post
        self._say = say
        self._clock = clock
        self._ledger = JournalReceiver(journal)
        self._candidates: dict[int, JoinRequest] = {}
        self._lines: dict[int, str] = {}
        self._clocks: dict[int, ClockOffset] = {}
        self._refusals: list[str] = []
        self._next_ticket = 0
        self._ranks: dict[int, int] = {}
        self._clients: dict[int, str] = {}
        self._heard_s: dict[int, float] = {}
        self._relays: dict[int, MetricsProxy] = {}
        self._over: set[int] = set()
        self._begun = False
        for kind in ("time", "join", "clock", "gone", "rows", "pulse", "instruments"):
            post.register_message(kind, getattr(self, f"_on_{kind}"))
        gevent.spawn(self._await)

    # --- joining

    def _on_time(self, msg: Any, **_: Any) -> None:
        answer = {"theirs_s": self._clock(), "theirs_wall_s": time.time(), **msg.data}
        self._post.send_message("time", answer, client_id=msg.node_id)

    def _on_join(self, msg: Any, **_: Any) -> None:
        reason = rejection_reason(msg.data, __version__, free=self._places - len(self._candidates))
        if reason:
            name = msg.data.get("name") if isinstance(msg.data, dict) else None
            self._refusals.append(f"{name or 'a worker'}: {reason}")
            self._say("turned_away", name=str(name), reason=reason)
            self._post.send_message("refused", reason, client_id=msg.node_id)
            return
        ticket, self._next_ticket = self._next_ticket, self._next_ticket + 1
        candidate = self._candidates[ticket] = JoinRequest(**msg.data)
        self._clocks[ticket] = ClockOffset(candidate.offset_s, candidate.wall_offset_s, candidate.uncertainty_s)
        self._lines[ticket] = msg.node_id
        self._say("let_in", **candidate.told())
        self._post.send_message("welcome", ticket, client_id=msg.node_id)

    def _await(self) -> None:
        gevent.sleep(self._timeout_s)
        if len(self._candidates) < self._places:
            there = [candidate.name for candidate in self._candidates.values()]
            reason = f"{len(there)} of {self._places} workers joined within {self._timeout_s:g} s"
            reason += f" ({', '.join(there)})" if there else ""
            self.dismiss("; ".join([reason, *(f"refused: {refused}" for refused in self._refusals)]))

    def dismiss(self, reason: str, event: str = "refused") -> None:
        """Tell the parent (by this event) and every worker that there is no run, and why."""
        for line in self._lines.values():
            self._post.send_message("over", reason, client_id=line)
        gevent.sleep(0.2)  # let the words out: the parent ends us for this
        self._say(event, reason=reason)

    # --- dealing

    def seat(self, clients: list[str], tickets: dict[str, int]) -> None:
        """Give the workers their ranks: the clients in the order of their ranks, and each one's ticket."""
        self._ranks = {tickets[client]: rank for rank, client in enumerate(clients)}
        self._clients = dict(enumerate(clients))
        for rank, client in self._clients.items():
            self._relays[rank] = MetricsProxy(self._asking(client))
        self._say("joined", workers=[self.facts(rank) for rank in sorted(self._clients)])

    def _asking(self, client: str) -> Callable[[int], None]:
        return lambda number: self._post.send_message("instruments?", number, client_id=client)

    def relay_port(self, rank: int) -> int:
        """Where a worker's instruments can be scraped from now on: on loopback, as if it ran here."""
        return self._relays[rank].listen(self._base_port and self._base_port + rank)

    def facts(self, rank: int) -> dict[str, Any]:
        """What run.json says of a worker's machine."""
        ticket = self._ticket_of(rank)
        candidate = self._candidates[ticket]
        first = ClockOffset(candidate.offset_s, candidate.wall_offset_s, candidate.uncertainty_s)
        return {
            "rank": rank,
            "host": candidate.name,
            "clock_offset_s": first.monotonic_s,
            "wall_offset_s": first.wall_s,
            "clock_uncertainty_s": first.uncertainty_s,
            "clock_drift_s": clock_drift_s(first, self._clocks[ticket]),
            "limits": candidate.limits,
        }

    def begin(self) -> None:
        """T0 has been told: from now on a worker must not fall silent."""
        self._begun = True
        self._heard_s = dict.fromkeys(self._clients, self._clock())
        gevent.spawn(self._listen_for_silence)

    def account(self, account: dict[str, Any]) -> dict[str, Any]:
        """A worker's account with what we know: its machine, and whether all of its rows are here."""
        rank = account["rank"]
        self._over.add(rank)
        missing = account.pop("rows_bytes", 0) - self._ledger.received(rank)
        unwritten = account["unwritten"] or self._ledger.unwritten
        if missing and not unwritten:
            unwritten = f"{missing:,} bytes of its rows never came"
        if unwritten:  # the parent hears it at once: other workers may have hours to go
            self._say("unwritten", rank=rank, reason=unwritten)
        return {**account, "unwritten": unwritten, **self.facts(rank)}

    # --- at work

    def _on_clock(self, msg: Any, **_: Any) -> None:
        self._clocks[msg.data["ticket"]] = ClockOffset(**msg.data["offset"])

    def _on_pulse(self, msg: Any, **_: Any) -> None:
        self._heard_s[msg.data] = self._clock()

    def _on_instruments(self, msg: Any, **_: Any) -> None:
        self._relays[msg.data["rank"]].answer(msg.data["number"], msg.data["text"])

    def _on_rows(self, msg: Any, **_: Any) -> None:
        rank = msg.data["rank"]
        self._heard_s[rank] = self._clock()
        why_not = self._ledger.enter(rank, msg.data["at"], msg.data["rows"])
        self._post.send_message("taken", why_not, client_id=msg.node_id)

    def _on_gone(self, msg: Any, **_: Any) -> None:
        """A worker's own machine says that its process has ended, or can't work."""
        ticket, reason = msg.data["ticket"], msg.data["reason"]
        candidate = self._candidates.get(ticket)
        if candidate is None:
            return
        rank = self._ranks.get(ticket)
        if rank is None:  # its place is free again
            del self._candidates[ticket], self._lines[ticket]
            self._say("turned_away", name=candidate.name, reason=reason)
        elif not self._begun:
            text = f"worker {rank} on {candidate.name}: {reason}"
            self.dismiss(text, msg.data["event"])
        else:
            self._lose(rank, reason)

    def _listen_for_silence(self) -> None:
        """What we slept through ourselves (stopped, starved, a slow disk) is nobody's silence: its pulses still wait to be read."""
        looked_s = self._clock()
        while True:
            gevent.sleep(_POLL_S)
            now = self._clock()
            slept_s, looked_s = now - looked_s, now
            for rank, heard_s in list(self._heard_s.items()):
                if slept_s > _STALLED_S:
                    self._heard_s[rank] = heard_s + slept_s
                elif now - heard_s > SILENT_S:
                    self._lose(rank, f"nothing was heard of it for {SILENT_S:g} s")

    def _lose(self, rank: int, reason: str) -> None:
        if rank not in self._over:
            self._over.add(rank)
            self._say("lost", rank=rank, host=self.facts(rank)["host"], reason=reason)
        self._heard_s.pop(rank, None)

    def _ticket_of(self, rank: int) -> int:
        return next(ticket for ticket, found in self._ranks.items() if found == rank)
