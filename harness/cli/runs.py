"""Where runs lie, and their labels. Imports nothing heavy: `harness list` should answer at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UsageError

RUNS = Path("runs")

Labels = Annotated[
    list[str], typer.Option("--label", metavar="K=V", help="A label of the run, as in version=1.2; can be repeated.")
]


def parse_labels(texts: list[str]) -> dict[str, str]:
    """Labels from "key=value". Raises UsageError for another text, or a key that is given twice.

    >>> parse_labels(["version=1.2", "commit=a=b"])
    {'version': '1.2', 'commit': 'a=b'}
    """
    labels: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if (
            not equals
            or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", key)
            or len(value) > 200
            or not value.isprintable()
        ):
            message = f'--label "{text}" is not a valid label: write KEY=VALUE, as in version=1.2'
            raise UsageError(message)
        if key in labels:
            message = f'--label: duplicate key "{key}"'
            raise UsageError(message)
        labels[key] = value
    return labels
