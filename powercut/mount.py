"""The file system from the side of who uses it: mounts it over a folder, cuts its power, mounts it again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Self

from powercut.report import CutReport


class PowerCutError(Exception):
    """The file system could not be mounted; the text says why and what to do."""


def why_unavailable() -> str:
    """What this machine lacks, with what to do; "" if power can be cut here."""
    if find_spec("mfusepy") is None:
        return "power cuts need mfusepy: pip install 'upload-harness[powercut]'"
    if shutil.which("fusermount3") is None:
        return "power cuts need FUSE 3: apt-get install fuse3"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "power cuts need /dev/fuse: run as root, in a container with --device /dev/fuse --cap-add SYS_ADMIN"
    return ""


class PowerCutMount:
    """A folder on a disk whose power can be cut. Use as a context manager: at the end everything is put on the disk."""

    def __init__(self, folder: Path, log: IO[Any] | None = None) -> None:
        """`log` gets what the file system's process writes to stderr."""
        self.folder = folder.resolve()
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._ending = threading.Lock()

    def __enter__(self) -> Self:
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        self.unmount()

    @property
    def is_mounted(self) -> bool:
        """Whether it is mounted now."""
        return self._process is not None

    def mount(self) -> None:
        """Mounts; what was on the disk is there. Raises PowerCutError."""
        lacking = why_unavailable()
        if lacking:
            raise PowerCutError(lacking)
        # a session of its own: what kills the server's processes must not take the disk with them
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "powercut", str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, text=True, start_new_session=True,
        )  # fmt: skip
        if self._receive("ready") is None:
            code = self._process.wait()
            message = f"{self.folder}: the file system could not be mounted (exit code {code})"
            raise PowerCutError(message)

    def cut(self, seed: int, *, torn: bool) -> CutReport:
        """Cuts the power: what was not synced is lost. All processes that use the folder must have been killed.

        The folder then is as the disk was; `mount` brings the file system back.
        """
        process = self._process
        if process is None or process.stdin is None:
            message = f"{self.folder}: not mounted"
            raise PowerCutError(message)
        process.stdin.write(json.dumps({"event": "cut", "seed": seed, "torn": torn}) + "\n")
        process.stdin.flush()
        report = self._receive("cut")
        self.unmount()
        if report is None:
            message = f"{self.folder}: the file system ended before its power was cut"
            raise PowerCutError(message)
        return CutReport(**report)

    def unmount(self) -> None:
        """Ends the file system; unless its power was cut, everything is put on the disk. Calling it twice is safe."""
        with self._ending:  # a second caller waits: afterwards the folder is an ordinary one
            process, self._process = self._process, None
            if process is None:
                return
            if process.stdin is not None:
                process.stdin.close()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
            if self.folder.is_mount():  # its process was killed
                subprocess.run(["fusermount3", "-u", "-z", "-q", str(self.folder)], check=False)

    def _receive(self, event: str) -> dict[str, Any] | None:
        """The content of the next event of this kind; None if the process ended first."""
        process = self._process
        for line in (process.stdout or ()) if process is not None else ():
            content: dict[str, Any] = json.loads(line)
            if content.pop("event") == event:
                return content
        return None
