"""`python -m harness` is the `harness` command. Signals are heard before the heavy imports begin."""

import os
import signal
import sys

from harness.base.signals import ImmediateExit, exit_at_once, handled_signals


def main() -> None:
    """Entry point of the console script too."""
    _open_missing_streams()
    for number in handled_signals():
        signal.signal(number, exit_at_once)
    try:
        from harness.cli.app import main as run_command  # noqa: PLC0415 - takes a second: a signal may come

        run_command()
    except ImmediateExit as stopped:
        sys.exit(128 + stopped.number)


def _open_missing_streams() -> None:
    """Open /dev/null for each standard stream that the caller has closed (`harness list >&-`).

    Otherwise Python has no sys.stdout, and the next file that is opened gets its descriptor: output would go into a run's files.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", closefd=False))


if __name__ == "__main__":
    main()
