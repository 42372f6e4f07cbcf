"""A server that must be on this machine: what stock Locust may load, since it reads no consent."""

from __future__ import annotations

from urllib.parse import urlsplit

from harness.base.address import Origin, is_loopback, parse_origin, resolve_address
from harness.base.errors import UsageError


def parse_loopback_origin(option: str, url: str) -> Origin:
    """The origin of a server on this machine; UsageError for anything else, naming the `option` that gave it."""
    origin = parse_origin(url)
    if origin is None or origin.scheme != "http" or not _is_bare(url):
        message = f'{option} "{url}" should be an address such as http://127.0.0.1:8080'
        raise UsageError(message)
    if not is_loopback_name(origin.host) or not is_loopback(
        resolve_address(origin)
    ):  # a hosts file may send localhost elsewhere
        message = f"{option} {url}: only servers on this machine (localhost, 127.0.0.0/8, ::1) may be loaded"
        raise UsageError(message)
    return origin


def is_loopback_name(host: str) -> bool:
    """By the address itself: a name other than localhost could lead anywhere.

    >>> [names_loopback(host) for host in ("localhost", "127.3.4.5", "::1", "localhost.example.org", "10.0.0.1")]
    [True, True, True, False, False]
    """
    return host == "localhost" or is_loopback(host)


def _is_bare(url: str) -> bool:
    parts = urlsplit(url)
    return parts.path in {"", "/"} and not (parts.query or parts.fragment)
