"""`python -m harness` is the `harness` command. Signals are heard before the heavy imports begin."""

import signal
import sys

from harness.base.signals import HANDLED_SIGNALS, ImmediateExit, exit_at_once


def main() -> None:
    """Entry point of the console script too."""
    for number in HANDLED_SIGNALS:
        signal.signal(number, exit_at_once)
    try:
        from harness.cli.app import main as run_command  # noqa: PLC0415 - takes a second: a signal may come

        run_command()
    except ImmediateExit as stopped:
        sys.exit(128 + stopped.number)


if __name__ == "__main__":
    main()
