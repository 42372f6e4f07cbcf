"""The admin token's file: only its owner reads it, it is gone at the end, and what a killed server left is cleared away.

A server holds a lock on its file as long as it lives, so a file without one belongs to nobody any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "mock-server-token-"
_UNFINISHED_PREFIX = "mock-server-making-"


@contextmanager
def token_file(folder: Path | None = None) -> Iterator[tuple[str, Path]]:
    """A new token and the file that holds it (mode 0600, in the system's folder for temporary files)."""
    folder = folder or Path(tempfile.gettempdir())
    remove_stale_files(folder)
    token = secrets.token_urlsafe(24)
    descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED_PREFIX, dir=folder)  # mkstemp gives it mode 0600
    path = folder / (PREFIX + name.rpartition(_UNFINISHED_PREFIX)[2])
    with os.fdopen(descriptor, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(token)
        file.flush()
        Path(name).rename(path)  # only now: before it had its lock, another server would have cleared it away
        try:
            yield token, path
        finally:
            path.unlink(missing_ok=True)


def remove_stale_files(folder: Path) -> None:
    """Removes the files that servers of ours have left which were killed."""
    for path in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # of somebody else, locked, or gone meanwhile
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_uid == os.getuid():
                    path.unlink()
            finally:
                os.close(descriptor)
