"""A disk with a cache: what the server wrote is there for everybody, and on the disk only once it was synced.

The rules are those that POSIX guarantees and no more. fsync of a file keeps its content, not its name; fsync of a directory
keeps the names in it, and a rename between two directories happens in both or in neither. What was never synced is lost in a
power cut, or torn: some of its pages are there, and of the names a first part, in the order in which they were changed (as a
journal of the file system would have it).
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

from powercut.backing import Backing
from powercut.nodes import PAGE_BYTES, Change, DirectoryNode, FileNode, Node, Operation
from powercut.report import CutReport

_TORN_SHARE = 0.5
"""How likely a page that was not synced is on the disk after a torn cut."""


class Disk:
    """The files below a folder. Paths begin with "/"; errors are OSErrors, as the kernel would raise them."""

    def __init__(self, folder: Path) -> None:
        self._backing = Backing(folder)
        self._pending: list[Operation] = []
        """Changes of names that are not on the disk, in their order."""
        self._dirty: dict[FileNode, None] = {}
        """Files with content that is not on the disk; a dict keeps their order, so that a seed tears the same pages."""

    def statvfs(self) -> os.statvfs_result:
        """Sizes of the disk."""
        return self._backing.statvfs()

    # --- names

    def find(self, path: str) -> Node:
        """The node at a path."""
        node: Node = self._backing.root
        for name in filter(None, path.split("/")):
            found = self.entries(node).get(name)
            if found is None:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            node = found
        return node

    def entries(self, node: Node) -> dict[str, Node]:
        """The entries of a directory."""
        if not isinstance(node, DirectoryNode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not node.is_loaded:
            self._backing.load(node)
        return node.entries

    def add(self, path: str, node: Node) -> None:
        """Gives a node a name: creates a file, directory or symbolic link, or another hard link."""
        directory, name = self._parent(path)
        if name in directory.entries:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self._change((directory, name, node))

    def remove(self, path: str) -> None:
        """Takes a name away: unlink(2) and rmdir(2)."""
        directory, name = self._parent(path)
        node = self.find(path)
        if isinstance(node, DirectoryNode) and self.entries(node):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        self._change((directory, name, None))

    def rename(self, old: str, new: str) -> None:
        """Renames, and replaces what is there."""
        node = self.find(old)
        from_directory, from_name = self._parent(old)
        to_directory, to_name = self._parent(new)
        replaced = to_directory.entries.get(to_name)
        if replaced is node:
            return
        if isinstance(replaced, DirectoryNode) and self.entries(replaced):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), new)
        self._change((from_directory, from_name, None), (to_directory, to_name, node))

    def _parent(self, path: str) -> tuple[DirectoryNode, str]:
        parent, _, name = path.rpartition("/")
        directory = self.find(parent)
        self.entries(directory)
        assert isinstance(directory, DirectoryNode)  # noqa: S101 - `entries` has refused everything else
        return directory, name

    def _change(self, *changes: Change) -> None:
        for directory, name, node in changes:
            old = directory.entries.pop(name, None)
            if old is not None:
                old.link_count -= 1
            if node is not None:
                directory.entries[name] = node
                node.link_count += 1
            directory.touch()
        self._pending.append(changes)

    # --- content

    def content(self, file: FileNode) -> bytearray:
        """The bytes of a file."""
        if file.content is None:
            file.content = self._backing.read(file)
        return file.content

    def write(self, file: FileNode, offset: int, data: bytes) -> None:
        """Writes bytes; what lies between the end and `offset` reads as zeros."""
        content = self.content(file)
        if offset > len(content):
            file.mark(len(content), offset)
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data
        file.mark(offset, offset + len(data))
        file.touch()
        self._dirty[file] = None

    def truncate(self, file: FileNode, size_bytes: int) -> None:
        """Cuts or extends a file."""
        content = self.content(file)
        before = len(content)
        del content[size_bytes:]
        content.extend(bytes(size_bytes - len(content)))
        file.mark(min(before, size_bytes), size_bytes)
        file.dirty = {page for page in file.dirty if page * PAGE_BYTES < size_bytes}
        file.touch()
        self._dirty[file] = None

    # --- what is on the disk

    def sync_file(self, file: FileNode) -> None:
        """Puts a file's content on the disk: its content is on the disk, its name may not be."""
        if file.is_dirty or not (file.places or file.limbo):
            self.content(file)
            self._backing.write(file, file.dirty, file.size_bytes)
        file.dirty.clear()
        self._dirty.pop(file, None)

    def sync_directory(self, directory: DirectoryNode) -> None:
        """Puts the names of a directory on the disk, and what they depend on."""
        needed: set[tuple[DirectoryNode, str]] = set()
        chosen: list[Operation] = []
        for operation in reversed(self._pending):
            names = {(where, name) for where, name, _ in operation}
            if names & needed or any(where is directory for where, _ in names):
                needed |= names  # an earlier operation on the same name, elsewhere too, comes first
                chosen.append(operation)
        self._put_on_disk(reversed(chosen))
        kept = set(map(id, chosen))
        self._pending = [operation for operation in self._pending if id(operation) not in kept]

    def sync_all(self) -> None:
        """Puts everything on the disk."""
        self._put_on_disk(self._pending)
        self._pending.clear()
        for file in list(self._dirty):
            if file.link_count:
                self.sync_file(file)
        self._dirty.clear()

    def cut(self, seed: int, *, torn: bool) -> CutReport:
        """The power fails: what is not on the disk is gone, or in a torn cut some of it. Nothing may be done afterwards."""
        draws = random.Random(seed)
        kept_pages, kept_names = 0, 0
        if torn:
            kept_names = draws.randint(0, len(self._pending))
            self._put_on_disk(self._pending[:kept_names])
            kept_pages = sum(self._tear(file, draws) for file in self._dirty)
        lost_pages = sum(len(file.dirty) for file in self._dirty) - kept_pages
        lost_names = len(self._pending) - kept_names
        self._backing.close()
        return CutReport(lost_pages, lost_names, kept_pages, kept_names)

    def close(self) -> None:
        """An orderly end: everything is on the disk."""
        self.sync_all()
        self._backing.close()

    def _put_on_disk(self, operations: Iterator[Operation] | list[Operation]) -> None:
        for operation in operations:
            for directory, name, node in operation:
                self._backing.rename(directory, name, node)

    def _tear(self, file: FileNode, draws: random.Random) -> int:
        """Puts some of a file's pages on the disk; how many."""
        if not file.places:
            return 0  # without a name nobody finds it again
        pages = [page for page in sorted(file.dirty) if draws.random() < _TORN_SHARE]
        reached = max(((page + 1) * PAGE_BYTES for page in pages), default=0)
        # the size is metadata: it may be on the disk before the content, which then reads as zeros
        is_sized = draws.random() < _TORN_SHARE
        size_bytes = file.size_bytes if is_sized else max(file.disk_bytes, min(reached, file.size_bytes))
        self._backing.write(file, [page for page in pages if page * PAGE_BYTES < size_bytes], size_bytes)
        return len(pages)
