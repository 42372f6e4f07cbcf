"""A standard output whose reader may go away. Apart from reports/terminal.py because that takes long to import."""

from __future__ import annotations

import io
import os
from typing import TextIO


class BrokenPipeGuard(io.TextIOBase):
    """A text stream that discards its output once the reader is gone (`harness run … | head`).

    Without it the first write after `head` has exited would raise BrokenPipeError and abort a run that is minutes long.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream` for as long as it has a reader."""
        self.stream = stream
        self._is_broken = False

    def write(self, text: str) -> int:
        """Write the text, or discard it if the pipe is broken."""
        if not self._is_broken:
            try:
                self.stream.write(text)
            except BrokenPipeError:
                self._discard_from_now_on()
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless the pipe is broken."""
        if not self._is_broken:
            try:
                self.stream.flush()
            except BrokenPipeError:
                self._discard_from_now_on()

    def isatty(self) -> bool:
        """Whether the wrapped stream is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """File descriptor of the wrapped stream."""
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the wrapped stream."""
        return self.stream.encoding

    def _discard_from_now_on(self) -> None:
        # the interpreter flushes sys.stdout again at exit and would print a traceback: its descriptor goes to /dev/null
        self._is_broken = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
