"""Where a target is: its origin, and the one address that the whole run keeps to."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urljoin, urlsplit

from harness.base.errors import UsageError

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: whom one talks to (RFC 6454)."""

    scheme: Literal["http", "https"]
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def host_header(self) -> str:
        """What the Host header says: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_origin(url: str) -> Origin | None:
    """The origin of an http or https URL; None if it is no such URL.

    >>> str(origin_of("http://LOCALHOST/x"))
    'http://localhost:80'
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        return None
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return Origin(scheme, parts.hostname.rstrip(".").lower(), _DEFAULT_PORTS[scheme] if port is None else port)


def cross_origin_redirect(origin: Origin, status: int, location: str) -> str:
    """Where an answer sends us, if that is not the origin itself; else "".

    >>> redirect_of(Origin("http", "a", 80), 302, "//b/x"), redirect_of(Origin("http", "a", 80), 302, "/x")
    ('http://b/x', '')
    """
    if not 300 <= status < 400 or not location:
        return ""
    try:
        url = urljoin(f"{origin}/", location)
    except ValueError:
        url = location
    return "" if parse_origin(url) == origin else url


def resolve_address(origin: Origin) -> str:
    """The address that a run keeps to, looked up once: nothing is resolved again, so that no name server can move the load.

    Raises UsageError where there is none.
    """
    try:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"--target {origin}: its address can't be found: {error}"
        raise UsageError(message) from None
    addresses = [str(address[0]) for *_, address in found]
    return next((address for address in addresses if is_loopback(address)), addresses[0])


def is_loopback(address: str) -> bool:
    """Whether an address leads to this machine and nowhere else: 127.0.0.0/8 or ::1.

    >>> is_loopback("127.3.2.1"), is_loopback("0.0.0.0"), is_loopback("localhost")
    (True, False, False)
    """
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
