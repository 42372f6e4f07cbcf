"""The admin port: faults, drain, and what is stored; behind a token. Neither faults nor admission apply to it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hmac
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from pydantic import ValidationError

from mock_server.api.routes import health_routes
from mock_server.faults.matching import FaultState
from mock_server.faults.registry import POWER_CUT, AnyFault
from mock_server.http.fault_scheduler import FaultScheduler
from mock_server.http.metrics import ServerMetrics
from mock_server.http.middleware import Handler, request_in_progress, respond_with_problems
from mock_server.http.responses import Problem, json_response
from mock_server.profile.units import Duration, FrozenModel
from mock_server.profile.validation_messages import explain
from mock_server.profile_file import Profile
from mock_server.storage.store import Store

_UNGUARDED_PATHS = frozenset({"/metrics", "/healthz", "/readyz"})
_SELECT_STORED = "SELECT station, form, page, sha256, size_bytes, reading, stored_at FROM pages ORDER BY id"
TOKEN_FILE_PREFIX = "mock-server-token-"  # noqa: S105 - a file name
_UNFINISHED_PREFIX = "mock-server-making-"
_DEFAULT_TTL_S = 3600.0
_ROWS_PER_WRITE = 2000


class _PostedFault(FrozenModel):
    """A fault as it is posted, with its time to live."""

    fault: AnyFault
    ttl: Duration = _DEFAULT_TTL_S


@dataclass(frozen=True)
class AdminServices:
    """What the handlers of the admin port use."""

    profile: Profile
    faults: FaultScheduler
    store: Store
    drain: Callable[[], Awaitable[dict[str, object]]]
    metrics: ServerMetrics
    token: str
    can_cut_power: bool = False
    """Whether the data is on a disk whose power can be cut."""


def admin_app(services: AdminServices) -> web.Application:
    """The application of the admin port."""
    app = web.Application(middlewares=[_require_token(services.token)], client_max_size=1_000_000)
    routes = AdminRoutes(services)
    app.router.add_get("/profile", routes.profile)
    app.router.add_get("/stored", routes.stored)
    app.router.add_post("/drain", routes.drain)
    app.router.add_get("/faults", routes.faults)
    app.router.add_post("/faults", routes.add_fault)
    app.router.add_delete("/faults", routes.heal)
    app.router.add_post("/faults/reset", routes.reset_faults)
    app.router.add_put("/faults/{name}", routes.change_fault)
    app.router.add_delete("/faults/{name}", routes.remove_fault)
    for path, handler in health_routes(services.metrics, lambda: True).items():
        app.router.add_get(path, handler)
    return app


def _require_token(token: str) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        # A header may contain surrogates for bytes that are not UTF-8, which a plain encode would refuse.
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogatepass")
        if request.path not in _UNGUARDED_PATHS and not hmac.compare_digest(given, expected):
            return Problem(401, "The admin token is required", headers={"WWW-Authenticate": "Bearer"}).response()
        with request_in_progress(request):
            return await respond_with_problems(request, handler)

    return guard


class AdminRoutes:
    """The handlers of the admin port."""

    def __init__(self, services: AdminServices) -> None:
        self._services = services
        self._faults = services.faults

    async def profile(self, _request: web.Request) -> web.Response:
        """The profile in force."""
        return json_response(self._services.profile.model_dump(mode="json"))

    async def faults(self, _request: web.Request) -> web.Response:
        """Every fault with its counts."""
        return json_response(
            {"now": self._faults.now(), "faults": [self._described(state) for state in self._faults.states]}
        )

    def _described(self, state: FaultState) -> dict[str, object]:
        strength = self._faults.strength(state)
        counts = {"active": strength > 0, "strength": strength, "seen": state.matched, "injected": state.injected}
        return {**state.fault.model_dump(mode="json"), **counts}

    async def add_fault(self, request: web.Request) -> web.Response:
        """Adds a fault; its name must be new."""
        content = await _json_object(request)
        fault = self._fault(content)
        if any(state.fault.name == fault.name for state in self._faults.states):
            raise Problem(409, f'There already is a fault called "{fault.name}"')
        return self._put(fault)

    async def change_fault(self, request: web.Request) -> web.Response:
        """Replaces the fault of this name, or adds it."""
        fault = self._fault({**await _json_object(request), "name": request.match_info["name"]})
        return self._put(fault)

    def _put(self, fault: AnyFault) -> web.Response:
        if fault.kind == POWER_CUT and not self._services.can_cut_power:
            raise Problem(409, "This server's data is on an ordinary disk: start it with --power-cut")
        is_new = self._faults.put(fault)
        return json_response(fault.model_dump(mode="json"), 201 if is_new else 200)

    def _fault(self, content: dict[str, Any]) -> AnyFault:
        """The fault described; without a start it begins now, and it ends with its time to live at the latest."""
        described = {key: value for key, value in content.items() if key != "ttl"}
        ttl = {"ttl": content["ttl"]} if "ttl" in content else {}
        wrapped = {"fault": described, **ttl}
        try:
            posted = _PostedFault.model_validate(wrapped)
        except ValidationError as error:
            lines = [line.removeprefix("fault.") for line in explain(error, _PostedFault, wrapped)]
            raise Problem(400, "; ".join(lines), problems=lines) from error
        now = self._faults.now() or 0.0
        fault = posted.fault
        start = fault.start if "start" in described else now
        # So that a test that dies leaves no fault behind.
        max_duration = max(0.0, now + posted.ttl - start)
        duration = max_duration if fault.duration is None else min(fault.duration, max_duration)
        return fault.model_copy(update={"start": start, "duration": duration})

    async def remove_fault(self, request: web.Request) -> web.Response:
        """Removes a fault."""
        if not self._faults.remove(request.match_info["name"]):
            raise Problem(404, "No such fault")
        return web.Response(status=204)

    async def heal(self, _request: web.Request) -> web.Response:
        """Ends all faults, and cancels those that are scheduled."""
        self._faults.heal()
        return web.Response(status=204)

    async def reset_faults(self, request: web.Request) -> web.Response:
        """Returns to the profile's faults and their schedule."""
        self._faults.reset()
        return await self.faults(request)

    async def drain(self, _request: web.Request) -> web.Response:
        """Heals, drops work whose client has left, and responds when the server is idle (or after 15 s), its log on disk."""
        drained = await self._services.drain()
        await self._faults.logged()
        return json_response(drained)

    async def stored(self, request: web.Request) -> web.StreamResponse:
        """A line of JSON for each stored copy, streamed; the header `Stored-Rows` has their number, to detect truncation."""
        count, rows = await asyncio.to_thread(self._services.store.snapshot, _SELECT_STORED)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Stored-Rows": str(count)})
        await response.prepare(request)
        lock = threading.Lock()  # a cancelled request leaves its thread in the iterator: it must not be entered twice

        def lines() -> bytes:
            with lock:
                return b"".join(_stored_line(row) for row in islice(rows, _ROWS_PER_WRITE))

        while text := await asyncio.to_thread(lines):
            await response.write(text)
        await response.write_eof()
        return response


