"""A link that transfers share: each gets an equal part of its rate, or less if it can't take that much.

Pure: time is an argument. Processor sharing with limits (max-min fairness), computed by virtual time as in fair queueing
(Demers, Keshav and Shenker, SIGCOMM '89): `_served_bytes` is what each transfer without a binding limit has received, so
a transfer's end is one fixed number on that scale, however often others come and go. An event costs O(log n), and as
much again for each transfer whose own limit begins or ceases to be what slows it.

The server over sockets shares its line piece by piece (line_schedule.py); this is the limit of that for small pieces.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from itertools import count

_Entry = tuple[float, int, int, "Transfer"]
"""Key, order of entry, the transfer's version at that time, transfer."""


class Transfer:
    """Bytes on their way over a shared link. Made by `SharedLink.start`."""

    __slots__ = ("end", "finished_s", "is_limited", "limit_bytes_per_s", "version")

    def __init__(self, limit_bytes_per_s: float) -> None:
        self.limit_bytes_per_s = limit_bytes_per_s
        """The most it can take, such as its sender's own link; infinite if only the shared link counts."""
        self.finished_s = math.inf
        """When its last byte was through; infinite before that, and if it was cancelled."""
        self.end = 0.0
        """While limited: when it will be finished. Otherwise: the value of `_served_bytes` at which it will be."""
        self.is_limited = False
        self.version = 0
        """Raised with each change, so that heap entries of before are known to be stale (a heap can't remove them); -1 when over."""


