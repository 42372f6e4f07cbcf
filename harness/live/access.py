"""Who may see the live page and press its button: anyone who has its address, from no other web page."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.base.address import is_loopback
from harness.base.errors import UsageError

DEFAULT_ADDRESS = "127.0.0.1:0"
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class WebAddress:
    """Where the page is served."""

    host: str
    port: int
    """0 lets the kernel choose."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return self.host == "localhost" or is_loopback(self.host)


def parse_web_address(text: str) -> WebAddress:
    """The address in `--web HOST:PORT`; a port alone is on the loopback interface. Raises UsageError for another text.

    >>> parse_web_address("8080"), parse_web_address("[::1]:0")
    (WebAddress(host='127.0.0.1', port=8080), WebAddress(host='::1', port=0))
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535) or (colon and not host):
        message = f'--web "{text}" is not a valid address: write HOST:PORT, as in 127.0.0.1:8080, or a port alone; port 0 is any free port'
        raise UsageError(message)
    return WebAddress(host or "127.0.0.1", int(port))


def new_token() -> str:
    """A secret for the page's address: 128 random bits."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True)
class AccessRule:
    """Decides whether a request may be answered. A web page elsewhere must not read the page, nor press its button.

    The secret in the path keeps out who does not have the address. The Host header must be one of this server's own names: a name
    that somebody else controls could be made to resolve to this address later (DNS rebinding). Browsers send Origin, and
    Sec-Fetch-Site, with requests that a page makes: both must be of this very server.
    """

    token: str
    host: str
    port: int

    def why_refused(self, token: str, method: str, headers: Mapping[str, str]) -> str:
        """Why a request is refused, "" if it is answered; `token` is what its path begins with."""
        host = headers.get("Host", "")
        if not self._is_own_name(host):
            return "the Host header is not an address of this page"
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return "the address lacks this run's token"
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site", "same-origin")
        if origin is not None and origin != f"http://{host}":
            return "another web page asked for this"
        if method == "POST":
            return "" if origin is not None and site == "same-origin" else "only the page itself may do this"
        is_navigation = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
        return "" if site in {"same-origin", "none"} or is_navigation else "another web page asked for this"

    def _is_own_name(self, host_header: str) -> bool:
        try:
            parts = urlsplit(f"//{host_header}")
            name, port = (parts.hostname or "").lower(), parts.port or 80
        except ValueError:
            return False
        if port != self.port or parts.username is not None or parts.path:
            return False
        if self.host in _LOOPBACK_NAMES:
            return name in _LOOPBACK_NAMES
        try:
            ipaddress.ip_address(name)  # nobody can make a number resolve to something else
        except ValueError:
            return name in {self.host.lower(), socket.gethostname().lower(), "localhost"}
        return True
