"""Room that a run sets aside before it starts, so that its end can be told whatever this machine ran out of.

A full disk or a used-up table of descriptors would else take run.json, the figures and the report with it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from harness.base.errors import UsageError, describe_exhaustion
from harness.run_folder.layout import RunEnd

RESERVED_BYTES = 4 * 1024 * 1024
"""Several times what the figures and the report of an ordinary run take (1 MB)."""
RESERVED_DESCRIPTORS = 24
_DISK_FULL_BELOW_BYTES = 64 * 1024


class ReservedResources:
    """Held from its making to `release`: a file of that size, and some descriptors."""

    def __init__(self, path: Path, size_bytes: int = RESERVED_BYTES) -> None:
        """Set aside. Raises UsageError where the disk (or a quota or limit) hasn't that much left."""
        self._path = path
        self._descriptors = [os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)]
        try:
            os.posix_fallocate(self._descriptors[0], 0, size_bytes)
            self._descriptors += [os.dup(self._descriptors[0]) for _ in range(RESERVED_DESCRIPTORS)]
        except OSError as error:
            self.release()
            message = (
                f"{path.parent}: a run needs {size_bytes / 1e6:.1f} MB and {RESERVED_DESCRIPTORS} descriptors "
                f"for its end alone: {error.strerror}"
            )
            raise UsageError(message) from None

    def told(self, text: str, at_s: float, *, killed: bool) -> RunEnd:
        """How a run ended of which a child died: starved while the disk is full, whatever its log could still say."""
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize >= _DISK_FULL_BELOW_BYTES:
            return RunEnd(how="killed" if killed else "crashed", at_s=at_s, message=text)
        lack = describe_exhaustion(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path.parent)))
        return RunEnd(how="starved", at_s=at_s, message=f"{lack}\n{text}")

    def release(self) -> None:
        """Give it all back; a second time does nothing."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
