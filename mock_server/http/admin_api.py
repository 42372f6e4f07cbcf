"""The admin port: faults, drain, and what is held; on loopback, behind a token. Neither faults nor admission touch it."""

from __future__ import annotations

import asyncio
import hmac
import json
import threading
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from pydantic import ValidationError

from mock_server.faults.scheduler import FaultScheduler, FaultState
from mock_server.http.metrics import ServerMetrics
from mock_server.http.middleware import Handler, request_in_progress, respond_with_problems
from mock_server.http.responses import Problem, json_response
from mock_server.http.routes import health_routes
from mock_server.overload.drain import Drain
from mock_server.profile.profile import AnyFault, Profile
from mock_server.profile.units import Duration, FrozenModel
from mock_server.profile.validation_messages import explain
from mock_server.storage.store import Store

_UNGUARDED_PATHS = frozenset({"/metrics", "/healthz", "/readyz"})
_SELECT_STORED = "SELECT station, form, page, sha256, size_bytes, reading, stored_at FROM pages ORDER BY id"
_DEFAULT_TTL_S = 3600.0
_ROWS_PER_WRITE = 2000


class _PostedFault(FrozenModel):
    """A fault as it is posted, with how long it may live."""

    fault: AnyFault
    ttl: Duration = _DEFAULT_TTL_S


@dataclass(frozen=True)
class AdminServices:
    """What the admin routes need."""

    profile: Profile
    rules: FaultScheduler
    store: Store
    drain: Drain
    metrics: ServerMetrics
    token: str


def admin_app(parts: AdminServices) -> web.Application:
    """The application of the admin port."""
    app = web.Application(middlewares=[_require_token(parts.token)], client_max_size=1_000_000)
    routes = AdminRoutes(parts)
    app.router.add_get("/profile", routes.profile)
    app.router.add_get("/stored", routes.stored)
    app.router.add_post("/drain", routes.drain)
    app.router.add_get("/faults", routes.faults)
    app.router.add_post("/faults", routes.add_fault)
    app.router.add_delete("/faults", routes.heal)
    app.router.add_post("/faults/reset", routes.reset_faults)
    app.router.add_put("/faults/{name}", routes.change_fault)
    app.router.add_delete("/faults/{name}", routes.remove_fault)
    for path, handler in health_routes(parts.metrics, lambda: True).items():
        app.router.add_get(path, handler)
    return app


def _require_token(token: str) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogatepass")
        if request.path not in _UNGUARDED_PATHS and not hmac.compare_digest(given, expected):
            return Problem(401, "The admin token is needed", headers={"WWW-Authenticate": "Bearer"}).answer()
        with request_in_progress(request):
            return await respond_with_problems(request, handler)

    return guard


class AdminRoutes:
    """The handlers of the admin port."""

    def __init__(self, parts: AdminServices) -> None:
        self._parts = parts

    async def profile(self, _request: web.Request) -> web.Response:
        """The profile in force."""
        return json_response(self._parts.profile.model_dump(mode="json"))

    async def faults(self, _request: web.Request) -> web.Response:
        """Every rule with its counts."""
        return json_response(
            {"now": self._parts.rules.now(), "faults": [self._shown(rule) for rule in self._parts.rules.all]}
        )

    def _shown(self, rule: FaultState) -> dict[str, object]:
        strength = self._parts.rules.strength(rule)
        counts = {"active": strength > 0, "strength": strength, "seen": rule.seen, "injected": rule.injected}
        return {**rule.fault.model_dump(mode="json"), **counts}

    async def add_fault(self, request: web.Request) -> web.Response:
        """Puts a new fault in force."""
        content = await _json_object(request)
        fault = self._fault(content)
        if any(rule.fault.name == fault.name for rule in self._parts.rules.all):
            raise Problem(409, f'There is a fault called "{fault.name}" already')
        return self._put(fault)

    async def change_fault(self, request: web.Request) -> web.Response:
        """Replaces the fault of this name, or adds it."""
        fault = self._fault({**await _json_object(request), "name": request.match_info["name"]})
        return self._put(fault)

    def _put(self, fault: AnyFault) -> web.Response:
        is_new = self._parts.rules.put(fault)
        return json_response(fault.model_dump(mode="json"), 201 if is_new else 200)

    def _fault(self, content: dict[str, Any]) -> AnyFault:
        """The fault described; without a start it begins now, and it never outlives its time to live."""
        described = {key: value for key, value in content.items() if key != "ttl"}
        ttl = {"ttl": content["ttl"]} if "ttl" in content else {}
        wrapped = {"fault": described, **ttl}
        try:
            posted = _PostedFault.model_validate(wrapped)
        except ValidationError as error:
            lines = [line.removeprefix("fault.") for line in explain(error, _PostedFault, wrapped)]
            raise Problem(400, "; ".join(lines), problems=lines) from error
        now = self._parts.rules.now() or 0.0
        fault = posted.fault
        start = fault.start if "start" in described else now
        lasts = max(0.0, now + posted.ttl - start)
        duration = lasts if fault.duration is None else min(fault.duration, lasts)
        return fault.model_copy(update={"start": start, "duration": duration})

    async def remove_fault(self, request: web.Request) -> web.Response:
        """Takes one fault out."""
        if not self._parts.rules.remove(request.match_info["name"]):
            raise Problem(404, "No such fault")
        return web.Response(status=204)

    async def heal(self, _request: web.Request) -> web.Response:
        """Ends all faults, those to come too."""
        self._parts.rules.heal()
        return web.Response(status=204)

    async def reset_faults(self, request: web.Request) -> web.Response:
        """Back to the profile's faults and their schedule."""
        self._parts.rules.reset()
        return await self.faults(request)

    async def drain(self, _request: web.Request) -> web.Response:
        """Heals, drops what nobody waits for, and answers when the server is idle (or after 15 s), its log on disk."""
        drained = await self._parts.drain.run()
        await self._parts.rules.logged()
        return json_response(drained)

    async def stored(self, request: web.Request) -> web.StreamResponse:
        """A line of JSON for each copy held, streamed; `Stored-Rows` says how many, so that a torn answer shows."""
        count, rows = await asyncio.to_thread(self._parts.store.snapshot, _SELECT_STORED)
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Stored-Rows": str(count)})
        await answer.prepare(request)
        lock = threading.Lock()

        def lines() -> bytes:
            with lock:
                return b"".join(_stored_line(row) for row in islice(rows, _ROWS_PER_WRITE))

        while text := await asyncio.to_thread(lines):
            await answer.write(text)
        await answer.write_eof()
        return answer


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