_COLUMNS = ("station", "form", "page", "sha256", "size_bytes", "reading", "stored_at")


def _stored_line(row: tuple[Any, ...]) -> bytes:
    return json.dumps(dict(zip(_COLUMNS, row, strict=True)), separators=(",", ":")).encode() + b"\n"


async def _json_object(request: web.Request) -> dict[str, Any]:
    try:
        content = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise Problem(400, "The body is not JSON") from error
    if not isinstance(content, dict):
        raise Problem(400, "Send a fault as a JSON object")
    return content


@contextlib.contextmanager
def token_file(folder: Path | None = None) -> Iterator[tuple[str, Path]]:
    """A new token and the file that holds it (mode 0600, in the system's folder for temporary files), removed at exit.

    The server holds a lock on its file as long as it runs, so a file without one is a killed server's.
    """
    folder = folder or Path(tempfile.gettempdir())
    remove_stale_files(folder)
    token = secrets.token_urlsafe(24)
    descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED_PREFIX, dir=folder)  # mkstemp gives it mode 0600
    path = folder / (TOKEN_FILE_PREFIX + name.rpartition(_UNFINISHED_PREFIX)[2])
    with os.fdopen(descriptor, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(token)
        file.flush()
        Path(name).rename(path)  # only now: without its lock another server would remove it as stale
        try:
            yield token, path
        finally:
            path.unlink(missing_ok=True)


def remove_stale_files(folder: Path) -> None:
    """Removes this user's token files that killed servers have left."""
    for path in folder.glob(f"{TOKEN_FILE_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, locked, or removed meanwhile
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_uid == os.getuid():
                    path.unlink()
            finally:
                os.close(descriptor)
