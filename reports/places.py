"""Where something lies, as the terminal says it: one way, whatever the command was told."""

from __future__ import annotations

import os
from pathlib import Path


def display_path(path: Path) -> str:
    """The path relative to the current folder where it lies below it, else absolute.

    >>> place(Path.cwd() / "runs" / "a"), place(Path("runs/../runs/a")), place(Path("/nowhere/a"))
    ('runs/a', 'runs/a', '/nowhere/a')
    """
    absolute, here = Path(os.path.abspath(path)), Path.cwd()  # noqa: PTH100 - a link on the way stays as it is called
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
