"""A whole mock server: its parts put together, started, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from mock_server.api.admin import AdminServices, admin_app
from mock_server.api.public import PublicApi
from mock_server.api.routes import DataPortServices, data_app
from mock_server.faults.registry import POWER_CUT
from mock_server.http.auth import Authenticator, StationCredentials
from mock_server.http.fault_scheduler import FaultScheduler
from mock_server.http.forms import KnownPages
from mock_server.http.metrics import ServerMetrics
from mock_server.http.request_protocol import protocol_factory
from mock_server.net.listener import ConnectionTracker, Listener
from mock_server.net.shared_line import SharedLine, Traffic
from mock_server.overload.worker_pool import Timer, WorkerPool
from mock_server.profile.keyed_random import keyed_uniform
from mock_server.profile_file import Profile
from mock_server.storage.injection_log import InjectionLog
from mock_server.storage.resumable import POWER_CUTS_VARIABLE, ResumableStore
from mock_server.storage.store import Store
from mock_server.upload.drain import Drain, InFlightRequests
from mock_server.upload.pipeline import UploadPipeline

_MAX_ADMIN_CONNECTIONS = 1000
_SHUTDOWN_RESERVE_S = 1.0
"""What is kept of the grace time for refusing the rest and closing."""


class EventLoopClock:
    """The event loop's time, as the worker pool expects it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Calls back with `args` after a delay."""
        return self._loop.call_later(delay_s, callback, *args)


@dataclass(frozen=True)
class PowerLoss:
    """How a power cut leaves the disk."""

    torn: bool
    """Whether some of what was not synced stays."""
    seed: int
    """Which part of it."""


@dataclass(frozen=True)
class ListenAddresses:
    """Where to listen; the kernel chooses port 0."""

    host: str = "127.0.0.1"
    port: int = 0
    admin_host: str = "127.0.0.1"
    admin_port: int = 0


