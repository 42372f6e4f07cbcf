"""A connection to a target at the one address that a run keeps to, with TLS where it speaks that; and whether there is one."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable

from harness.base.address import Origin
from harness.base.errors import UsageError
from harness.target.tls import make_tls_context

CONNECT_TIMEOUT_S = 5.0
"""For a target to take one connection before a run, the TLS handshake included."""


def open_connection(
    origin: Origin,
    address: str,
    context: ssl.SSLContext | None,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> socket.socket:
    """A connection that has been made within `timeout_s`, the TLS handshake included; the same time is its timeout then.

    `context` is for https; None trusts the system's authorities. Raises OSError (ssl.SSLError is one) or ValueError.
    """
    until_s = clock() + timeout_s
    plain = socket.create_connection((address, origin.port), timeout_s)
    if origin.scheme == "http":
        return plain
    try:
        plain.settimeout(max(0.01, until_s - clock()))  # for the handshake as a whole
        secured = (context or make_tls_context(None)).wrap_socket(plain, server_hostname=origin.host)
    except (OSError, ValueError):
        plain.close()
        raise
    secured.settimeout(timeout_s)
    return secured


def check_reachable(
    origin: Origin, address: str, context: ssl.SSLContext | None, timeout_s: float = CONNECT_TIMEOUT_S
) -> None:
    """Raise UsageError where nobody takes a connection there: a whole evening of refused attempts would prove nothing.

    One connection is made, with the TLS handshake of an https target, and closed again; nothing is asked.
    """
    where = str(origin) if origin.host == address else f"{origin} ({address})"
    try:
        open_connection(origin, address, context, timeout_s).close()
    except ConnectionRefusedError:
        message = f"nobody listens at {where}: start the server, or check the address"
    except ssl.SSLCertVerificationError as error:
        message = (
            f"{where} has a certificate that is not trusted: {error.verify_message}; name its authority with "
            "client.tls.authority, or check the address"
        )
    except TimeoutError:
        message = f"{where} takes no connection within {timeout_s:g} s: start the server, or check the address"
    except ssl.SSLError as error:
        message = (
            f"{where} does not speak TLS as we do ({error.reason or error}): check the server, and whether it is http"
        )
    except (OSError, ValueError) as error:
        message = f"{where} can't be reached: {error}: start the server, or check the address"
    else:
        return
    message = f"--target: {message}"
    raise UsageError(message)
