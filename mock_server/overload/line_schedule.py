"""When pieces of many connections have passed a line of one rate: the token bucket behind `ingress` and `egress`.

Pure: time is an argument. A connection has one piece on the line at a time and joins the end of the queue with its next
one, so that connections take turns: for small pieces each gets the equal part that `SharedLink` computes.
"""

from __future__ import annotations

import math

_MIN_PIECE_BYTES, _MAX_PIECE_BYTES = 4096, 2**18
_PIECE_S = 0.005
"""Time that a piece should take: short beside an upload, so that turns are fair; long beside what a turn costs."""
_BIN_S = 0.1
_BINS = 10
"""The use of the line is known over its latest second, in tenths."""


def choose_piece_bytes(rate_bytes_per_s: float) -> int:
    """How many bytes to pass at once.

    >>> choose_piece_bytes(125_000.0), choose_piece_bytes(12_500_000.0), choose_piece_bytes(125_000_000.0)
    (4096, 62500, 262144)
    """
    return max(_MIN_PIECE_BYTES, min(_MAX_PIECE_BYTES, int(rate_bytes_per_s * _PIECE_S)))


class LineSchedule:
    """The line: pieces pass one after another, in the order in which they are admitted.

    In no span of t seconds do more bytes pass than rate x (t + slack) and one piece, and while pieces wait no less than
    rate x t passes if its caller is never later than the slack.
    """

    def __init__(self, rate_bytes_per_s: float, slack_s: float) -> None:
        """`slack_s` is how late a caller may be without the line losing the time: an event loop's timers are not exact."""
        self.rate_bytes_per_s = rate_bytes_per_s
        self._slack_s = slack_s
        self._free_s = -math.inf
        self.total_bytes = 0
        """Everything admitted so far."""
        self._bins: dict[int, float] = {}

    def admit(self, now_s: float, size_bytes: float, ready_s: float | None = None) -> float:
        """Admits a piece; when its last byte has passed.

        `ready_s` is when the piece before it, of the same connection, passed. A piece that follows within the slack counts
        as having waited since then, as it would have if nothing had been late; after a longer pause the line was idle.
        """
        waiting_since_s = now_s
        if ready_s is not None and now_s - ready_s <= self._slack_s:
            waiting_since_s = min(ready_s, now_s)
        begin_s = max(self._free_s, waiting_since_s)
        self._free_s = begin_s + size_bytes / self.rate_bytes_per_s
        self.total_bytes += int(size_bytes)
        self._note_use(begin_s, self._free_s)
        return self._free_s

    def utilisation_ratio(self, now_s: float) -> float:
        """The share of the latest second (its whole tenths) in which the line was in use."""
        last = math.floor(now_s / _BIN_S)
        busy_s = sum(self._bins.get(number, 0.0) for number in range(last - _BINS, last))
        return min(1.0, busy_s / (_BINS * _BIN_S))

    def _note_use(self, begin_s: float, end_s: float) -> None:
        first, last = math.floor(begin_s / _BIN_S), math.floor(end_s / _BIN_S)
        for number in range(first, last + 1):
            used_s = min(end_s, (number + 1) * _BIN_S) - max(begin_s, number * _BIN_S)
            self._bins[number] = self._bins.get(number, 0.0) + used_s
        # The queue reaches into the future: only what is older than any question is dropped.
        while len(self._bins) > 4 * _BINS and (oldest := next(iter(self._bins))) < first - 2 * _BINS:
            del self._bins[oldest]
