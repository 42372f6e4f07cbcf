"""The cookies of one station, as its browser or app would keep them (RFC 6265). Pure: times are arguments, in Unix time.

Stricter than a browser: a cookie goes back to the very host and port that set it, whatever its Domain says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from harness.base.address import Origin

_PAIR = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(\"?[!#-+\--:<-\[\]-~]*\"?)\s*")
"""Name and value as RFC 6265 (4.1.1) lets a server send them: nothing that could break the header that it goes back in."""
_MAX_COOKIES = 50
_NEVER = float("inf")


class _Cookie(NamedTuple):
    value: str
    path: str
    secure: bool
    until_s: float


class CookieJar:
    """What the server has asked one station to send with its requests.

    >>> jar, origin = CookieJar(), Origin("http", "a", 80)
    >>> jar.store(origin, "/login", ["sid=1; Path=/; HttpOnly", "theme=dark; Path=/admin"], 0.0)
    >>> jar.header(origin, "/upload", 1.0), jar.get(origin, "sid")
    ('sid=1', '1')
    """

    __slots__ = ("_cookies",)

    def __init__(self) -> None:
        self._cookies: dict[tuple[Origin, str], _Cookie] = {}

    def store(self, origin: Origin, path: str, lines: Iterable[str], now_s: float) -> None:
        """Take in the Set-Cookie lines of an answer to a request for `path`; `now_s` is Unix time."""
        for line in lines:
            pair, *attributes = line.split(";")
            match = _PAIR.fullmatch(pair)
            if match is None:
                continue  # a browser would not send it back either
            key = (origin, match[1])
            cookie = _parse_attributes(match[2], path, attributes, now_s)
            if cookie.until_s <= now_s:
                self._cookies.pop(key, None)
            elif key in self._cookies or len(self._cookies) < _MAX_COOKIES:
                self._cookies[key] = cookie

    def get(self, origin: Origin, name: str) -> str | None:
        """The value of a cookie, without quotes around it; None if there is none."""
        cookie = self._cookies.get((origin, name))
        return None if cookie is None else cookie.value.strip('"')

    def header(self, origin: Origin, path: str, now_s: float) -> str:
        """The value of the Cookie header of a request; "" without cookies."""
        return "; ".join(
            f"{name}={cookie.value}"
            for (where, name), cookie in self._cookies.items()
            if where == origin
            and cookie.until_s > now_s
            and _matches(path, cookie.path)
            and (not cookie.secure or origin.scheme == "https")
        )


def _parse_attributes(value: str, path: str, attributes: list[str], now_s: float) -> _Cookie:
    found: dict[str, str] = {}
    for attribute in attributes:
        name, _, text = attribute.partition("=")
        found[name.strip().lower()] = text.strip()
    until_s = _NEVER
    if re.fullmatch(r"-?[0-9]{1,12}", found.get("max-age", "")):  # it outweighs Expires (RFC 6265, 5.3)
        until_s = now_s + int(found["max-age"])
    elif "expires" in found:
        until_s = _parse_date(found["expires"])
    where = found.get("path", "")
    default = path.partition("?")[0].rpartition("/")[0] or "/"
    return _Cookie(value, where if where.startswith("/") else default, "secure" in found, until_s)


def _parse_date(text: str) -> float:
    """Unix time; infinite for a date that can't be read, which RFC 6265 tells to ignore."""
    try:
        return parsedate_to_datetime(text.replace("-", " ")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return _NEVER


def _matches(path: str, prefix: str) -> bool:
    """RFC 6265, 5.1.4."""
    path = path.partition("?")[0]
    return path == prefix or (path.startswith(prefix) and (prefix.endswith("/") or path[len(prefix)] == "/"))
