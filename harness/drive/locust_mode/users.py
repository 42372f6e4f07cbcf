"""What the users of stock Locust do (its web UI, `--headless`): a closed workload that nobody judges.

Locust says how many users there are and when they stop; each is a phone that goes round: a station's evening, a pause to
think, the next station's evening. There is no deadline, no journal and no run folder: for those, `harness run`.
Knows nothing of Locust; locustfile.py brings the users.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable

import gevent

from harness.base.address import resolve_address
from harness.drive.assignment import make_target
from harness.drive.client.pool import ConnectionPool
from harness.drive.client.uploader import AttemptResult, TimeoutQueue, Uploader
from harness.drive.virtual_user import VirtualUser, WorkerContext
from harness.drive.worker import raise_descriptor_limit
from harness.measure.metrics import WorkerMetrics
from harness.plan import make_plan
from harness.plan.pins import derive_pin
from harness.run_folder.journal import JournalWriter
from harness.scenario.arrivals import ClosedArrivals
from harness.scenario.scenario import Scenario
from harness.station.link import draw_link_model
from harness.target.loopback import parse_loopback_origin

_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


class StockLocustUsers:
    """One process's part of one test."""

    def __init__(
        self, scenario: Scenario, target: str, rank: int, think_s: float, on_attempt: Callable[[AttemptResult], None]
    ) -> None:
        """Plan the photos. `think_s` is the mean pause (exponential), unless the scenario's own load is closed and says it."""
        raise_descriptor_limit()
        plan = gevent.get_hub().threadpool.apply(make_plan, (scenario,))
        self._scenario = scenario
        self._think_s = think_s
        self._random = random.Random(f"{scenario.seed}/{rank}")
        self._t0 = time.monotonic()
        self._stations = itertools.cycle(_rotated_stations(len(plan.stations), rank))
        origin = parse_loopback_origin("target", target)
        where = make_target(origin, resolve_address(origin), scenario.client.source_addresses)
        self._connections = ConnectionPool(where, scenario.client.connection, self._clock)
        self._timeouts = TimeoutQueue(scenario.client.timeout)
        self._desk = WorkerContext(
            plan=plan,
            client=scenario.client,
            clock=self._clock,
            deadline_s=float("inf"),
            journal=JournalWriter(None, rank),
            telemetry=WorkerMetrics([], {"run": "free", "scenario": scenario.name, "worker": str(rank)}),
            seed=scenario.seed,
            on_attempt=on_attempt,
        )

    def play(self) -> None:
        """One station's evening: the next one's of all. Raises GreenletExit if the user was stopped during an attempt."""
        ended_s = self._evening(next(self._stations)).run()
        self._desk.flush()
        if ended_s is None:
            raise gevent.GreenletExit

    def think_s(self) -> float:
        """Seconds until a user's next evening."""
        share = self._random.random()
        arrivals = self._scenario.arrivals
        if isinstance(arrivals, ClosedArrivals):
            return float(arrivals.think.quantile(max(share, 1e-12)))
        return -self._think_s * math.log1p(-share)

    def close(self) -> None:
        """The test is over."""
        self._connections.close()
        self._desk.journal.close()

    def _clock(self) -> float:
        return time.monotonic() - self._t0

    def _evening(self, station: int) -> VirtualUser:
        desk = self._desk
        code = desk.plan.stations[station].code
        lane = self._connections.source(draw_link_model(desk.client.link, desk.seed, code))
        host = self._connections.target.host_header
        uploader = Uploader(
            desk.plan, desk.client, lane, host, derive_pin(code, ""), self._clock, timeouts=self._timeouts
        )
        return VirtualUser(desk, station, uploader, due_s=self._clock())


def _rotated_stations(stations: int, rank: int) -> list[int]:
    """All stations, beginning somewhere else in every process, far from where the others begin.

    >>> [_from(10, rank)[0] for rank in range(4)]
    [0, 6, 2, 8]
    """
    first = int(stations * (rank * _GOLDEN_RATIO % 1.0))
    return [(first + number) % stations for number in range(stations)]
