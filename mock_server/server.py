"""A whole mock server: its parts put together, started, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from mock_server.accounts import Accounts, Stations
from mock_server.admin import AdminParts, admin_app
from mock_server.app import Parts, data_app
from mock_server.drain import Drain
from mock_server.injection_log import InjectionLog
from mock_server.intake import Intake
from mock_server.metrics import Metrics
from mock_server.profile import Profile
from mock_server.rules import Rules
from mock_server.service import Pool, Timer
from mock_server.store import Store

BACKLOG = 4096
_log = logging.getLogger(__name__)


class LoopClock:
    """The event loop's time, as the pool wants it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        """Calls back after a delay."""
        return self._loop.call_later(delay_s, callback)


class MockServer:
    """The server behind its two ports."""

    def __init__(self, profile: Profile, stations: Stations, folder: Path, admin_token: str) -> None:
        self.profile = profile
        self._t0: float | None = None
        self._log = InjectionLog(folder / "injections.jsonl")
        self.metrics = Metrics()
        self.rules = Rules(profile.faults, profile.seed, self._since_t0, self._log.add)
        self.pool = Pool(profile, LoopClock(asyncio.get_running_loop()))
        self.pool.on_service = self.metrics.service.observe
        self.store = Store(folder / "store.sqlite", profile.dedupe)
        self.accounts = Accounts(stations, profile, time.time)
        self.intake = Intake(profile, self.pool, self.store, self.rules, self.metrics)
        self.drain = Drain(self.rules, self.pool, self.store, self.intake, self.metrics)
        self.metrics.watch(self.pool, self.rules)
        parts = Parts(profile, self.accounts, self.intake, self.rules, self.metrics)
        self._data = _runner(data_app(parts))
        self._admin = _runner(
            admin_app(AdminParts(profile, self.rules, self.store, self.drain, self.metrics, admin_token))
        )
        self._tasks: list[asyncio.Task[None]] = []

    def _since_t0(self) -> float | None:
        return None if self._t0 is None else time.monotonic() - self._t0

    def begin_schedule(self, t0_monotonic: float) -> None:
        """Sets the zero of the fault schedule, on the monotonic clock."""
        self._t0 = t0_monotonic

    async def start(self, host: str, port: int, admin_host: str, admin_port: int) -> tuple[int, int]:
        """Listens; the data port and the admin port (chosen by the kernel where 0 was given)."""
        await self.store.open()
        ports = (await _listen(self._data, host, port), await _listen(self._admin, admin_host, admin_port))
        self._tasks = [asyncio.create_task(self.metrics.lag.measure()), asyncio.create_task(self._log.write())]
        return ports

    async def stop(self) -> None:
        """Refuses new work, finishes what is under way within the grace time, and closes."""
        self.intake.is_closing = True
        await self.drain.run(self.profile.grace)
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._data.cleanup()
        await self._admin.cleanup()
        await self.store.close()
        await asyncio.to_thread(self._log.flush)


def _runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(app, access_log=None, handle_signals=False, keepalive_timeout=75.0, shutdown_timeout=1.0)


async def _listen(runner: web.AppRunner, host: str, port: int) -> int:
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=BACKLOG)
    await site.start()
    chosen: int = runner.addresses[0][1]
    return chosen
