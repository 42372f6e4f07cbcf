"""What a check of this machine found: measured, needed, verdict, and what to change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

ReadText = Callable[[str], str]
"""Gives the content of a file of /proc or /sys; "" if there is none."""


class Fitness(StrEnum):
    """How fit a machine is by one check, the best first."""

    OK = "ok"
    WARN = "warn"
    """A run can be valid, but only with less load than it could be."""
    UNFIT = "unfit"
    """Figures measured on this machine can't be trusted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's result."""

    name: str
    measured: str
    needed: str
    verdict: Fitness
    change: str = ""
    """What to do about it, with the exact command; "" if nothing."""
    figures: Mapping[str, float | str | None] = field(default_factory=dict)
    """The measured values for the JSON output; units are in the names."""


def at_least(value: float, enough: float, too_little: float) -> Fitness:
    """The fitness by a value that is better the greater it is.

    >>> [at_least(value, 10, 5).value for value in (10, 9.9, 5, 4.9)]
    ['ok', 'warn', 'warn', 'unfit']
    """
    return Fitness.OK if value >= enough else Fitness.WARN if value >= too_little else Fitness.UNFIT


def at_most(value: float, little: float, too_much: float) -> Fitness:
    """The fitness by a value that is better the smaller it is.

    >>> [at_most(value, 1, 5).value for value in (1, 1.1, 5, 5.1)]
    ['ok', 'warn', 'warn', 'unfit']
    """
    return Fitness.OK if value <= little else Fitness.WARN if value <= too_much else Fitness.UNFIT


def worst(verdicts: Iterable[Fitness]) -> Fitness:
    """The worst of these; ok if there are none.

    >>> worst([Fitness.WARN, Fitness.OK]), worst([])
    (<Fitness.WARN: 'warn'>, <Fitness.OK: 'ok'>)
    """
    return max(verdicts, key=list(Fitness).index, default=Fitness.OK)


def read_system_file(path: str) -> str:
    """The `ReadText` of this machine's own files."""
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
