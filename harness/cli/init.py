"""`harness init`: a new scenario file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UsageError
from harness.scenario.loader import scenario_template


def init(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new scenario.")]) -> None:
    """Write NAME.toml, a commented scenario to start from."""
    path = Path(f"{name}.toml")
    text = scenario_template(name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        message = f"{path} already exists: remove it or choose another name"
        raise UsageError(message) from None
    print(f"Wrote {path}. Next: harness validate {path}; harness run {path}")
