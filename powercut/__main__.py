"""`python -m powercut DIR`: mounts the file system over DIR, until stdin ends.

One JSON object per line. In: `{"event":"cut","seed":1,"torn":true}`. Out: `{"event":"ready"}`, and after a cut
`{"event":"cut","lost_pages":…}`. At the end of stdin everything is put on the disk, as at an orderly shutdown.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import mfusepy

from powercut.disk import Disk
from powercut.file_system import FileSystem


def _send(event: str, **content: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **content}) + "\n")
    sys.stdout.flush()


def _obey(files: FileSystem, folder: Path) -> None:
    for line in sys.stdin:
        command = json.loads(line)
        if command.get("event") == "cut":
            report = files.cut(int(command["seed"]), torn=bool(command["torn"]))
            _send("cut", **dataclasses.asdict(report))
    files.close()
    subprocess.run(["fusermount3", "-u", "-z", "-q", str(folder)], check=False)
    os._exit(0)  # from a thread; the main one may still wait for a request that does not come


def main() -> None:
    """Mounts, and serves until the end of stdin."""
    folder = Path(sys.argv[1]).resolve()
    files = FileSystem(Disk(folder), lambda: _send("ready"))
    threading.Thread(target=_obey, args=(files, folder), name="commands", daemon=True).start()
    options = {"allow_other": True, "default_permissions": True} if os.geteuid() == 0 else {}
    mfusepy.FUSE(files, str(folder), foreground=True, nothreads=True, fsname="powercut", **options)


if __name__ == "__main__":
    main()
