"""Reads a target's consent over HTTP, from the one address that the run keeps to; and this machine's secret.

Works in a plain process and under gevent alike: blocking sockets, a deadline over all of it.
"""

from __future__ import annotations

import os
import secrets
import socket
import ssl
import stat
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from harness.base.address import Origin, cross_origin_redirect
from harness.base.errors import UsageError
from harness.target import consent
from harness.target.connect import open_connection

_SECRET_BYTES = 32
_MAX_RESPONSE_BYTES = consent.MAX_CONSENT_BYTES + 8_192


class ConsentUnreadableError(Exception):
    """No whole answer came in time: it may be a moment's trouble."""


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where this machine's secret lies: below XDG_STATE_HOME, else ~/.local/state."""
    base = environment.get("XDG_STATE_HOME") or ""
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state"
    return root / "upload-harness"


def load_machine_secret(folder: Path) -> bytes:
    """The secret that all tokens of this user on this machine come from; made (mode 0600) where there is none.

    Raises UsageError where others can read it, or it is none.
    """
    path = folder / "consent-secret"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(made, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        state = os.fstat(file.fileno())
        secret = file.read(_SECRET_BYTES + 1)
    if stat.S_IMODE(state.st_mode) & 0o077 or state.st_uid != os.geteuid():
        message = f"{path} can be read by others: chmod 600 it, or remove it (the tokens then change)"
        raise UsageError(message)
    if len(secret) != _SECRET_BYTES:
        message = f"{path} does not hold {_SECRET_BYTES} bytes: remove it (the tokens then change)"
        raise UsageError(message)
    return secret


def read_consent(
    origin: Origin,
    address: str,
    token: str,
    context: ssl.SSLContext | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> consent.Consent:
    """The consent that stands there now. `context` is for https; None trusts the system's authorities.

    Raises ConsentError where the answer is none, UnreadableError where there was no whole answer within a second.
    """
    status, headers, body = _get(origin, address, context, clock() + consent.READ_TIMEOUT_S, clock)
    elsewhere = cross_origin_redirect(origin, status, headers.get("location", ""))
    if elsewhere:
        message = f"the target redirects elsewhere: {elsewhere[:200]!r}"
        raise consent.ConsentError(message)
    if status == 429 or status >= 500:
        message = f"GET {consent.CONSENT_PATH}: HTTP status {status}"
        raise ConsentUnreadableError(message)
    if status != 200:
        message = f"GET {consent.CONSENT_PATH}: HTTP status {status}"
        raise consent.ConsentError(message)
    return consent.parse_consent(body, token, datetime.now(UTC))


def _get(
    origin: Origin, address: str, context: ssl.SSLContext | None, until_s: float, clock: Callable[[], float]
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and body."""
    request = (
        f"GET {consent.CONSENT_PATH} HTTP/1.0\r\nHost: {origin.host_header}\r\nAccept: application/json\r\n"
        "User-Agent: upload-harness\r\nConnection: close\r\n\r\n"
    )
    try:
        with open_connection(origin, address, context, max(0.01, until_s - clock()), clock) as connection:
            connection.sendall(request.encode())
            data = _receive_response(connection, until_s, clock)
    except (OSError, ValueError) as error:
        message = f"GET {consent.CONSENT_PATH}: {type(error).__name__}: {error}"
        raise ConsentUnreadableError(message) from None
    return _parse_response(data)


def _receive_response(connection: socket.socket, until_s: float, clock: Callable[[], float]) -> bytes:
    """Everything that comes, at most a document's worth, until the whole time is up or the message is whole."""
    data = b""
    while len(data) <= _MAX_RESPONSE_BYTES:
        left_s = until_s - clock()
        if left_s <= 0:
            message = "not whole in time"
            raise TimeoutError(message)
        connection.settimeout(left_s)
        piece = connection.recv(4_096)
        if not piece or _is_complete(data + piece):
            return data + piece
        data += piece
    return data


def _is_complete(data: bytes) -> bool:
    """Whether a server that keeps the connection open has said all that it announced."""
    head, end, body = data.partition(b"\r\n\r\n")
    length = _parse_headers(head).get("content-length", "") if end else ""
    return length.isdigit() and len(length) < 8 and len(body) >= int(length)


def _parse_response(data: bytes) -> tuple[int, dict[str, str], bytes]:
    head, end, body = data.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split()
    if not end or len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        message = f"GET {consent.CONSENT_PATH}: the answer is no HTTP"
        raise ConsentUnreadableError(message)
    headers = _parse_headers(head)
    if "transfer-encoding" in headers:
        message = f"GET {consent.CONSENT_PATH}: the answer is chunked, although HTTP/1.0 asked for it"
        raise ConsentUnreadableError(message)
    length = headers.get("content-length", "")
    if length.isdigit() and len(body) < min(int(length[:8]), consent.MAX_CONSENT_BYTES + 1):
        message = f"GET {consent.CONSENT_PATH}: the answer broke off"
        raise ConsentUnreadableError(message)
    return int(words[1][:4]), headers, body


def _parse_headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
