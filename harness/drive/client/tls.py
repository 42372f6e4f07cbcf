"""TLS for the HTTP client: one context a worker, sessions taken up again, everything without waiting.

The context holds the authorities and the options, and is shared by all stations of a worker; a connection's own state is an
SSLObject over two memory buffers, so that sockets, waiting and errors stay the plain client's.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from harness.drive.client.outcomes import ConnectionClosedError

_RECORD_BYTES = 16_384
"""Greatest plaintext of a TLS record (RFC 8446, 5.1), and what one write encrypts."""
_RECORDS_AT_ONCE = 4
_RECEIVE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """How to speak TLS with a target."""

    context: ssl.SSLContext
    server_name: str
    """What the certificate must be made out to: a host name or an IP address."""
    resumption: bool = True
    """Whether a station's later connections take up the session of its earlier ones."""


class TlsTransport:
    """TLS over a non-blocking socket. Raises BlockingIOError where it would have to wait, ssl.SSLError where TLS fails."""

    def __init__(self, tls: TlsConfig, plain: socket.socket, session: ssl.SSLSession | None) -> None:
        """`plain` need not be connected yet; `session` is taken up again if the server still knows it."""
        self._socket = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=tls.server_name, session=session
        )
        self._resumption = tls.resumption
        self._unsent = memoryview(b"")
        self._flushed_bytes = 0
        """Of the ciphertext that was begun last."""
        self._records: list[tuple[int, int]] = []
        """(end in the ciphertext, bytes of plaintext) of each record that is encrypted and not counted as sent."""

    @property
    def session(self) -> ssl.SSLSession | None:
        """To be taken up by later connections; None if that is not wanted.

        The server's tickets for it come with the first answer (TLS 1.3). Costs 0.2 ms: Python copies the session.
        """
        return self._tls.session if self._resumption else None

    @property
    def is_resumed(self) -> bool:
        """Whether the handshake took up a session."""
        return bool(self._tls.session_reused)

    @property
    def round_trips(self) -> float:
        """What the handshake takes: two without a session before TLS 1.3, else one (RFC 8446, 2; RFC 5246, 7.3)."""
        return 1.0 if self.is_resumed or self._tls.version() == "TLSv1.3" else 2.0

    @property
    def has_unsent(self) -> bool:
        """Whether ciphertext waits for the socket to take it."""
        return len(self._unsent) > 0

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as it goes without waiting; True once it is over."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                if not (self._flushed() and self._fed()):
                    return False
            except ssl.SSLError:
                self._flushed()  # the alert that tells the server why
                raise
            else:
                return self._flushed()

    def sendmsg(self, buffers: Sequence[bytes | memoryview]) -> int:
        """Encrypt and send the first of the buffers' bytes; how many of them the kernel has taken in whole records.

        After BlockingIOError the same bytes must be offered again: some of them are encrypted already.
        """
        if not self._records:
            self._encrypt(buffers)
        self._flushed()
        sent = 0
        while self._records and self._records[0][0] <= self._flushed_bytes:
            sent += self._records.pop(0)[1]
        if not sent:
            raise BlockingIOError
        return sent

    def recv(self, size: int) -> bytes:
        """Bytes that have come; none if the server closed, with a word of farewell or without."""
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._incoming_from_socket()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def _encrypt(self, buffers: Sequence[bytes | memoryview]) -> None:
        """A few records of what comes first, to be sent together."""
        begun = len(self._unsent)
        self._flushed_bytes = 0
        for buffer in buffers:
            start = 0
            while start < len(buffer) and len(self._records) < _RECORDS_AT_ONCE:
                taken = self._tls.write(buffer[start : start + _RECORD_BYTES])
                self._records.append((begun + self._outgoing.pending, taken))
                start += taken

    def _flushed(self) -> bool:
        """Hand the ciphertext to the socket; whether it took all of it."""
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

    def _fed(self) -> bool:
        """Take what has come during the handshake; whether anything had. Raises ConnectionClosedError at its end."""
        try:
            self._incoming_from_socket()
        except BlockingIOError:
            return False
        if self._incoming.eof:
            raise ConnectionClosedError
        return True

    def _incoming_from_socket(self) -> None:
        data = self._socket.recv(_RECEIVE_BYTES)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
