"""Reading a target's consent: once, and again and again during a run. Also this machine's secret.

Uses blocking sockets with a deadline over the whole read, so that it works in a plain process and under gevent alike.
"""

from __future__ import annotations

import os
import secrets
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from harness.base.address import Origin, cross_origin_redirect
from harness.base.errors import UsageError
from harness.target import consent
from harness.target.connect import open_connection

_SECRET_BYTES = 32
_MAX_RESPONSE_BYTES = consent.MAX_CONSENT_BYTES + 8_192
_CHECK_INTERVAL_S = 0.05


class ConsentUnreadableError(Exception):
    """No complete answer arrived in time. Unlike `ConsentError` this may be temporary."""


def state_folder(environment: Mapping[str, str]) -> Path:
    """Folder of this machine's secret: below XDG_STATE_HOME if that is an absolute path, else below ~/.local/state."""
    base = environment.get("XDG_STATE_HOME") or ""
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state"
    return root / "upload-harness"


def load_machine_secret(folder: Path) -> bytes:
    """The secret from which this user's consent tokens on this machine are derived; created (mode 0600) if missing.

    Raises UsageError if other users can read it, or if it is damaged.
    """
    path = folder / "consent-secret"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # O_EXCL: of two processes that start at once only one creates it. O_NOFOLLOW: never write through a planted link.
    try:
        created = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(created, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        state = os.fstat(file.fileno())
        secret = file.read(_SECRET_BYTES + 1)
    if stat.S_IMODE(state.st_mode) & 0o077 or state.st_uid != os.geteuid():
        message = f"{path} can be read by others: chmod 600 it, or remove it (the tokens then change)"
        raise UsageError(message)
    if len(secret) != _SECRET_BYTES:
        message = f"{path} does not contain {_SECRET_BYTES} bytes: remove it (the tokens then change)"
        raise UsageError(message)
    return secret


def read_consent(
    origin: Origin,
    address: str,
    token: str,
    context: ssl.SSLContext | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> consent.Consent:
    """The consent that the target publishes now. `context` is for https; None trusts the system's authorities.

    Raises ConsentError if the answer is not a valid consent, ConsentUnreadableError if there was no complete answer within a
    second.
    """
    status, headers, body = _get(origin, address, context, clock() + consent.READ_TIMEOUT_S, clock)
    elsewhere = cross_origin_redirect(origin, status, headers.get("location", ""))
    if elsewhere:
        message = f"the target redirects elsewhere: {elsewhere[:200]!r}"
        raise consent.ConsentError(message)
    if status == 429 or status >= 500:  # an overloaded server: not a decision of its owner
        message = f"GET {consent.CONSENT_PATH}: HTTP status {status}"
        raise ConsentUnreadableError(message)
    if status != 200:
        message = f"GET {consent.CONSENT_PATH}: HTTP status {status}"
        raise consent.ConsentError(message)
    return consent.parse_consent(body, token, datetime.now(UTC))


def _get(
    origin: Origin, address: str, context: ssl.SSLContext | None, until_s: float, clock: Callable[[], float]
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and body. HTTP/1.0: the server then closes, and sends no chunks (RFC 9112, 6.1)."""
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
    """Everything that arrives until the message is complete, the server closes, or the size limit is exceeded.

    Raises TimeoutError at `until_s`: a server that sends a byte now and then would otherwise hold the read forever.
    """
    data = b""
    while len(data) <= _MAX_RESPONSE_BYTES:
        left_s = until_s - clock()
        if left_s <= 0:
            message = "incomplete in time"
            raise TimeoutError(message)
        connection.settimeout(left_s)
        piece = connection.recv(4_096)
        if not piece or _is_complete(data + piece):
            return data + piece
        data += piece
    return data


def _is_complete(data: bytes) -> bool:
    """Whether everything that Content-Length announces has arrived: some servers keep the connection open regardless."""
    head, end, body = data.partition(b"\r\n\r\n")
    length = _parse_headers(head).get("content-length", "") if end else ""
    return length.isdigit() and len(length) < 8 and len(body) >= int(length)


def _parse_response(data: bytes) -> tuple[int, dict[str, str], bytes]:
    head, end, body = data.partition(b"\r\n\r\n")
    status_line = head.split(b"\r\n", 1)[0].split()
    if not end or len(status_line) < 2 or not status_line[0].startswith(b"HTTP/1.") or not status_line[1].isdigit():
        message = f"GET {consent.CONSENT_PATH}: the answer is not HTTP"
        raise ConsentUnreadableError(message)
    headers = _parse_headers(head)
    if "transfer-encoding" in headers:
        message = f"GET {consent.CONSENT_PATH}: the answer is chunked, which HTTP/1.0 does not allow"
        raise ConsentUnreadableError(message)
    length = headers.get("content-length", "")
    if length.isdigit() and len(body) < min(int(length[:8]), consent.MAX_CONSENT_BYTES + 1):
        message = f"GET {consent.CONSENT_PATH}: the answer is incomplete"
        raise ConsentUnreadableError(message)
    return int(status_line[1][:4]), headers, body


def _parse_headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


class ConsentPoller:
    """Reads the consents again and again within its `with` block, in threads. The workers do the same on their own.

    Does nothing if no consent is needed.
    """

    def __init__(self, granted: Sequence[tuple[consent.Consent | None, Callable[[], consent.Consent]]]) -> None:
        """Of each server, the consent that the run started with and what reads it again, raising as `read_consent` does."""
        self._granted = [(one, read) for one, read in granted if one is not None]
        self._stopped = threading.Event()
        self._monitors: list[consent.ConsentMonitor] = []
        self.listener: Callable[[str], None] = lambda _: None
        """Called once, from a thread, with the reason why a consent has ended."""

    def __enter__(self) -> Self:
        self._monitors = [consent.ConsentMonitor(one, time.monotonic()) for one, _ in self._granted]
        # A thread for each: a read may hang for a second, and the end of a consent must be noticed meanwhile.
        for monitor, (_, read) in zip(self._monitors, self._granted, strict=True):
            threading.Thread(target=self._poll, args=(monitor, read), daemon=True, name="consent").start()
        if self._monitors:
            threading.Thread(target=self._check, daemon=True, name="consent").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()  # does not wait for a read in progress

    def halted(self) -> str:
        """Why nothing more may be sent, or "" while it may."""
        now_s = time.monotonic()
        return next((reason for monitor in self._monitors if (reason := monitor.halted(now_s))), "")

    def withdraw(self, why: str) -> None:
        """A worker reported that a consent has ended, or that none has ("")."""
        if why and self._monitors:
            self._monitors[0].withdraw(why)

    def _poll(self, monitor: consent.ConsentMonitor, read: Callable[[], consent.Consent]) -> None:
        while not self._stopped.wait(consent.POLL_INTERVAL_S) and not self.halted():
            began_s = time.monotonic()
            try:
                monitor.read(read(), began_s)
            except ConsentUnreadableError as error:
                monitor.unreadable(str(error))
            except consent.ConsentError as error:
                monitor.withdraw(str(error))

    def _check(self) -> None:
        while not self._stopped.wait(_CHECK_INTERVAL_S):
            if self.halted():
                self.listener(self.halted())
                return