class SharedLink:
    """The link. Times must not go back from one call to the next.

    What has finished is kept until `take_finished`, so that no call has to come at an exact time.
    """

    def __init__(self, rate_bytes_per_s: float) -> None:
        """Raises ValueError unless the rate is above 0."""
        if not rate_bytes_per_s > 0:
            message = f"a link's rate must be above 0, not {rate_bytes_per_s:g} bytes/s"
            raise ValueError(message)
        self.rate_bytes_per_s = rate_bytes_per_s
        self._now_s = 0.0
        self._order = count()
        self._finished: deque[Transfer] = deque()
        # Those that the equal part of the rate slows, ordered by their end and by their limit.
        self._sharing_by_end: list[_Entry] = []
        self._sharing_by_limit: list[_Entry] = []
        self._sharing = 0
        self._served_bytes = 0.0
        # Those that their own limit slows, ordered by their end and by their limit, the greatest first.
        self._limited_by_end: list[_Entry] = []
        self._limited_by_limit: list[_Entry] = []
        self._limited = 0
        self._limited_bytes_per_s = 0.0

    def __len__(self) -> int:
        """How many transfers are under way."""
        return self._sharing + self._limited

    @property
    def sharing(self) -> int:
        """How many of them get the equal part, because they could take more."""
        return self._sharing

    @property
    def used_bytes_per_s(self) -> float:
        """The rate at which bytes pass now."""
        return self.rate_bytes_per_s if self._sharing else self._limited_bytes_per_s

    def start(self, now_s: float, size_bytes: float, limit_bytes_per_s: float = math.inf) -> Transfer:
        """Begins a transfer of so many bytes, of which it can take at most `limit_bytes_per_s` (above 0)."""
        self._advance(now_s)
        transfer = Transfer(limit_bytes_per_s)
        # Entered where it belongs: with the others, it would lower their part for a moment and move some of them twice.
        if limit_bytes_per_s <= (self.rate_bytes_per_s - self._limited_bytes_per_s) / (self._sharing + 1):
            self._add_limited(transfer, size_bytes)
        else:
            self._add_sharing(transfer, size_bytes)
        self._balance()
        return transfer

    def cancel(self, now_s: float, transfer: Transfer) -> None:
        """Ends a transfer before it is finished; no effect on one that is."""
        self._advance(now_s)
        if not math.isfinite(transfer.finished_s) and transfer.version >= 0:
            self._remove(transfer)
            transfer.version = -1
            self._balance()

    def remaining_bytes(self, now_s: float, transfer: Transfer) -> float:
        """How much of a transfer is still to come; 0 if it is finished or cancelled."""
        self._advance(now_s)
        return 0.0 if transfer.version < 0 else self._remaining_bytes(transfer)

    def next_finish_s(self) -> float:
        """When the next transfer is finished if none is started or cancelled before; infinite without any."""
        return self._finished[0].finished_s if self._finished else self._next()[0]

    def take_finished(self, now_s: float) -> list[Transfer]:
        """The transfers finished by now that no earlier call has returned, in the order of their ends."""
        self._advance(now_s)
        finished = list(self._finished)
        self._finished.clear()
        return finished

    # --- time

    def _next(self) -> tuple[float, Transfer | None]:
        """When the next transfer is finished, and which."""
        sharing, limited = _head(self._sharing_by_end), _head(self._limited_by_end)
        sharing_s = math.inf
        if sharing is not None:
            left_bytes = max(0.0, sharing[0] - self._served_bytes)
            sharing_s = self._now_s + left_bytes / self._part_bytes_per_s if left_bytes else self._now_s
        if limited is not None and limited[0] < sharing_s:
            return max(limited[0], self._now_s), limited[3]
        return sharing_s, None if sharing is None else sharing[3]

    def _advance(self, now_s: float) -> None:
        while True:
            at_s, transfer = self._next()
            if transfer is None or at_s > now_s:
                break
            self._move_time(at_s)
            transfer.finished_s = at_s
            # Exactly its end: with the rounding of a product, others that end now would seem to end a little later.
            if not transfer.is_limited:
                self._served_bytes = transfer.end
            self._remove(transfer)
            transfer.version = -1
            self._finished.append(transfer)
            self._balance()
        self._move_time(now_s)

    def _move_time(self, now_s: float) -> None:
        if self._sharing:
            self._served_bytes += self._part_bytes_per_s * (now_s - self._now_s)
        self._now_s = now_s

    # --- shares

    @property
    def _part_bytes_per_s(self) -> float:
        """What each sharing transfer gets; infinite if there is none."""
        if not self._sharing:
            return math.inf
        return (self.rate_bytes_per_s - self._limited_bytes_per_s) / self._sharing

    def _balance(self) -> None:
        """Moves transfers until every limited one has a limit of at most the equal part, and every sharing one more."""
        while (greatest := _head(self._limited_by_limit)) is not None and -greatest[0] > self._part_bytes_per_s:
            self._move(greatest[3])
        while (least := _head(self._sharing_by_limit)) is not None and least[0] <= self._part_bytes_per_s:
            self._move(least[3])

    def _move(self, transfer: Transfer) -> None:
        left_bytes = self._remaining_bytes(transfer)
        was_limited = transfer.is_limited
        self._remove(transfer)
        if was_limited:
            self._add_sharing(transfer, left_bytes)
        else:
            self._add_limited(transfer, left_bytes)

    def _remaining_bytes(self, transfer: Transfer) -> float:
        if transfer.is_limited:
            return max(0.0, (transfer.end - self._now_s) * transfer.limit_bytes_per_s)
        return max(0.0, transfer.end - self._served_bytes)

    def _add_sharing(self, transfer: Transfer, size_bytes: float) -> None:
        transfer.is_limited, transfer.end = False, self._served_bytes + size_bytes
        self._sharing += 1
        self._push(self._sharing_by_end, transfer.end, transfer)
        if transfer.limit_bytes_per_s < math.inf:
            self._push(self._sharing_by_limit, transfer.limit_bytes_per_s, transfer)

    def _add_limited(self, transfer: Transfer, size_bytes: float) -> None:
        transfer.is_limited, transfer.end = True, self._now_s + size_bytes / transfer.limit_bytes_per_s
        self._limited += 1
        self._limited_bytes_per_s += transfer.limit_bytes_per_s
        self._push(self._limited_by_end, transfer.end, transfer)
        self._push(self._limited_by_limit, -transfer.limit_bytes_per_s, transfer)

    def _push(self, heap: list[_Entry], key: float, transfer: Transfer) -> None:
        heapq.heappush(heap, (key, next(self._order), transfer.version, transfer))

    def _remove(self, transfer: Transfer) -> None:
        transfer.version += 1
        if transfer.is_limited:
            self._limited -= 1
            # Exactly 0 again without any: the rounding errors of sums and differences must not add up over a run.
            self._limited_bytes_per_s -= transfer.limit_bytes_per_s
            if not self._limited:
                self._limited_bytes_per_s = 0.0
            return
        self._sharing -= 1
        if not self._sharing:
            self._served_bytes = 0.0
            self._sharing_by_end.clear()
            self._sharing_by_limit.clear()


def _head(heap: list[_Entry]) -> _Entry | None:
    """The first entry that is not stale; stale ones before it are dropped."""
    while heap and heap[0][2] != heap[0][3].version:
        heapq.heappop(heap)
    return heap[0] if heap else None