class MockServer:
    """The server behind its two ports. Made inside a running event loop.

    `folder` gets the store, the injection log and the bytes of resumable uploads; what an earlier process left there is
    taken up. `announce_crash` is called just before a fault kills the process, with the time until it is restarted, and with
    what a power cut does to the disk if it is one.
    """

    def __init__(
        self,
        profile: Profile,
        stations: StationCredentials,
        folder: Path,
        admin_token: str,
        tls: ssl.SSLContext | None = None,
        announce_crash: Callable[[float | None, PowerLoss | None], None] = lambda _restart_after_s, _power: None,
        *,
        can_cut_power: bool = False,
    ) -> None:
        self.profile = profile
        self._t0: float | None = None
        self._announce_crash = announce_crash
        self._log = InjectionLog(folder / "injections.jsonl")
        self.metrics = ServerMetrics()
        self.faults = FaultScheduler(profile.faults, profile.seed, self._since_t0, self._log.add, self._log.flush)
        self.pool = WorkerPool(profile, EventLoopClock(asyncio.get_running_loop()))
        self.store = Store(folder / "store.sqlite", profile.dedupe, self._log)
        self.authenticator = Authenticator(stations, profile, self.store)
        self.pipeline = UploadPipeline(profile, self.pool, self.store, self.faults, self.metrics)
        self.in_flight = in_flight = InFlightRequests()
        self.drain = Drain(self.faults, self.pool, self.store, self.pipeline, in_flight, self.metrics)
        self.traffic = Traffic(_shared_line(profile.ingress), _shared_line(profile.egress))
        self.metrics.watch(self.pool, self.faults)
        self.metrics.watch_traffic(self.traffic)
        self.resumable = ResumableStore(self.store, folder / "uploads", profile.upload_lifetime, time.time)
        self._public = PublicApi(self.store, stations.names, stations.codes, profile.public_cache)
        services = DataPortServices(
            profile, self.authenticator, self.pipeline, in_flight, self.faults, self.metrics, self.resumable,
            self._public, KnownPages(profile.forms, stations.known_codes),
        )  # fmt: skip
        admin = AdminServices(
            profile, self.faults, self.store, self.drain.run, self.metrics, admin_token, can_cut_power
        )
        self._runners = (_app_runner(data_app(services)), _app_runner(admin_app(admin)))
        self.connections = ConnectionTracker(profile.max_connections, profile.header_timeout, self.traffic)
        self._tls = tls
        self._port_closers = 0
        self._listeners: list[Listener] = []
        self._tasks: list[asyncio.Task[None]] = []

    def _since_t0(self) -> float | None:
        return None if self._t0 is None else time.monotonic() - self._t0

    def begin_schedule(self, t0_monotonic: float, *, again: bool = False) -> None:
        """Sets the zero of the fault schedule, on the monotonic clock; `again` after a crash that must not repeat."""
        self._t0 = t0_monotonic
        self.faults.attach(self, again=again)
        self._tasks.append(asyncio.create_task(self.faults.watch()))

    async def start(self, addresses: ListenAddresses) -> tuple[int, int]:
        """Begins to listen; returns the data port and the admin port."""
        await self.store.open()
        await self.resumable.open()
        await self.authenticator.load()
        for runner in self._runners:
            await runner.setup()
        admin_connections = ConnectionTracker(_MAX_ADMIN_CONNECTIONS, self.profile.header_timeout)
        self._listeners = [
            Listener(protocol_factory(self._runners[0], self.profile, self.metrics), self.connections, self._tls),
            Listener(protocol_factory(self._runners[1], self.profile), admin_connections, None),
        ]
        port = await self._listeners[0].open(addresses.host, addresses.port)
        admin_port = await self._listeners[1].open(addresses.admin_host, addresses.admin_port)
        background = (
            self.metrics.lag.measure(),
            self._log.write(),
            self.resumable.keep_clean(),
            self._public.warm_up(),
        )
        self._tasks += [asyncio.create_task(work) for work in background]
        return port, admin_port

    def close_port(self) -> None:
        """Stops listening on the data port and resets every connection."""
        self._port_closers += 1  # faults may overlap: the port opens when the last one is over
        if self._port_closers == 1:
            self._listeners[0].close_port()

    def open_port(self) -> None:
        """Listens again once everything that closed the port is over."""
        self._port_closers -= 1
        if self._port_closers == 0:
            self._listeners[0].open_port()

    def kill(self, restart_after_s: float | None) -> None:
        """Ends the process at once, as `kill -9` would."""
        self._log.flush()  # lines in memory would die with the process
        self._announce_crash(restart_after_s, None)
        os.kill(os.getpid(), signal.SIGKILL)

    def cut_power(self, restart_after_s: float | None, *, torn: bool) -> None:
        """Ends the process as a power cut would: the supervisor, which has the disk, drops what was not synced."""
        self._log.flush()  # an observer's record, not the server's: flushing syncs it
        cuts = os.environ.get(POWER_CUTS_VARIABLE, "0")  # so that each cut of a run leaves another part
        self._announce_crash(
            restart_after_s, PowerLoss(torn, int(2**32 * keyed_uniform(self.profile.seed, POWER_CUT, cuts)))
        )
        os.kill(os.getpid(), signal.SIGKILL)

    async def stop(self) -> None:
        """Refuses new work, finishes what is in progress within the grace time, refuses the rest, and closes."""
        self.pipeline.is_closing = True
        await self.drain.run(max(0.0, self.profile.grace - _SHUTDOWN_RESERVE_S), wait_for_clients=True)
        self.pool.refuse_all()
        self.in_flight.refuse_bodies()
        # Background tasks before the store: they write to it.
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for listener in self._listeners:
            await listener.close()
        self.traffic.close()  # before the connections: what is on a line has been received or sent
        for runner in self._runners:
            await runner.cleanup()
        await self.store.close()
        await asyncio.to_thread(self._log.flush)


def _shared_line(rate_bytes_per_s: float | None) -> SharedLine | None:
    return None if rate_bytes_per_s is None else SharedLine(rate_bytes_per_s)


def _app_runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_RESERVE_S / 4)
