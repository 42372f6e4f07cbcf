"""What is on the disk: an ordinary folder, changed only by what was synced.

Content that was synced while its name was not lies in a hidden folder, and is given up in a power cut.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from powercut.nodes import PAGE_BYTES, DirectoryNode, FileNode, Node, SymlinkNode

LIMBO = ".powercut"
"""Folder of what has no name on the disk; not shown."""


class Backing:
    """The folder, by a descriptor: it is reached even while the file system is mounted over it."""

    def __init__(self, folder: Path) -> None:
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._numbers = count(1)
        self._linked: dict[tuple[int, int], Node] = {}
        self._remove_limbo()
        os.mkdir(LIMBO, 0o700, dir_fd=self._root)
        self.root = DirectoryNode(0, (0, 0))
        self._describe(self.root, os.fstat(self._root))
        self.root.is_loaded = False

    def close(self) -> None:
        """Removes what has no name, and lets the folder go."""
        self._remove_limbo()
        os.close(self._root)

    def statvfs(self) -> os.statvfs_result:
        """Sizes of the disk."""
        return os.fstatvfs(self._root)

    def load(self, directory: DirectoryNode) -> None:
        """Reads the entries of a directory."""
        descriptor = os.open(self._path(directory) or ".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._root)
        try:
            with os.scandir(descriptor) as found:
                for entry in found:
                    if directory is self.root and entry.name == LIMBO:
                        continue
                    node = self._node_of(descriptor, entry.name)
                    node.link_count += 1
                    node.places.append((directory, entry.name))
                    directory.entries[entry.name] = directory.on_disk[entry.name] = node
        finally:
            os.close(descriptor)
        directory.is_loaded = True

    def _node_of(self, descriptor: int, name: str) -> Node:
        known = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        key = (known.st_dev, known.st_ino)
        if known.st_nlink > 1 and key in self._linked:
            return self._linked[key]
        owner = (known.st_uid, known.st_gid)
        node: Node
        if stat.S_ISDIR(known.st_mode):
            node = DirectoryNode(known.st_mode, owner)
            node.is_loaded = False
        elif stat.S_ISLNK(known.st_mode):
            node = SymlinkNode(os.readlink(name, dir_fd=descriptor), owner)
        else:
            node = FileNode(known.st_mode, owner, known.st_size)
        self._describe(node, known)
        if known.st_nlink > 1:
            self._linked[key] = node
        return node

    def _describe(self, node: Node, known: os.stat_result) -> None:
        node.mode, node.owner = known.st_mode, (known.st_uid, known.st_gid)
        node.accessed_ns, node.modified_ns, node.changed_ns = known.st_atime_ns, known.st_mtime_ns, known.st_ctime_ns

    def read(self, file: FileNode) -> bytearray:
        """The content of a file on the disk; empty if none of it was ever synced."""
        path = self._path(file)
        if path is None:
            return bytearray()
        with os.fdopen(os.open(path, os.O_RDONLY, dir_fd=self._root), "rb") as source:
            return bytearray(source.read())

    def write(self, file: FileNode, pages: Iterable[int], size_bytes: int) -> None:
        """Puts these pages of a file on the disk, and makes it this long there."""
        content = file.content or bytearray()
        descriptor = os.open(self._materialise(file), os.O_WRONLY, dir_fd=self._root)
        try:
            os.ftruncate(descriptor, size_bytes)
            for page in sorted(pages):
                piece = content[page * PAGE_BYTES : (page + 1) * PAGE_BYTES][: max(0, size_bytes - page * PAGE_BYTES)]
                os.pwrite(descriptor, piece, page * PAGE_BYTES)
            os.fchown(descriptor, *file.owner)
            os.fchmod(descriptor, stat.S_IMODE(file.mode))
        finally:
            os.close(descriptor)
        file.disk_bytes = size_bytes

    def rename(self, directory: DirectoryNode, name: str, node: Node | None) -> None:
        """Makes a name on the disk stand for this node, or for nothing."""
        old = directory.on_disk.get(name)
        if old is node:
            return
        if old is not None:
            self._forget_name(old, directory, name)
        if node is None:
            return
        self._materialise(directory)
        target = self._inside(directory, name)
        source = self._materialise(node)
        if node.limbo is None:
            os.link(source, target, src_dir_fd=self._root, dst_dir_fd=self._root, follow_symlinks=False)
        else:
            os.rename(source, target, src_dir_fd=self._root, dst_dir_fd=self._root)
            node.limbo = None
        node.places.append((directory, name))
        directory.on_disk[name] = node

    def _forget_name(self, node: Node, directory: DirectoryNode, name: str) -> None:
        path = self._inside(directory, name)
        node.places.remove((directory, name))
        del directory.on_disk[name]
        is_gone = node.link_count == 0 and not isinstance(node, DirectoryNode)
        if node.places or is_gone:
            os.unlink(path, dir_fd=self._root)
        else:  # it gets another name, or has one that is not synced yet
            node.limbo = self._new_limbo()
            os.rename(path, node.limbo, src_dir_fd=self._root, dst_dir_fd=self._root)
        if is_gone and isinstance(node, FileNode):
            node.disk_bytes = 0
            node.mark(0, node.size_bytes)

    def _materialise(self, node: Node) -> str:
        """Where the node is on the disk: in limbo, if it was not there yet."""
        path = self._path(node)
        if path is not None:
            return path or "."
        node.limbo = path = self._new_limbo()
        if isinstance(node, DirectoryNode):
            os.mkdir(path, 0o700, dir_fd=self._root)
        elif isinstance(node, SymlinkNode):
            os.symlink(node.target, path, dir_fd=self._root)
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._root))
        os.chown(path, *node.owner, dir_fd=self._root, follow_symlinks=False)
        if not isinstance(node, SymlinkNode):
            os.chmod(path, stat.S_IMODE(node.mode), dir_fd=self._root)
        return path

    def _path(self, node: Node) -> str | None:
        """Relative to the folder; "" for the folder itself, None for what is not on the disk."""
        if node is self.root:
            return ""
        if node.places:
            return self._inside(*node.places[0])
        return node.limbo

    def _inside(self, directory: DirectoryNode, name: str) -> str:
        path = self._path(directory)
        return f"{path}/{name}" if path else name

    def _new_limbo(self) -> str:
        return f"{LIMBO}/{next(self._numbers)}"

    def _remove_limbo(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(LIMBO, dir_fd=self._root)
