"""A station's line: when bytes and signals are through. Pure: no sockets, no waiting; harness/drive/client/shaped_connection.py waits."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator

from harness.scenario.link import LinkChoice, Outages, resolve_link

_QUANTILE_BITS = 52
_NEVER = float("inf")


class LinkModel:
    """One station's way to the server: a rate, a round trip, and outages in which nothing moves.

    All answers are absolute moments, counted from the moment that the caller names. Who sends step after step names the
    moment at which the step before was through, not the present one: so a wait that ended late shortens the next.
    """

    def __init__(
        self, upload_bytes_per_s: float, rtt_s: float = 0.0, outages: Iterator[tuple[float, float]] | None = None
    ) -> None:
        """`outages` are (begin, end) in seconds since T0, rising, without overlap; they may go on for ever."""
        self.upload_bytes_per_s = upload_bytes_per_s
        self.rtt_s = rtt_s
        self._coming = outages or iter(())
        self._begins: list[float] = []
        self._ends: list[float] = []

    def through(self, size_bytes: int, start_s: float) -> float:
        """When so many bytes are through that begin at `start_s`.

        >>> Line(1_000_000, outages=iter([(0.5, 2.0)])).through(600_000, 0.25)
        2.35
        """
        return self._after(start_s, size_bytes / self.upload_bytes_per_s)

    def across(self, round_trips: float, start_s: float) -> float:
        """When a signal that leaves at `start_s` has crossed: 1 there and back, 0.5 one way. In an outage it waits."""
        return self._after(start_s, round_trips * self.rtt_s)

    def _after(self, start_s: float, busy_s: float) -> float:
        """When the line has worked for `busy_s` since `start_s`."""
        moment, number = start_s, bisect_right(self._ends, start_s)
        while True:
            if number == len(self._ends):
                begin, end = next(self._coming, (_NEVER, _NEVER))
                if begin == _NEVER:
                    return moment + busy_s
                self._begins.append(begin)
                self._ends.append(end)
            begin, end = self._begins[number], self._ends[number]
            if moment + busy_s <= begin:
                return moment + busy_s
            busy_s -= max(0.0, begin - moment)
            moment = max(moment, end)
            number += 1


def draw_link_model(choice: LinkChoice, seed: int, station: str) -> LinkModel | None:
    """A station's own line; None if nothing limits. The same seed and station code draw the same line.

    Every station draws the same numbers of luck whatever the table says, so that stations keep their rank when it changes.
    """
    link = resolve_link(choice)
    if link is None:
        return None
    rng = random.Random(f"{seed}/link/{station}")
    poor, upload, rtt = _draw_quantile(rng), _draw_quantile(rng), _draw_quantile(rng)
    quality = link.poor if link.poor is not None and poor < link.poor_share else link
    outages = None if quality.outages is None else generate_outages(quality.outages, rng)
    return LinkModel(float(quality.upload.quantile(upload)), float(quality.rtt.quantile(rtt)), outages)


def generate_outages(outages: Outages, rng: random.Random) -> Iterator[tuple[float, float]]:
    """(begin, end) of one outage after another, seconds since T0, without end."""
    end = 0.0
    while True:
        begin = end + float(outages.every.quantile(_draw_quantile(rng)))
        end = begin + float(outages.lasting.quantile(_draw_quantile(rng)))
        yield begin, end


def _draw_quantile(rng: random.Random) -> float:
    """A uniform number strictly between 0 and 1, as a quantile wants it."""
    return (rng.getrandbits(_QUANTILE_BITS) + 0.5) / 2.0**_QUANTILE_BITS
