"""What the users of stock Locust do (its web UI, `--headless`): a closed workload without a verdict.

Locust decides how many users there are and when they stop; each is a phone that plays one station after another, with a
think time between. There is no deadline, no journal and no run folder: those are what `harness run` is for.
Imports nothing of Locust: locustfile.py brings the users.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable

import gevent

from harness.base.address import resolve_address
from harness.base.model import DELIVERED
from harness.drive.assignment import make_endpoint
from harness.drive.client.pool import ConnectionPool
from harness.drive.client.uploader import AttemptResult, TimeoutQueue, Uploader
from harness.drive.virtual_user import VirtualUser, WorkerContext
from harness.drive.worker import raise_descriptor_limit
from harness.measure.metrics import WorkerMetrics
from harness.plan import make_plan
from harness.plan.plan import derive_pin
from harness.run_folder.journal import JournalWriter
from harness.scenario.arrivals import ClosedArrivals
from harness.scenario.scenario import Scenario
from harness.station.link import draw_link_model
from harness.target.connect import parse_loopback_origin

_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
_SMALLEST_SHARE = 1e-12
"""Quantiles are asked for strictly above 0."""


class LocustUsers:
    """What all users of one process share in one test: plan, connections, and the station that is next."""

    def __init__(
        self, scenario: Scenario, target: str, rank: int, think_s: float, on_attempt: Callable[[AttemptResult], None]
    ) -> None:
        """Plan the photos for the server at `target`, a URL on loopback; `rank` is this process's number.

        `think_s` is the mean of the think time (exponentially distributed), unless the scenario's own arrivals are closed
        and have one. Raises UsageError if the target is not on loopback.
        """
        raise_descriptor_limit()
        plan = gevent.get_hub().threadpool.apply(make_plan, (scenario,))
        self._scenario = scenario
        self._think_s = think_s
        self._random = random.Random(f"{scenario.seed}/{rank}")
        self._t0 = time.monotonic()
        self._stations = itertools.cycle(_rotated_stations(len(plan.stations), rank))
        origin = parse_loopback_origin("target", target)
        endpoint = make_endpoint(origin, resolve_address(origin), scenario.client.source_addresses)
        self._connections = ConnectionPool(endpoint, scenario.client.connection, self._clock)
        self._timeouts = TimeoutQueue(scenario.client.timeout)
        self._context = WorkerContext(
            plan=plan,
            client=scenario.client,
            clock=self._clock,
            deadline_s=float("inf"),
            journal=JournalWriter(None, rank),
            metrics=WorkerMetrics([], {"run": "free", "scenario": scenario.name, "worker": str(rank)}),
            seed=scenario.seed,
            on_attempt=on_attempt,
        )

    def play_station(self) -> None:
        """Play the station that is next for all users. Raises GreenletExit if the user was stopped during an attempt."""
        ended_s = self._make_user(next(self._stations)).run()
        # Nothing else flushes here: the records would pile up in memory.
        self._context.flush()
        if ended_s is None:
            # The attempt has swallowed the GreenletExit to record itself; Locust waits for it to stop the user.
            raise gevent.GreenletExit

    def draw_think_s(self) -> float:
        """Seconds until a user's next station."""
        share = self._random.random()
        arrivals = self._scenario.arrivals
        if isinstance(arrivals, ClosedArrivals):
            return float(arrivals.think.quantile(max(share, _SMALLEST_SHARE)))
        return -self._think_s * math.log1p(-share)

    def close(self) -> None:
        """Close the connections and the journal: the test is over."""
        self._connections.close()
        self._context.journal.close()

    def _clock(self) -> float:
        return time.monotonic() - self._t0

    def _make_user(self, station: int) -> VirtualUser:
        context = self._context
        code = context.plan.stations[station].code
        source = self._connections.source(draw_link_model(context.client.link, context.seed, code))
        host = self._connections.target.host_header
        uploader = Uploader(
            context.plan, context.client, source, host, derive_pin(code, ""), self._clock, timeouts=self._timeouts
        )  # fmt: skip
        return VirtualUser(context, station, uploader, due_s=self._clock())


def make_attempt_listener(fire: Callable[..., None]) -> Callable[[AttemptResult], None]:
    """A listener that fires Locust's request event for attempts that came to an end, all under one name."""

    def on_attempt(result: AttemptResult) -> None:
        if result.killed:
            return
        seconds = result.done_s - result.sent_s
        fire(
            request_type="POST",
            name="upload",
            response_time=0.0 if math.isnan(seconds) else seconds * 1000,
            response_length=0,
            exception=None if result.outcome in DELIVERED else str(result.outcome),
            context={},
        )

    return on_attempt


def _rotated_stations(stations: int, rank: int) -> list[int]:
    """All stations, beginning elsewhere in every process, far from where the others begin (golden ratio sequence).

    >>> [_rotated_stations(10, rank)[0] for rank in range(4)]
    [0, 6, 2, 8]
    """
    first = int(stations * (rank * _GOLDEN_RATIO % 1.0))
    return [(first + number) % stations for number in range(stations)]
