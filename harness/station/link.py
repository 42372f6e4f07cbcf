"""The bandwidth and latency of one phone: when bytes and signals have arrived.

Pure: no sockets, no waiting; harness/drive/client/shaped_connection.py waits.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator

from harness.scenario.client import LinkChoice, Outages, resolve_link
from mock_server.profile.units import whole_nanoseconds

_QUANTILE_BITS = 52
"""With the half step that is added, 53 bits: what a float's significand holds, so a quantile is exact and never 0 or 1."""
_NEVER = float("inf")


class LinkModel:
    """One station's connection to the network: a rate, a round-trip time, and outages in which nothing moves.

    All times are absolute seconds since T0, and the caller names the start. A caller that sends step after step starts
    each one when the step before had arrived, not at the present time: a wait that ended late then shortens the next,
    and the errors don't add up.
    """

    def __init__(
        self, upload_bytes_per_s: float, rtt_s: float = 0.0, outages: Iterator[tuple[float, float]] | None = None
    ) -> None:
        """`outages` are (begin, end) in seconds since T0, rising, without overlap; the iterator may be endless."""
        self.upload_bytes_per_s = upload_bytes_per_s
        self.rtt_s = rtt_s
        self._coming = outages or iter(())
        # Outages that have been drawn are kept: concurrent transfers ask for earlier times again.
        self._begins: list[float] = []
        self._ends: list[float] = []

    def transfer_end_s(self, size_bytes: int, start_s: float) -> float:
        """When `size_bytes` bytes that are sent from `start_s` on have left the phone.

        >>> LinkModel(1_000_000, outages=iter([(0.5, 2.0)])).transfer_end_s(600_000, 0.25)
        2.35
        """
        return self._after(start_s, size_bytes / self.upload_bytes_per_s)

    def signal_end_s(self, round_trips: float, start_s: float) -> float:
        """When a signal sent at `start_s` has arrived: 1 for there and back, 0.5 for one way. In an outage it waits."""
        return self._after(start_s, round_trips * self.rtt_s)

    def next_outage(self, at_s: float) -> tuple[float, float]:
        """(begin, end) of the outage at this time, or else of the next one; both infinite if none follows.

        >>> LinkModel(1_000_000, outages=iter([(0.5, 2.0)])).next_outage(1.0)
        (0.5, 2.0)
        """
        number = bisect_right(self._ends, at_s)
        while number == len(self._ends):
            if not self._draw_outage():
                return _NEVER, _NEVER
            number += self._ends[number] <= at_s
        return self._begins[number], self._ends[number]

    def _draw_outage(self) -> bool:
        """Take the next outage from those that follow; False if there is none."""
        begin_s, end_s = next(self._coming, (_NEVER, _NEVER))
        if begin_s == _NEVER:
            return False
        self._begins.append(begin_s)
        self._ends.append(end_s)
        return True

    def _after(self, start_s: float, busy_s: float) -> float:
        """When the link has worked for `busy_s` since `start_s`, not counting outages."""
        at_s, number = start_s, bisect_right(self._ends, start_s)
        while True:
            if number == len(self._ends) and not self._draw_outage():
                return at_s + busy_s
            begin_s, end_s = self._begins[number], self._ends[number]
            if at_s + busy_s <= begin_s:
                return at_s + busy_s
            # `at_s` lies inside the outage where the start did: then nothing has been sent before it.
            busy_s -= max(0.0, begin_s - at_s)
            at_s = max(at_s, end_s)
            number += 1


def draw_link_model(choice: LinkChoice, seed: int, station: str) -> LinkModel | None:
    """A station's own link; None if nothing limits it. The same seed and station code draw the same link.

    Every station draws the same quantiles whatever the table says (common random numbers), so that stations keep their
    rank when it changes.
    """
    link = resolve_link(choice)
    if link is None:
        return None
    rng = random.Random(f"{seed}/link/{station}")
    # All three are drawn before the first is used: a table without a poor share must not shift the others.
    poor, upload, rtt = _draw_quantile(rng), _draw_quantile(rng), _draw_quantile(rng)
    quality = link.poor if link.poor is not None and poor < link.poor_share else link
    outages = None if quality.outages is None else generate_outages(quality.outages, rng)
    # Rounded: the same on every machine, whatever its C library makes of the last bit.
    upload_bytes_per_s = float(round(quality.upload.quantile(upload), 6))
    return LinkModel(upload_bytes_per_s, whole_nanoseconds(quality.rtt.quantile(rtt)), outages)


def generate_outages(outages: Outages, rng: random.Random) -> Iterator[tuple[float, float]]:
    """(begin, end) of one outage after another, seconds since T0, endlessly."""
    end_s = 0.0
    while True:
        begin_s = end_s + whole_nanoseconds(outages.every.quantile(_draw_quantile(rng)))
        end_s = begin_s + whole_nanoseconds(outages.lasting.quantile(_draw_quantile(rng)))
        yield begin_s, end_s


def _draw_quantile(rng: random.Random) -> float:
    """A uniform number strictly between 0 and 1: at either end, many distributions are infinite."""
    return (rng.getrandbits(_QUANTILE_BITS) + 0.5) / 2.0**_QUANTILE_BITS
