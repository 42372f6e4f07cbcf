"""The folder of a server that was started without --data: one per server, kept until the next server starts."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from itertools import count
from pathlib import Path


def claim_temporary_folder(place: Path | None = None) -> tuple[Path, int]:
    """An empty folder of this user (mode 0700) and the descriptor of its lock, which lasts as long as the process.

    `mock-server-UID-1` in the system's folder for temporary files; the next number while another server of this user holds
    it. What an earlier server left there can be looked at until then, and is removed now: however many servers are killed,
    there are no more folders than ever ran at once.
    """
    place = Path(tempfile.gettempdir()) if place is None else place
    for number in count(1):
        path = place / f"mock-server-{os.getuid()}-{number}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # a symbolic link, or another user's: somebody else's name for something else
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        except BlockingIOError:
            pass
        os.close(lock)
    for inside in path.iterdir():
        shutil.rmtree(inside) if inside.is_dir() and not inside.is_symlink() else inside.unlink()
    path.chmod(0o700)
    return path, lock
