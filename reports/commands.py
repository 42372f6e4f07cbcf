"""The commands that a page gives: the one that repeats a run, and the one that tries a remedy."""

from __future__ import annotations

from collections.abc import Sequence

from harness.judge.remedy import Remedy
from harness.run_folder.layout import RunRecord


def rerun_command(record: RunRecord) -> list[str]:
    """The command that repeats this run: without --out, because that folder exists now, and with the seed that was drawn.

    >>> from types import SimpleNamespace as Run
    >>> rerun_command(Run(command=["harness", "run", "kaliwates", "--out", "runs/one", "--workers=2"], seed=7))
    ['harness', 'run', 'kaliwates', '--workers=2', '--seed', '7']
    """
    kept, arguments = [], iter(record.command)
    for argument in arguments:
        if argument in {"--out", "--seed"}:
            next(arguments, None)
        elif not argument.startswith(("--out=", "--seed=")):
            kept.append(argument)
    # a run started through the API or `harness experiment` has another command: show that one as it is
    return [*kept, "--seed", str(record.seed)] if _is_repeatable(kept) else list(record.command)


def remedy_command(record: RunRecord, remedy: Remedy) -> list[str]:
    """The command that tries a remedy: this run's own, with the overrides behind it in the place of others of the same keys.

    Empty for a run of an experiment or of the Python API: no command repeats it.
    """
    repeated = rerun_command(record)
    if not _is_repeatable(repeated):
        return []
    keys = {setting.partition("=")[0] for setting in remedy.settings}
    kept, arguments = [], iter(repeated)
    for argument in arguments:
        option = [argument, next(arguments, "")] if argument == "--set" else [argument]
        if option[-1].removeprefix("--set=").partition("=")[0].strip() not in keys:
            kept += option
    return [*kept, *(argument for setting in remedy.settings for argument in ("--set", setting))]


def _is_repeatable(command: Sequence[str]) -> bool:
    """Whether a command starts this one run, and no others."""
    return list(command[:2]) in (["harness", "run"], ["harness", "simulate"])
