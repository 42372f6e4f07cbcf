"""Paths that stand in a file keep to the file's folder: a scenario from a stranger can't read anything else.

What the user says on the command line is the user's own word and goes anywhere.
"""

from __future__ import annotations

from pathlib import Path


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
