"""Standard output and standard error that may fail. Apart from reports/terminal.py because that takes long to import."""

from __future__ import annotations

import errno
import io
import os
from typing import TextIO


class OutputGuard(io.TextIOBase):
    """A text stream that discards its output once it can't be written any more.

    A terminal is a luxury: `harness run … | head`, a full disk behind `>` or a terminal that was closed would otherwise abort a run
    that is minutes long with BrokenPipeError, ENOSPC or EIO.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream` for as long as it can be written."""
        self.stream = stream
        self.failure: OSError | None = None
        """Why output was lost; None if none was, or if only its reader has gone (`| head`)."""
        self._is_broken = False

    def write(self, text: str) -> int:
        """Write the text, or discard it if the stream has failed."""
        if not self._is_broken:
            try:
                self.stream.write(text)
            except OSError as error:
                self._discard_from_now_on(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless it has failed."""
        if not self._is_broken:
            try:
                self.stream.flush()
            except OSError as error:
                self._discard_from_now_on(error)

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

    def _discard_from_now_on(self, error: OSError) -> None:
        self._is_broken = True
        if error.errno != errno.EPIPE:
            self.failure = error
        # the interpreter flushes its streams again at exit and would print a traceback: their descriptor goes to /dev/null
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)
