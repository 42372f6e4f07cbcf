"""A mock server for load that Locust's own UI or command line starts: a child of this process, one a test.

`harness run` starts its own (harness/runner/launch.py), with PINs, a run folder and a life after the last upload; here it lives
as long as the test.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gevent

from harness.base.errors import ProcessFailedError
from harness.run_folder.layout import write_json
from harness.scenario.scenario import Scenario

_READY_TIMEOUT_S = 30.0
_EXIT_TIMEOUT_S = 5.0


class MockProcess:
    """A running mock server with a scenario's profile and faults; their schedule begins at once."""

    def __init__(self, scenario: Scenario) -> None:
        """Start it, on a port of the kernel's choice. Raises ChildError if it doesn't come up."""
        self._folder = Path(tempfile.mkdtemp(prefix="mock-server-"))
        self._log = self._folder / "server.log"
        profile = self._folder / "profile.json"
        write_json(profile, scenario.mock_profile())
        argv = [
            "--supervised",
            "--profile",
            str(profile),
            "--data",
            str(self._folder),
            "--port",
            "0",
            "--admin-port",
            "0",
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mock_server", *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "MOCK_SERVER_ADMIN_TOKEN": secrets.token_urlsafe(24)},
                process_group=0,
            )
        try:
            self.url = f"http://127.0.0.1:{self._ready_port()}"
            self._tell({"event": "t0", "monotonic": time.monotonic()})
        except (
            BaseException
        ):  # also when the greenlet is killed: whoever starts tests may stop before this one has begun
            self.end()
            raise

    def end(self) -> None:
        """End it and remove what it stored."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ready_port(self) -> int:
        output = self._process.stdout
        with gevent.Timeout(_READY_TIMEOUT_S, False):
            for line in output or ():
                said = json.loads(line)
                if said.get("event") == "ready":
                    return int(said["port"])
        message = f"the mock server did not come up:\n{self._log.read_text('utf-8', 'replace')[-2000:]}"
        raise ProcessFailedError(message)

    def _tell(self, content: dict[str, object]) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(content).encode() + b"\n")
            self._process.stdin.flush()
