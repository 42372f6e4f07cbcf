"""Files, directories and symbolic links as a running kernel sees them, each with what of it is on the disk."""

from __future__ import annotations

import stat
import time
from typing import TypeAlias

PAGE_BYTES = 4096
"""What a disk writes as a whole or not at all."""


class Node:
    """One inode. What is below "on the disk" survives a power cut; everything else does not."""

    def __init__(self, mode: int, owner: tuple[int, int]) -> None:
        self.mode = mode
        self.owner = owner
        self.link_count = 0
        """Names that it has now."""
        self.accessed_ns = self.modified_ns = self.changed_ns = time.time_ns()
        self.places: list[tuple[DirectoryNode, str]] = []
        """Its names on the disk."""
        self.limbo: str | None = None
        """Where its content is on the disk while it has no name there."""

    @property
    def size_bytes(self) -> int:
        """What stat(2) says."""
        return 0

    def touch(self) -> None:
        """Notes a change of the content."""
        self.modified_ns = self.changed_ns = time.time_ns()


class FileNode(Node):
    """A regular file. `content` is None until it is needed: it is as on the disk."""

    def __init__(self, mode: int, owner: tuple[int, int], disk_bytes: int = 0) -> None:
        super().__init__(stat.S_IFREG | stat.S_IMODE(mode), owner)
        self.content: bytearray | None = None
        self.dirty: set[int] = set()
        """Numbers of the pages that differ from the disk's."""
        self.disk_bytes = disk_bytes
        """Its size on the disk."""

    @property
    def size_bytes(self) -> int:
        """What stat(2) says."""
        return self.disk_bytes if self.content is None else len(self.content)

    @property
    def is_dirty(self) -> bool:
        """Whether a power cut would lose something of it."""
        return bool(self.dirty) or self.size_bytes != self.disk_bytes

    def mark(self, offset: int, end: int) -> None:
        """The bytes from `offset` to `end` differ from the disk's."""
        if end > offset:
            self.dirty.update(range(offset // PAGE_BYTES, (end - 1) // PAGE_BYTES + 1))


class SymlinkNode(Node):
    """A symbolic link."""

    def __init__(self, target: str, owner: tuple[int, int]) -> None:
        super().__init__(stat.S_IFLNK | 0o777, owner)
        self.target = target

    @property
    def size_bytes(self) -> int:
        """What stat(2) says."""
        return len(self.target)


class DirectoryNode(Node):
    """A directory: its entries now, and those on the disk. `is_loaded` once they have been read from there."""

    def __init__(self, mode: int, owner: tuple[int, int]) -> None:
        super().__init__(stat.S_IFDIR | stat.S_IMODE(mode), owner)
        self.entries: dict[str, Node] = {}
        self.on_disk: dict[str, Node] = {}
        self.is_loaded = True


Change: TypeAlias = tuple[DirectoryNode, str, Node | None]
"""A name in a directory, and what it stands for from now on."""
Operation: TypeAlias = tuple[Change, ...]
"""The changes of names that one system call made: on a disk with a journal they happen together or not at all."""
