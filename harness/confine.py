"""What a file from a stranger may do: name nothing outside its own folder, and not fill our memory.

What the user says on the command line is the user's own word and goes anywhere.
"""

from __future__ import annotations

import errno
from pathlib import Path

LARGEST_BYTES = 256_000_000
"""A region of two million stations, each on a line of its own, is a quarter of that."""
LARGEST_TEXT_BYTES = 16_000_000
"""Of a file that people write."""


def content_of(path: Path, most_bytes: int = LARGEST_BYTES) -> bytes:
    """What a file holds; never more than `most_bytes`, however large it says it is.

    Raises OSError, for one that is larger too.
    """
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        message = f"is larger than {most_bytes / 1e6:,.0f} MB"
        raise OSError(errno.EINVAL, message, str(path))
    return content


def inside(folder: Path, name: str) -> Path:
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


def links_in(folder: Path) -> list[Path]:
    """Every link in a folder and below: something is read or written elsewhere through them."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink())
