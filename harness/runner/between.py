"""The user's own command before each run of several: it brings the server under test back to where it began."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from harness.base.errors import UsageError

_TIMEOUT_S = 600.0
_MAX_LINE, _MAX_BYTES = 300, 1_000_000


@dataclass(frozen=True)
class BetweenCommand:
    """A program and its arguments, not interpreted by a shell."""

    argv: tuple[str, ...]
    timeout_s: float = _TIMEOUT_S

    def run(self, title: str, log: Callable[[str], None]) -> None:
        """Run it to its end, with the name of the run to come in HARNESS_CELL. Raises UsageError if it fails.

        What it prints is not kept but for its last line, which says why it failed: that of its errors, if there are any.
        """
        log(f"--between: {shlex.join(self.argv)}")
        # not pipes: it may start a server that outlives it and holds a pipe open
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            try:
                code = subprocess.run(
                    self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, timeout=self.timeout_s,
                    check=False, env={**os.environ, "HARNESS_CELL": title},
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                message = f"--between {self.argv[0]} took longer than {self.timeout_s:g} s"
                raise UsageError(message) from None
            except (OSError, ValueError) as error:
                message = f"--between {self.argv[0]}: {error}"
                raise UsageError(message) from None
            if code != 0:
                # A program's output comes late where it is no terminal: what came last of both need not be the reason.
                last = _last_line(errors) or _last_line(output)
                message = f"--between {self.argv[0]} exited with code {code}{': ' if last else ''}{last}"
                raise UsageError(message)


def parse_between(text: str | None, *, allow_command: bool) -> BetweenCommand | None:
    """The command of `--between`; None without one. Raises UsageError if it can't be one, or is not allowed."""
    if text is None:
        return None
    try:
        argv = tuple(shlex.split(text))
    except ValueError as error:
        message = f"--between {text!r}: {error}"
        raise UsageError(message) from None
    if not argv:
        message = "--between needs a command, as in --between 'rm -rf /srv/photos'"
        raise UsageError(message)
    if not allow_command:
        message = f"--between would run a command on this machine: {list(argv)}; if you mean it, add --allow-command"
        raise UsageError(message)
    return BetweenCommand(argv)


def _last_line(file: IO[bytes]) -> str:
    file.seek(0)
    lines = file.read(_MAX_BYTES).decode("utf-8", "replace").strip().splitlines()
    text = lines[-1] if lines else ""
    return "".join(character if character.isprintable() else "�" for character in text)[:_MAX_LINE]
