"""Streams that pass for a terminal, and what a test reads back from one."""

import io
import re

from rich.console import Console


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def screen(width: int = 80) -> tuple[Screen, Console]:
    stream = Screen()
    return stream, Console(file=stream, width=width, highlight=False, markup=False, force_terminal=True)


def lines(stream: io.StringIO) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue()).splitlines()
