"""The rest of a request's body, taken from its connection as it is read, past the HTTP library.

The library would copy it twice, keep it until its reader is woken, and let it go again: for a photo that costs more than
anything else that is done to it but hashing.
"""

from __future__ import annotations

from collections.abc import Callable

TakeBytes = Callable[[bytes | bytearray, int, int], None]
"""Takes the bytes of a buffer from a place to another; the buffer is overwritten afterwards."""


class BodyTap:
    """Counts a body of known length to its end.

    What `take` raises is kept in `error`, for the handler that awaits the body. From then on, and after `release`, the bytes go to
    `leave`, which gets a copy of them.
    """

    def __init__(
        self, left_bytes: int, take: TakeBytes, leave: Callable[[bytes], object], on_end: Callable[[], None]
    ) -> None:
        self._left_bytes = left_bytes
        self._take: TakeBytes | None = take
        self._leave = leave
        self._on_end = on_end
        self.error: Exception | None = None

    def feed(self, data: bytes | bytearray, start: int, end: int) -> int:
        """Takes what is the body's of these bytes; where the rest begins, which is of the next request."""
        stop = min(end, start + self._left_bytes)
        self._left_bytes -= stop - start
        try:
            if self._take is not None:
                self._take(data, start, stop)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the request, not to the connection
            self.error = error
            self.release()
        if self._take is None:
            self._leave(bytes(memoryview(data)[start:stop]))
        if self._left_bytes == 0:
            self._on_end()
        return stop

    def release(self) -> None:
        """Leaves what still comes to the HTTP library."""
        self._take = None
