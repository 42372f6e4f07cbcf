"""TLS for the HTTP client: one context per worker, sessions resumed per station, and nothing that blocks.

The context holds the trusted authorities and the options and is shared by all stations of a worker. A connection's own
state is an SSLObject over two memory buffers, so that sockets, waiting and errors are the plain client's.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from harness.drive.client.outcomes import ConnectionClosedError

_RECORD_BYTES = 16_384
"""Largest plaintext of a TLS record (RFC 8446, 5.1), and what one write encrypts."""
_MAX_PENDING_RECORDS = 4
"""Encrypted ahead of what the socket accepts, at most: 64 KB of plaintext."""
_RECEIVE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """How to speak TLS with a target."""

    context: ssl.SSLContext
    server_name: str
    """What the certificate must be issued for: a host name or an IP address."""
    resumption: bool = True
    """Whether a station's later connections resume the session of its earlier ones."""


class TlsTransport:
    """TLS over a non-blocking socket.

    Raises BlockingIOError instead of waiting, ssl.SSLError for errors of TLS, OSError for those of the socket.
    """

    def __init__(self, tls: TlsConfig, plain: socket.socket, session: ssl.SSLSession | None) -> None:
        """`plain` may be unconnected; `session` is resumed if the server still knows it."""
        self._socket = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=tls.server_name, session=session
        )
        self._resumption = tls.resumption
        self._unsent = memoryview(b"")
        self._flushed_bytes = 0
        """How much of the ciphertext that was encrypted last the socket has accepted."""
        self._records: list[tuple[int, int]] = []
        """(end in the ciphertext, bytes of plaintext) of each record that is encrypted and not yet counted as sent."""

    @property
    def session(self) -> ssl.SSLSession | None:
        """For later connections to resume; None if resumption is off.

        With TLS 1.3 the server sends its tickets after the handshake, usually with the first response, so read it as late
        as possible. Costs 0.2 ms, as Python copies the session.
        """
        return self._tls.session if self._resumption else None

    @property
    def is_resumed(self) -> bool:
        """Whether the handshake resumed a session."""
        return bool(self._tls.session_reused)

    @property
    def round_trips(self) -> float:
        """Round trips of the handshake: two without a session before TLS 1.3, else one (RFC 8446, 2; RFC 5246, 7.3)."""
        return 1.0 if self.is_resumed or self._tls.version() == "TLSv1.3" else 2.0

    @property
    def has_unsent(self) -> bool:
        """Whether there is ciphertext that the socket has not accepted yet."""
        return len(self._unsent) > 0

    def do_handshake(self) -> bool:
        """Continue the handshake as far as possible without waiting; True once it is complete."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                if not (self._flush() and self._receive_handshake()):
                    return False
            except ssl.SSLError:
                # Send the alert: the server's log should say why (an untrusted certificate, for example).
                self._flush()
                raise
            else:
                return self._flush()

    def sendmsg(self, buffers: Sequence[bytes | memoryview]) -> int:
        """Encrypt and send; returns the bytes of plaintext in those records that the kernel has accepted completely.

        After BlockingIOError the same bytes must be passed again, as some of them are encrypted already: a TLS record can't
        be withdrawn.
        """
        if not self._records:
            self._encrypt(buffers)
        self._flush()
        sent = 0
        while self._records and self._records[0][0] <= self._flushed_bytes:
            sent += self._records.pop(0)[1]
        if not sent:
            raise BlockingIOError
        return sent

    def recv(self, size: int) -> bytes:
        """Decrypted bytes; b"" if the server closed, with a close_notify alert or without one."""
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._read_socket()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                # Many servers close without close_notify. A truncated response is found by its length all the same.
                return b""

    def _encrypt(self, buffers: Sequence[bytes | memoryview]) -> None:
        """Encrypt the first few records of the buffers, to be sent together."""
        begun = len(self._unsent)
        self._flushed_bytes = 0
        for buffer in buffers:
            start = 0
            while start < len(buffer) and len(self._records) < _MAX_PENDING_RECORDS:
                taken = self._tls.write(buffer[start : start + _RECORD_BYTES])
                self._records.append((begun + self._outgoing.pending, taken))
                start += taken

    def _flush(self) -> bool:
        """Hand the ciphertext to the socket; whether it accepted all of it."""
        if self._outgoing.pending:
            data = self._outgoing.read()
            self._unsent = memoryview(bytes(self._unsent) + data if self._unsent else data)
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return False
            self._flushed_bytes += sent
            self._unsent = self._unsent[sent:]
        return True

    def _receive_handshake(self) -> bool:
        """Read what was received during the handshake; whether there was anything.

        Raises ConnectionClosedError if the server closed.
        """
        try:
            self._read_socket()
        except BlockingIOError:
            return False
        if self._incoming.eof:
            raise ConnectionClosedError
        return True

    def _read_socket(self) -> None:
        data = self._socket.recv(_RECEIVE_BYTES)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
