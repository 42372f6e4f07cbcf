"""The public read side, in the shape of KPU's: regions, sums at every level, stations.

Everything is computed from what is stored, at most once in the profile's `public_cache`; between two computations
everybody sees the same snapshot.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime

from aiohttp import web

from mock_server.answers import Problem, json_answer
from mock_server.gateway import EXCHANGE, Handler
from mock_server.store import Store
from mock_server.tally import LEVELS, Image, Region, Result, Tally, region_path, with_rows, with_stations

_ROWS = "SELECT id, station, page, reading, stored_at, receipt FROM pages WHERE form = 'ppwp' AND id > ? ORDER BY id"
_CANDIDATES = ("100025", "100026", "100027")


class PublicApi:
    """The handlers, and the snapshot that they answer from."""

    def __init__(self, store: Store, names: dict[str, str], codes: Iterable[str], cache_s: float) -> None:
        self._store = store
        self._names = names
        self._empty = with_stations(Tally(), codes)
        self._tally = self._empty
        self._deletions = 0
        self._cache_s = cache_s
        self._computed_s = float("-inf")
        self._ts = ""
        self._lock = asyncio.Lock()

    def routes(self) -> dict[str, Handler]:
        """Paths and their handlers."""
        return {
            "/wilayah/pemilu/ppwp/{path:.+}.json": self.children,
            "/pemilu/hhcw/ppwp.json": self.nation,
            "/pemilu/hhcw/ppwp/{path:.+}.json": self.result,
            "/images/{name}": self.image,
        }

    async def _now(self, request: web.Request) -> Tally:
        await request[EXCHANGE].begin("public")
        async with self._lock:
            if time.monotonic() - self._computed_s >= self._cache_s:
                self._tally = await asyncio.to_thread(self._computed)
                self._computed_s = time.monotonic()
                self._ts = _written(time.time())
        return self._tally

    def _computed(self) -> Tally:
        deletions = self._store.deletions  # before the rows are read: a later deletion is noticed the next time
        known = self._tally if deletions == self._deletions else self._empty
        self._deletions = deletions
        return with_rows(known, self._store.read(_ROWS, (known.last_id,)))

    async def children(self, request: web.Request) -> web.Response:
        """The regions (or stations) right below one."""
        tally = await self._now(request)
        code = _code_of(request.match_info["path"])
        region = tally.regions.get(code) or (Region() if not code else None)
        if region is None:
            raise Problem(404, "No such region")
        return json_answer([self._child(child) for child in sorted(region.children)])

    def _child(self, code: str) -> dict[str, object]:
        name = f"TPS {code[-3:]}" if len(code) == LEVELS[-1] else code
        return {"nama": self._names.get(code, name), "id": int(code), "kode": code, "tingkat": LEVELS.index(len(code))}

    async def nation(self, request: web.Request) -> web.Response:
        """The sums of everything."""
        tally = await self._now(request)
        return json_answer(self._sums(tally, tally.regions.get("", Region())))

    async def result(self, request: web.Request) -> web.Response:
        """The sums of a region, or a station's own figures."""
        tally = await self._now(request)
        code = _code_of(request.match_info["path"])
        if len(code) == LEVELS[-1]:
            if code not in tally.stations:
                raise Problem(404, "No such station")
            return json_answer(self._station(code, tally.stations[code]))
        region = tally.regions.get(code)
        if region is None or not code:
            raise Problem(404, "No such region")
        return json_answer(self._sums(tally, region))

    def _sums(self, tally: Tally, region: Region) -> dict[str, object]:
        table: dict[str, object] = {}
        for child in sorted(region.children):
            below = _as_region(tally, child)
            table[child] = {
                **_votes(below.votes), "psu": None, "persen": _percent(below.published, below.stations),
                "status_progress": below.published > 0,
            }  # fmt: skip
        persen = _percent(region.published, region.stations)
        return {
            "ts": self._ts, "mode": "hhcw", "psu": None, "chart": {**_votes(region.votes), "persen": persen},
            "table": table, "progres": {"total": region.stations, "progres": region.published},
        }  # fmt: skip

    def _station(self, code: str, result: Result) -> dict[str, object]:
        return {
            "ts": self._ts, "mode": "hhcw", "psu": None,
            "chart": result.votes if result.has_votes else None,
            "images": [None if image is None else f"/images/{image_name(code, image)}" for image in result.images],
            "administrasi": result.administration or None,
            "status_suara": result.has_votes, "status_adm": bool(result.administration),
        }  # fmt: skip

    async def image(self, request: web.Request) -> web.Response:
        """A photo, if photos are kept."""
        tally = await self._now(request)
        name = request.match_info["name"]
        result = tally.stations.get(name[:13], Result())
        for image in result.images:
            if image is not None and image_name(name[:13], image) == name:
                photo = await asyncio.to_thread(self._photo, image.receipt)
                if photo is not None:
                    return web.Response(body=photo, content_type="image/jpeg")
        raise Problem(404, "No such image")

    def _photo(self, receipt: str) -> bytes | None:
        for (photo,) in self._store.read("SELECT photo FROM pages WHERE receipt = ?", (receipt,)):
            return bytes(photo) if photo is not None else None
        return None


def image_name(code: str, image: Image) -> str:
    """The last part of an image's address: code, time, and an id that does not give the receipt away."""
    at = datetime.fromtimestamp(image.stored_at, UTC)
    return f"{code}-{at:%Y%m%d-%H%M%S}--{uuid.uuid5(uuid.NAMESPACE_OID, image.receipt)}.jpg"


def _code_of(path: str) -> str:
    """The deepest code of a path such as "35/3509/350919", "" for "0"; raises Problem 404 if it is no path."""
    parts = path.split("/")
    if parts == ["0"]:
        return ""
    if parts != region_path(parts[-1])[1:]:
        raise Problem(404, "No such region")
    return parts[-1]


def _as_region(tally: Tally, code: str) -> Region:
    """A child as a region: a station is one of a single station."""
    if len(code) < LEVELS[-1]:
        return tally.regions[code]
    result = tally.stations[code]
    return Region(stations=1, published=int(result.has_votes), votes=result.votes)


def _votes(votes: dict[str, int]) -> dict[str, int]:
    return {**dict.fromkeys(_CANDIDATES, 0), **votes}


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _written(epoch: float) -> str:
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M:%S}"
