"""How many connections a plan needs, before anything is sent: what a machine's ports and descriptors are held against.

What is known beforehand is exact: when stations turn up, and what `client.connection` makes of that. What only the server can
decide is assumed, always the same way:

- connections made: every attempt is answered at once, and none is repeated (a retry after a failure costs one more);
- connections open at once: the server hangs. A station that may try again is then at it until the deadline, one that may not
  (`retry.strategy = "none"`, or one attempt) for a timeout a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.plan.plan import Plan
from harness.scenario.scenario import ClientOptions

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


_ROUNDING_S = 1e-9
"""Moments in equal steps must not fall into a stretch by their last bit."""


@dataclass(frozen=True, slots=True)
class ConnectionDemand:
    """What a plan needs. `turned_up_s` are the stations that turn up before the deadline, sorted, in seconds from T0."""

    turned_up_s: FloatArray
    each_opens: int
    """Connections that a station makes when all goes well: 1, or one a page; 0 where a pool is kept."""
    stations_at_once: int
    """Stations at it at once while the server hangs; each has one connection at most."""

    def made_within(self, window_s: float) -> int:
        """The most connections made within any stretch of so many seconds."""
        return max_within(self.turned_up_s, window_s) * self.each_opens


def estimate_connections(plan: Plan, client: ClientOptions, deadline_s: float) -> ConnectionDemand:
    """What a plan needs; with closed arrivals the most that it could come to, if the server takes no time."""
    soonest_s = plan.soonest_s
    turned_up_s = np.sort(soonest_s[soonest_s < deadline_s])
    opens = {"new": 1, "each": len(plan.slots), "reuse": 0}[client.connection]
    at_once = max_within(turned_up_s, _max_station_s(plan, client, deadline_s))
    if plan.rounds is not None:
        at_once = len(plan.rounds.phones)
    return ConnectionDemand(turned_up_s, opens, at_once)


def max_within(sorted_s: FloatArray, window_s: float) -> int:
    """The most moments that lie within any stretch of so many seconds, its end not included.

    >>> most_within(np.array([0.0, 0.5, 1.0, 1.2]), 1.0), most_within(np.array([]), 1.0)
    (3, 0)
    """
    upto = np.searchsorted(sorted_s, sorted_s + window_s - _ROUNDING_S, side="left")
    return int((upto - np.arange(len(sorted_s))).max(initial=0))


def _max_station_s(plan: Plan, client: ClientOptions, deadline_s: float) -> float:
    """How long a station is at it while nothing is answered."""
    retry = client.retry
    if retry.strategy == "none" or retry.max_attempts == 1:
        return min(deadline_s, retry.spread) + client.timeout * len(plan.slots)
    return deadline_s
