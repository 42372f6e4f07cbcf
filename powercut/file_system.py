"""The disk as FUSE sees it: one method per system call, each under one lock."""

from __future__ import annotations

import errno
import functools
import os
import stat
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import mfusepy

from powercut.disk import Disk
from powercut.nodes import DirectoryNode, FileNode, Node, SymlinkNode
from powercut.report import CutReport

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _locked(method: _Method) -> _Method:
    """The method under the lock; EIO once the power is off."""

    @functools.wraps(method)
    def locked(self: FileSystem, *arguments: Any) -> Any:
        with self.mutex:
            if self.is_off:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return method(self, *arguments)

    return locked  # type: ignore[return-value]


class FileSystem(mfusepy.Operations):  # type: ignore[misc]
    """A `Disk` below a mount point. After `cut` or `close` every call fails with EIO."""

    use_ns = True

    def __init__(self, disk: Disk, on_mounted: Callable[[], None]) -> None:
        self._disk = disk
        self._on_mounted = on_mounted
        self.mutex = threading.Lock()
        self.is_off = False
        self._open: dict[int, FileNode] = {}
        self._next_handle = 1

    # --- from outside

    def cut(self, seed: int, *, torn: bool) -> CutReport:
        """The power fails; see `Disk.cut`."""
        with self.mutex:
            self.is_off = True
            return self._disk.cut(seed, torn=torn)

    def close(self) -> None:
        """Puts everything on the disk; nothing may be done afterwards."""
        with self.mutex:
            if not self.is_off:
                self.is_off = True
                self._disk.close()

    # --- system calls

    def init(self, path: str) -> None:  # noqa: ARG002
        """The file system is mounted."""
        self._on_mounted()

    @_locked
    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """What there is to know of a file."""
        node = self._node(path, fh)
        links = 2 if isinstance(node, DirectoryNode) else node.link_count
        return {
            "st_mode": node.mode, "st_uid": node.owner[0], "st_gid": node.owner[1], "st_nlink": links, "st_size": node.size_bytes,
            "st_blocks": (node.size_bytes + 511) // 512,
            "st_atime": node.accessed_ns, "st_mtime": node.modified_ns, "st_ctime": node.changed_ns,
        }  # fmt: skip

    @_locked
    def readdir(self, path: str, fh: int) -> list[str]:  # noqa: ARG002
        """The names in a directory."""
        return [".", "..", *self._disk.entries(self._disk.find(path))]

    @_locked
    def readlink(self, path: str) -> str:
        """Where a symbolic link points to."""
        node = self._disk.find(path)
        if not isinstance(node, SymlinkNode):
            raise OSError(errno.EINVAL, "not a symbolic link")
        return node.target

    @_locked
    def statfs(self, path: str) -> dict[str, int]:  # noqa: ARG002
        """Sizes of the disk."""
        known = self._disk.statvfs()
        names = (
            "f_bavail",
            "f_bfree",
            "f_blocks",
            "f_bsize",
            "f_favail",
            "f_ffree",
            "f_files",
            "f_frsize",
            "f_namemax",
        )
        return {name: getattr(known, name) for name in names}

    @_locked
    def mkdir(self, path: str, mode: int) -> int:
        """Makes a directory."""
        self._disk.add(path, DirectoryNode(mode, _caller()))
        return 0

    @_locked
    def symlink(self, target: str, source: str) -> int:
        """Makes a symbolic link; `target` is the new name."""
        self._disk.add(target, SymlinkNode(source, _caller()))
        return 0

    @_locked
    def link(self, target: str, source: str) -> int:
        """Makes a hard link; `target` is the new name."""
        self._disk.add(target, self._disk.find(source))
        return 0

    @_locked
    def unlink(self, path: str) -> int:
        """Removes a file or an empty directory."""
        self._disk.remove(path)
        return 0

    rmdir = unlink

    @_locked
    def rename(self, old: str, new: str) -> int:
        """Renames, replacing what is there."""
        self._disk.rename(old, new)
        return 0

    @_locked
    def chmod(self, path: str, mode: int) -> int:
        """Sets the mode: on the disk with the next fsync."""
        node = self._disk.find(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        return 0

    @_locked
    def chown(self, path: str, uid: int, gid: int) -> int:
        """Sets the owner: on the disk with the next fsync. -1 leaves as it is."""
        node = self._disk.find(path)
        new = [given if 0 <= given < 2**32 - 1 else kept for given, kept in zip((uid, gid), node.owner, strict=True)]
        node.owner = (new[0], new[1])
        return 0

    @_locked
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """Sets the times: never on the disk."""
        node = self._disk.find(path)
        if times is not None:
            node.accessed_ns, node.modified_ns = times
        return 0

    @_locked
    def mknod(self, path: str, mode: int, dev: int) -> int:  # noqa: ARG002
        """Makes a file; no devices, sockets or pipes."""
        if not stat.S_ISREG(mode):
            raise OSError(errno.EPERM, "only files, directories and symbolic links")
        self._disk.add(path, FileNode(mode, _caller()))
        return 0

    @_locked
    def create(self, path: str, mode: int, fi: Any = None) -> int:  # noqa: ARG002
        """Makes a file and opens it; the handle."""
        file = FileNode(mode, _caller())
        self._disk.add(path, file)
        return self._handle(file)

    @_locked
    def open(self, path: str, flags: int) -> int:
        """Opens a file; the handle."""
        file = self._disk.find(path)
        if not isinstance(file, FileNode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if flags & os.O_TRUNC:
            self._disk.truncate(file, 0)
        return self._handle(file)

    @_locked
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Reads."""
        return bytes(self._disk.content(self._file(path, fh))[offset : offset + size])

    @_locked
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Writes. With O_SYNC the kernel calls fsync afterwards."""
        self._disk.write(self._file(path, fh), offset, data)
        return len(data)

    @_locked
    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """Cuts or extends a file."""
        self._disk.truncate(self._file(path, fh), length)
        return 0

    @_locked
    def flush(self, path: str, fh: int) -> int:  # noqa: ARG002
        """One descriptor is closed: nothing is synced by it."""
        return 0

    @_locked
    def release(self, path: str, fh: int) -> int:  # noqa: ARG002
        """The last descriptor is closed."""
        self._open.pop(fh, None)
        return 0

    @_locked
    def fsync(self, path: str, datasync: int, fh: int) -> int:  # noqa: ARG002
        """Puts a file's content on the disk."""
        self._disk.sync_file(self._file(path, fh))
        return 0

    @_locked
    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:  # noqa: ARG002
        """Puts the names of a directory on the disk."""
        directory = self._disk.find(path)
        if isinstance(directory, DirectoryNode):
            self._disk.sync_directory(directory)
        return 0

    def _handle(self, file: FileNode) -> int:
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        self._open[handle] = file
        return handle

    def _node(self, path: str, fh: int | None) -> Node:
        return self._open[fh] if fh in self._open else self._disk.find(path)

    def _file(self, path: str, fh: int | None) -> FileNode:
        node = self._node(path, fh)
        if not isinstance(node, FileNode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return node


def _caller() -> tuple[int, int]:
    uid, gid, _ = mfusepy.fuse_get_context()
    return uid, gid
