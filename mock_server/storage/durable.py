"""Names that survive a power cut: syncing a file keeps its content, only syncing its folder keeps its name."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Puts the names in a folder on the disk; blocks, so call it in a thread."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
