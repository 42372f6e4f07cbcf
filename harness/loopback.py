"""Whether an address leads to this machine: load goes nowhere else."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from harness.errors import UsageError


def check_target(option: str, url: str) -> None:
    """Raise UsageError for anything but the address of a server on this machine, naming the `option` that gave it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "http" and bool(parts.hostname) and (parts.port or 80) > 0
        usable = usable and parts.path in {"", "/"} and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        usable = False
    if not usable:
        message = f'{option} "{url}" should be an address such as http://127.0.0.1:8080'
        raise UsageError(message)
    if not is_loopback(parts.hostname or ""):
        message = f"{option} {url}: only servers on this machine (localhost, 127.0.0.0/8, ::1) may be loaded"
        raise UsageError(message)


def is_loopback(host: str) -> bool:
    """By the address itself: a name other than localhost could lead anywhere.

    >>> [is_loopback(host) for host in ("localhost", "127.3.4.5", "::1", "localhost.example.org", "10.0.0.1")]
    [True, True, True, False, False]
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
