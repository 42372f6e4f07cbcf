"""Connections to a target: TLS context, TCP and TLS to the run's one address, reachability, loopback check."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from harness.base.address import Origin, is_loopback, parse_origin, resolve_address
from harness.base.errors import UsageError

CONNECT_TIMEOUT_S = 5.0
"""For the one connection before a run, including the TLS handshake."""
_MIN_TIMEOUT_S = 0.01
"""A socket timeout of 0 would mean non-blocking."""


class TlsPeer(NamedTuple):
    """How to speak TLS with an address: whom to trust, and the name that the certificate must be issued for."""

    context: ssl.SSLContext
    server_name: str


def make_tls_context(authority: str | None) -> ssl.SSLContext:
    """A client context that trusts one authority (PEM text), or the system's if None. Certificates are always verified.

    One context serves uploads, consent, metrics and the store, so that all of them trust the same server. Raises
    ssl.SSLError (an OSError) if the text contains no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.load_default_certs()
    else:
        # OpenSSL takes ASCII only; PEM files often have comments, with names of places and people in them.
        context.load_verify_locations(cadata=authority.encode("ascii", "ignore").decode())
    return context


def open_connection(
    origin: Origin,
    address: str,
    context: ssl.SSLContext | None,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> socket.socket:
    """A connection to `address`, made within `timeout_s` including the TLS handshake; the socket keeps that timeout.

    `context` is for https; None trusts the system's authorities. Raises OSError (ssl.SSLError is one) or ValueError.
    """
    until_s = clock() + timeout_s
    plain = socket.create_connection((address, origin.port), timeout_s)
    if origin.scheme == "http":
        return plain
    try:
        # a socket timeout applies to each recv: without this a slow handshake could take many times `timeout_s`
        plain.settimeout(max(_MIN_TIMEOUT_S, until_s - clock()))
        secured = (context or make_tls_context(None)).wrap_socket(plain, server_hostname=origin.host)
    except (OSError, ValueError):  # ValueError: a host name that cannot be sent as SNI
        plain.close()
        raise
    secured.settimeout(timeout_s)
    return secured


def check_reachable(
    origin: Origin, address: str, context: ssl.SSLContext | None, timeout_s: float = CONNECT_TIMEOUT_S
) -> None:
    """Raise UsageError if no connection can be made: a whole run of refused attempts would prove nothing.

    Makes one connection, with the TLS handshake for https, and closes it without sending a request.
    """
    where = str(origin) if origin.host == address else f"{origin} ({address})"
    try:
        open_connection(origin, address, context, timeout_s).close()
    except ConnectionRefusedError:
        message = f"connection refused by {where}: start the server, or check the address"
    except ssl.SSLCertVerificationError as error:
        message = (
            f"the certificate of {where} is not trusted: {error.verify_message}; name its authority with "
            "client.tls.authority, or check the address"
        )
    except TimeoutError:
        message = f"{where} accepted no connection within {timeout_s:g} s: start the server, or check the address"
    except ssl.SSLError as error:
        message = (
            f"TLS handshake with {where} failed ({error.reason or error}): check the server, and whether it speaks http"
        )
    except (OSError, ValueError) as error:
        message = f"cannot reach {where}: {error}: start the server, or check the address"
    else:
        return
    message = f"--target: {message}"
    raise UsageError(message)


def parse_loopback_origin(option: str, url: str) -> Origin:
    """The origin of a server on this machine: all that stock Locust may load, since it asks for no consent.

    Raises UsageError, naming `option`, if the URL leads anywhere else.
    """
    origin = parse_origin(url)
    if origin is None or origin.scheme != "http" or not _has_no_path(url):
        message = f'{option} "{url}" should be an address such as http://127.0.0.1:8080'
        raise UsageError(message)
    # the name alone does not suffice: /etc/hosts may map localhost to another machine
    if not is_loopback_name(origin.host) or not is_loopback(resolve_address(origin)):
        message = f"{option} {url}: only servers on this machine (localhost, 127.0.0.0/8, ::1) may be loaded"
        raise UsageError(message)
    return origin


def is_loopback_name(host: str) -> bool:
    """Whether a host is "localhost" or a loopback address. Any other name is not, whatever it resolves to now.

    >>> [is_loopback_name(host) for host in ("localhost", "127.3.4.5", "::1", "localhost.example.org", "10.0.0.1")]
    [True, True, True, False, False]
    """
    return host == "localhost" or is_loopback(host)


def _has_no_path(url: str) -> bool:
    parts = urlsplit(url)
    return parts.path in {"", "/"} and not (parts.query or parts.fragment)
