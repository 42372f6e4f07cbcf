"""What a file from a stranger may do: name nothing outside its own folder, and not fill our memory.

What the user says on the command line is the user's own word and goes anywhere.
"""

from __future__ import annotations

import errno
from pathlib import Path

from pydantic import ValidationError

MAX_FILE_BYTES = 256_000_000
"""A region of two million stations, each on a line of its own, is a quarter of that."""
MAX_TEXT_BYTES = 16_000_000
"""Of a file that people write."""


def read_bounded(path: Path, most_bytes: int = MAX_FILE_BYTES) -> bytes:
    """What a file holds; never more than `most_bytes`, however large it says it is.

    Raises OSError, for one that is larger too.
    """
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        message = f"is larger than {most_bytes / 1e6:,.0f} MB"
        raise OSError(errno.EINVAL, message, str(path))
    return content


def explain_unreadable(error: OSError | ValidationError) -> str:
    """Why a file of JSON is of no use, in a line: what the system says, or the first key that is wrong, and how.

    >>> why_unread(NotADirectoryError(20, "Not a directory", "a/b"))
    'Not a directory'
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    detail = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in detail["loc"])
    told = f"{place}: {detail['msg']}" if place else detail["msg"]
    more = error.error_count() - 1
    return f"{told} (and {more} more)" if more else told


def resolve_inside(folder: Path, name: str) -> Path:
    """The place that `name` is within `folder`, links followed.

    Raises ValueError where it leads out of the folder: from the root, by "..", or through a link.
    """
    if not name or not name.isprintable():
        message = "is no path"
        raise ValueError(message)
    root = folder.resolve()
    place = (root / name).resolve()
    if not place.is_relative_to(root):
        message = "leads out of the file's own folder: only the command line may do that (--set)"
        raise ValueError(message)
    return place


def find_symlinks(folder: Path) -> list[Path]:
    """Every link in a folder and below: something is read or written elsewhere through them."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink())
