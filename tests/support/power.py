"""Tests that cut the power: skipped with the reason where this machine can't, which CI's always can."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from powercut.mount import why_unavailable

LACKING = why_unavailable()
if LACKING and os.environ.get("CI"):
    raise RuntimeError(LACKING)
needs_power_cut = pytest.mark.skipif(bool(LACKING), reason=LACKING)

NEVER_SYNCED = """
import os, sqlite3
class Careless(sqlite3.Connection):
    def execute(self, statement, *rest):
        return super().execute(statement.replace("synchronous = FULL", "synchronous = OFF"), *rest)
connect = sqlite3.connect
sqlite3.connect = lambda *given, **named: connect(*given, factory=Careless, **named)
"""
FOLDER_NOT_SYNCED = """
import ctypes, os, stat, _sqlite3
sync = os.fsync
os.fsync = lambda number: None if stat.S_ISDIR(os.fstat(number).st_mode) else sync(number)
pointer, number = ctypes.c_void_p, ctypes.c_int
class Vfs(ctypes.Structure):  # sqlite3.h, up to the method that replaces system calls
    _fields_ = [
        ("version", number), ("file_size", number), ("longest", number), ("next", pointer), ("name", ctypes.c_char_p),
        ("data", pointer), *((name, pointer) for name in "open delete access path dlopen dlerror dlsym dlclose random".split()),
        *((name, pointer) for name in "sleep time error time64".split()),
        ("replace", ctypes.CFUNCTYPE(number, pointer, ctypes.c_char_p, pointer)),
    ]
library = ctypes.CDLL(_sqlite3.__file__)
library.sqlite3_vfs_find.restype = ctypes.POINTER(Vfs)
found = library.sqlite3_vfs_find(None)
CANTOPEN = 14  # SQLite takes it for a system without folders that could be synced
refuse = ctypes.CFUNCTYPE(number, ctypes.c_char_p, pointer)(lambda path, opened: CANTOPEN)
if found.contents.replace(ctypes.cast(found, pointer), b"openDirectory", ctypes.cast(refuse, pointer)):
    raise RuntimeError("SQLite does not let its openDirectory be replaced")
"""
CARELESS = {"synchronous off": NEVER_SYNCED, "folder not synced": FOLDER_NOT_SYNCED}
"""Each as sitecustomize.py: a mock server that answers before its pages, or the names of its files, are on the disk."""


def careless(folder: Path, kind: str) -> str:
    """A folder to put in PYTHONPATH, which makes every mock server below it careless."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CARELESS[kind])
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
