"""Target addresses: parse an origin, and resolve it once to the IP address that the whole run uses."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urljoin, urlsplit

from harness.base.errors import UsageError

_CREDENTIALS = re.compile(r"""(//)[^\s"']*@|(?<![\w/])[\w.+-]+:[^\s"'/]+@(?=[\w\[])""")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a server (RFC 6454). The host is in lower case and without a trailing dot."""

    scheme: Literal["http", "https"]
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self._bracketed_host}:{self.port}"

    @property
    def host_header(self) -> str:
        """Value of the Host header: the port is left out if it is the scheme's default."""
        return (
            self._bracketed_host if self.port == _DEFAULT_PORTS[self.scheme] else f"{self._bracketed_host}:{self.port}"
        )

    @property
    def _bracketed_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host  # RFC 3986, 3.2.2: an IPv6 address is in brackets


def parse_origin(url: str) -> Origin | None:
    """The origin of an http or https URL, or None if it is not such a URL or contains a user name.

    >>> str(parse_origin("http://LOCALHOST/x"))
    'http://localhost:80'
    """
    try:
        parts = urlsplit(url)
        port = parts.port  # raises ValueError if it is not a number up to 65535
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        return None
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return Origin(scheme, parts.hostname.rstrip(".").lower(), _DEFAULT_PORTS[scheme] if port is None else port)


def mask_credentials(text: str) -> str:
    """The text with `***` for the user and password of every URL in it: messages and run.json are shown and shared.

    >>> mask_credentials('--target "https://user:s3@cret/x@host:8080/y" is wrong')
    '--target "https://***@host:8080/y" is wrong'
    >>> mask_credentials("user:secret@host"), mask_credentials("http://host:80/a:b"), mask_credentials("ask me@example.org")
    ('***@host', 'http://host:80/a:b', 'ask me@example.org')
    """
    return _CREDENTIALS.sub(lambda found: f"{found[1] or ''}***@", text)


def cross_origin_redirect(origin: Origin, status: int, location: str) -> str:
    """The URL that a response redirects to if it is outside the origin, else "".

    >>> cross_origin_redirect(Origin("http", "a", 80), 302, "//b/x"), cross_origin_redirect(Origin("http", "a", 80), 302, "/x")
    ('http://b/x', '')
    """
    if not 300 <= status < 400 or not location:
        return ""
    try:
        url = urljoin(f"{origin}/", location)
    except ValueError:
        url = location  # not parseable, so certainly not this origin
    return "" if parse_origin(url) == origin else mask_credentials(url)


def resolve_address(origin: Origin) -> str:
    """The IP address that a run uses for an origin, loopback first.

    Call it once per run: if names were resolved again later, a DNS change could move the load to another machine, which has
    not consented. Raises UsageError if the name does not resolve.
    """
    try:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"--target {origin}: cannot resolve {origin.host}: {error}"
        raise UsageError(message) from None
    addresses = [str(address[0]) for *_, address in found]
    return next((address for address in addresses if is_loopback(address)), addresses[0])


def is_loopback(address: str) -> bool:
    """Whether an IP address is a loopback address: 127.0.0.0/8 or ::1. A name, even "localhost", is not.

    >>> is_loopback("127.3.2.1"), is_loopback("0.0.0.0"), is_loopback("localhost")
    (True, False, False)
    """
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
