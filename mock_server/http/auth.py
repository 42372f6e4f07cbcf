"""Which stations may upload: their PINs, and the tokens of those that logged in."""

from __future__ import annotations

import csv
import hmac
import secrets
import sqlite3
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from pathlib import Path

from mock_server.http.forms import is_code, is_region_code
from mock_server.http.responses import Problem, retry_after_header
from mock_server.profile.server_profile import ServerProfile
from mock_server.storage.store import Store

_TOKENS_PER_STATION = 8
_REMEMBERED_STATIONS = 50_000
_MAX_TOKENS = 1_000_000
"""Without a file of stations any code may log in; this bounds the memory of their tokens."""
_EVICTIONS_PER_LOGIN = 4


class StationCredentials:
    """The stations that may log in, and their PINs.

    Without a file any well-formed code may log in, with its last six digits as PIN.
    """

    def __init__(self, pins: dict[str, str] | None = None, names: dict[str, str] | None = None) -> None:
        self._pins = pins
        self.names = names or {}

    @classmethod
    def read(cls, path: Path) -> StationCredentials:
        """The stations of a CSV file with the columns code, name and pin.

        Raises ValueError that names the invalid line.
        """
        pins: dict[str, str] = {}
        names: dict[str, str] = {}
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"code", "pin"} <= set(rows.fieldnames or ()):
                message = f"{path}: needs the columns code, name, pin"
                raise ValueError(message)
            for row in rows:
                if not is_code(row["code"] or "") or not row["pin"]:
                    message = f"{path}:{rows.line_num}: needs a code of 1 to 64 printable characters and a pin"
                    raise ValueError(message)
                pins[row["code"]] = row["pin"]
                names[row["code"]] = row.get("name") or f"TPS {row['code'][-3:]}"
        return cls(pins, names)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the file; none without a file."""
        return tuple(self._pins or ())

    def pin(self, code: str) -> str | None:
        """The PIN of a station; None if there is no such station."""
        if self._pins is not None:
            return self._pins.get(code)
        return code[-6:] if is_region_code(code) else None

    @property
    def known_codes(self) -> Collection[str] | None:
        """The codes of the file; None without one, where any well-formed code may log in."""
        return None if self._pins is None else self._pins.keys()


class Authenticator:
    """Logs stations in and checks their tokens. Only digests of tokens are kept, the latest eight per station."""

    def __init__(
        self,
        stations: StationCredentials,
        profile: ServerProfile,
        store: Store,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._stations = stations
        self._profile = profile
        self._store = store
        self._now = wall_clock
        self._tokens: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        """In the order in which they were issued, and therefore expire."""
        self._of_station: dict[str, deque[bytes]] = {}
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    async def load(self) -> None:
        """Loads the tokens of an earlier process, or removes them if the profile says so."""
        if not self._profile.tokens_survive_restart:
            await self._store.run("DELETE FROM tokens")
            return
        await self._store.run("DELETE FROM tokens WHERE expires_at <= ?", (self._now(),))
        query = "SELECT digest, station, expires_at FROM tokens ORDER BY expires_at"
        for key, station, expires_at in await self._store.run(query):
            self._remember(bytes(key), station, expires_at)

    async def login(self, station: str, pin: str) -> tuple[str, float]:
        """A new token and the epoch at which it expires.

        Raises Problem 401 for a wrong station or PIN, 429 after too many.
        """
        now = self._now()
        count, until = self._wrong.get(station, (0, 0.0))
        if now >= until:  # the window of the earlier failures is over
            count = 0
        if count >= self._profile.pin_attempts:
            raise Problem(429, "Too many wrong PINs", headers=retry_after_header(until - now))
        expected = self._stations.pin(station)
        # In constant time, and also for unknown stations (no PIN contains a NUL): the time must not reveal either.
        right = hmac.compare_digest((expected or "\0").encode(), pin.encode("utf-8", "surrogatepass"))
        if expected is None or not right:
            if is_code(station):  # throttled whether it exists or not: a 429 must not reveal which stations exist
                self._note_wrong(station, count + 1, now + self._profile.pin_window)
            raise Problem(401, "Wrong station or PIN", headers={"WWW-Authenticate": "Bearer"})
        self._wrong.pop(station, None)
        token = secrets.token_urlsafe(24)
        expires = now + self._profile.token_lifetime
        forgotten = [*self._remember(hash_token(token), station, expires), *self._forget_old(now)]
        if self._profile.tokens_survive_restart:  # on disk before the response: the client's token outlives a crash
            await self._store.do(
                lambda connection: _store_token(connection, (hash_token(token), station, expires), forgotten)
            )
        return token, expires

    def _note_wrong(self, station: str, count: int, until: float) -> None:
        self._wrong.pop(station, None)  # so that it becomes the latest, and the oldest is evicted
        self._wrong[station] = (count, until)
        if len(self._wrong) > _REMEMBERED_STATIONS:
            self._wrong.popitem(last=False)

    def _remember(self, token_digest: bytes, station: str, expires_at: float) -> list[bytes]:
        """Adds a token; the digests of those that are evicted for it."""
        self._tokens[token_digest] = (station, expires_at)
        tokens = self._of_station.setdefault(station, deque())
        tokens.append(token_digest)
        return [self._forget(tokens[0])] if len(tokens) > _TOKENS_PER_STATION else []

    def _forget_old(self, now: float) -> Iterator[bytes]:
        """Evicts expired tokens, and the oldest above the maximum; a few per login, so that no login is slow."""
        for _ in range(_EVICTIONS_PER_LOGIN):
            oldest = next(iter(self._tokens))
            if now < self._tokens[oldest][1] and len(self._tokens) <= _MAX_TOKENS:
                return
            yield self._forget(oldest)

    def _forget(self, token_digest: bytes) -> bytes:
        station, _ = self._tokens.pop(token_digest)
        tokens = self._of_station[station]
        tokens.remove(token_digest)
        if not tokens:
            del self._of_station[station]
        return token_digest

    def station_of(self, authorization: str | None) -> str:
        """The station whose token an Authorization header carries; raises Problem 401."""
        scheme, _, token = (authorization or "").partition(" ")
        known = self._tokens.get(hash_token(token.strip())) if scheme.lower() == "bearer" else None
        if known is None:
            raise Problem(401, "A token is needed", headers={"WWW-Authenticate": "Bearer"})
        if self._now() >= known[1]:
            raise Problem(401, "The token has expired", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return known[0]

    def authorise(self, authorization: str | None, station: str) -> None:
        """Raises Problem 401 without a valid token, 403 with that of another station."""
        if self.station_of(authorization) != station:
            raise Problem(403, "The token belongs to another station")


def _store_token(connection: sqlite3.Connection, token: tuple[bytes, str, float], forgotten: list[bytes]) -> None:
    connection.execute("INSERT INTO tokens VALUES (?, ?, ?)", token)
    connection.executemany("DELETE FROM tokens WHERE digest = ?", ((key,) for key in forgotten))


def hash_token(token: str) -> bytes:
    """What is kept of a token: looking a digest up reveals nothing about the token by its timing."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
