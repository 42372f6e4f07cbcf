"""Temporary folders that do not pile up: the next process removes those of one that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "upload-harness-"
_UNFINISHED_PREFIX = "unfinished-upload-harness-"


@contextlib.contextmanager
def temporary_folder(purpose: str, parent: Path | None = None) -> Iterator[Path]:
    """A new folder `upload-harness-PURPOSE-…` that only this user can read (mode 0700); removed at the end.

    It lies in `parent`, by default in the system's folder for temporary files. This process holds a lock on it, so a folder
    without one is a killed process's: it is removed by the next process that asks for a temporary folder in the same place.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    remove_stale_folders(place)
    made = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED_PREFIX}{purpose}-", dir=place))
    path = place / (_PREFIX + made.name.removeprefix(_UNFINISHED_PREFIX))
    lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made.rename(path)  # only now: without its lock another process would remove it as stale
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def remove_stale_folders(place: Path) -> None:
    """Remove this user's temporary folders in `place` that killed processes have left."""
    for path in place.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, locked, or removed meanwhile
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.getuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
            finally:
                os.close(descriptor)
