"""The public read API, in the format of KPU's: regions, sums at every level, stations.

Everything is computed from what is stored, at most once per `public_cache` of the profile; between two computations
every response comes from the same snapshot.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from aiohttp import web

from mock_server.api.aggregates import LEVELS, Region, VoteAggregates, region_path, with_rows, with_stations
from mock_server.http.forms import VOTES_PAGE, is_region_code
from mock_server.http.middleware import REQUEST_CONTEXT, Handler
from mock_server.http.responses import Problem, json_response
from mock_server.profile.forms import PAGES_PER_FORM
from mock_server.profile.routes import NATION_ROUTE
from mock_server.storage.store import Store

_ROWS = """
SELECT id, station, CASE page WHEN ? THEN reading ELSE '' END FROM pages
WHERE form = 'ppwp' AND id > ? ORDER BY id
"""
_IMAGES = """
SELECT page, stored_at, receipt FROM pages WHERE station = ? AND form = 'ppwp' AND id <= ? ORDER BY id
"""
_ITEMS_BETWEEN_PAUSES = 250
_PAUSE_S = 0.0002
_WARM_UP_AFTER_S = 2.0
"""After a restart, uploads come first."""
_ETAG = web.RequestKey("etag", str)
Item = TypeVar("Item")
_NOMINEES = ("100025", "100026", "100027")


class StoredImage(NamedTuple):
    """A stored photo."""

    stored_at: float
    receipt: str


class PublicApi:
    """The handlers, and the snapshot that they respond from."""

    def __init__(self, store: Store, names: dict[str, str], codes: Iterable[str], cache_s: float) -> None:
        self._store = store
        self._names = names
        self._codes = tuple(code for code in codes if is_region_code(code))  # the places of others are not known
        self._empty: VoteAggregates | None = None
        self._aggregates = VoteAggregates()
        self._deletions = 0
        self._cache_s = cache_s
        self._begun_s = self._computed_s = float("-inf")
        self._ts = self._etag = ""
        self._lock = asyncio.Lock()

    def routes(self) -> dict[str, Handler]:
        """Paths and their handlers."""
        return {
            "/wilayah/pemilu/ppwp/{path:.+}.json": self.children,
            NATION_ROUTE: self.nation,
            "/pemilu/hhcw/ppwp/{path:.+}.json": self.result,
            "/images/{name}": self.image,
        }

    async def warm_up(self) -> None:
        """Sums up what an earlier process has stored, so that the first request need not wait for it."""
        await asyncio.sleep(_WARM_UP_AFTER_S)
        await self._latest()

    async def _now(self, request: web.Request) -> VoteAggregates:
        await request[REQUEST_CONTEXT].begin("public")
        aggregates = await self._latest(anew="no-cache" in request.headers.get("Cache-Control", "").lower())
        request[_ETAG] = self._etag  # now: while the response is made, another computation may end
        return aggregates

    async def _latest(self, *, anew: bool = False) -> VoteAggregates:
        """The latest computation; with `anew` one that began after this call, as `Cache-Control: no-cache` demands."""
        asked_s = time.monotonic()
        async with self._lock:  # one computation at a time; the others wait for its result
            is_old = time.monotonic() - self._computed_s >= self._cache_s
            if is_old or (anew and self._begun_s < asked_s):  # those who wait together share one computation
                self._begun_s = time.monotonic()
                self._aggregates = await asyncio.to_thread(self._computed)
                self._computed_s = time.monotonic()  # its end: a slow computation must not be repeated at once
                self._ts = _timestamp_text(time.time())
                self._etag = f'"{time.time_ns():x}"'
        return self._aggregates

    def _respond(self, request: web.Request, content: Callable[[], object]) -> web.Response:
        """The content; 304 to a client that has this snapshot of it already (RFC 9110, 13.1.2)."""
        etag = request[_ETAG]
        headers = {"ETag": etag, "Cache-Control": f"max-age={int(self._cache_s)}"}
        known = [one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")]
        if etag in known or "*" in known:
            return web.Response(status=304, headers=headers)
        return json_response(content(), headers=headers)

    def _computed(self) -> VoteAggregates:
        deletions = self._store.deletions  # read before the rows: a deletion meanwhile is noticed the next time
        if self._empty is None:
            self._aggregates = self._empty = with_stations(VoteAggregates(), _with_pauses(self._codes))
        # Sums can only grow: after a deletion they have to be made again from the first row.
        known = self._aggregates if deletions == self._deletions else self._empty
        self._deletions = deletions
        return with_rows(known, _with_pauses(self._store.read(_ROWS, (VOTES_PAGE, known.last_id))))

    async def children(self, request: web.Request) -> web.Response:
        """The regions (or stations) directly below one."""
        aggregates = await self._now(request)
        code = _region_code(request.match_info["path"])
        region = aggregates.regions.get(code) or (Region() if not code else None)
        if region is None:
            raise Problem(404, "No such region")
        return self._respond(request, lambda: [self._child(child) for child in sorted(region.children)])

    def _child(self, code: str) -> dict[str, object]:
        name = f"TPS {code[-3:]}" if len(code) == LEVELS[-1] else code
        return {"nama": self._names.get(code, name), "id": int(code), "kode": code, "tingkat": LEVELS.index(len(code))}

    async def nation(self, request: web.Request) -> web.Response:
        """The sums of everything."""
        aggregates = await self._now(request)
        return self._respond(request, lambda: self._sums(aggregates, aggregates.regions.get("", Region())))

    async def result(self, request: web.Request) -> web.Response:
        """The sums of a region, or the figures of a station."""
        aggregates = await self._now(request)
        code = _region_code(request.match_info["path"])
        if len(code) == LEVELS[-1]:
            if code not in aggregates.votes:
                raise Problem(404, "No such station")
            images = await self._images(aggregates, code)
            return self._respond(request, lambda: self._station(aggregates, code, images))
        region = aggregates.regions.get(code)
        if region is None or not code:
            raise Problem(404, "No such region")
        return self._respond(request, lambda: self._sums(aggregates, region))

    def _sums(self, aggregates: VoteAggregates, region: Region) -> dict[str, object]:
        table: dict[str, object] = {}
        for child in sorted(region.children):
            below = _as_region(aggregates, child)
            table[child] = {
                **_votes_per_nominee(below.votes), "psu": None, "persen": _percent(below.published, below.stations),
                "status_progress": below.published > 0,
            }  # fmt: skip
        persen = _percent(region.published, region.stations)
        return {
            "ts": self._ts, "mode": "hhcw", "psu": None, "chart": {**_votes_per_nominee(region.votes), "persen": persen},
            "table": table, "progres": {"total": region.stations, "progres": region.published},
        }  # fmt: skip

    def _station(self, aggregates: VoteAggregates, code: str, images: dict[int, StoredImage]) -> dict[str, object]:
        votes, administration = aggregates.votes[code], aggregates.administration.get(code)
        names = [
            image_name(code, images[page]) if page in images else None for page in range(1, PAGES_PER_FORM["ppwp"] + 1)
        ]
        return {
            "ts": self._ts, "mode": "hhcw", "psu": None, "chart": votes or None,
            "images": [None if name is None else f"/images/{name}" for name in names],
            "administrasi": administration or None, "status_suara": bool(votes), "status_adm": bool(administration),
        }  # fmt: skip

    async def _images(self, aggregates: VoteAggregates, code: str) -> dict[int, StoredImage]:
        """The photos of a station by page; of several copies the first."""
        if code not in aggregates.votes:
            return {}
        rows = await asyncio.to_thread(lambda: list(self._store.read(_IMAGES, (code, aggregates.last_id))))
        return {page: StoredImage(stored_at, receipt) for page, stored_at, receipt in reversed(rows)}

    async def image(self, request: web.Request) -> web.Response:
        """A photo, if photos are kept."""
        aggregates = await self._now(request)
        name = request.match_info["name"]
        for image in (await self._images(aggregates, name[:13])).values():
            if image_name(name[:13], image) == name:
                photo = await asyncio.to_thread(self._photo, image.receipt)
                if photo is not None:
                    return web.Response(body=photo, content_type="image/jpeg")
        raise Problem(404, "No such image")

    def _photo(self, receipt: str) -> bytes | None:
        for (photo,) in self._store.read("SELECT photo FROM pages WHERE receipt = ?", (receipt,)):
            return bytes(photo) if photo is not None else None
        return None


def _with_pauses(items: Iterable[Item]) -> Iterator[Item]:
    """The items, with pauses: in a thread, this lets the event loop run without waiting for the interpreter lock."""
    for number, item in enumerate(items):
        if number % _ITEMS_BETWEEN_PAUSES == _ITEMS_BETWEEN_PAUSES - 1:
            time.sleep(_PAUSE_S)
        yield item


def image_name(code: str, image: StoredImage) -> str:
    """The last part of an image's path: code, time, and an id that does not reveal the receipt."""
    at = datetime.fromtimestamp(image.stored_at, UTC)
    return f"{code}-{at:%Y%m%d-%H%M%S}--{uuid.uuid5(uuid.NAMESPACE_OID, image.receipt)}.jpg"


def _region_code(path: str) -> str:
    """The deepest code of a path such as "35/3509/350919", "" for "0"; raises Problem 404 for any other text."""
    parts = path.split("/")
    if parts == ["0"]:
        return ""
    if parts != region_path(parts[-1])[1:]:  # each part must be the prefix that its level demands
        raise Problem(404, "No such region")
    return parts[-1]


def _as_region(aggregates: VoteAggregates, code: str) -> Region:
    """A child as a region; a station is a region of one station."""
    if len(code) < LEVELS[-1]:
        return aggregates.regions[code]
    votes = aggregates.votes[code]
    return Region(stations=1, published=int(bool(votes)), votes=votes)


def _votes_per_nominee(votes: dict[str, int]) -> dict[str, int]:
    return {**dict.fromkeys(_NOMINEES, 0), **votes}


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _timestamp_text(epoch: float) -> str:
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M:%S}"
