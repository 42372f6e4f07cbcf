"""`harness schema`: the JSON Schema of a kind of file."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.scenario.json_schema import FILES, schema_text


def schema(
    kind: Annotated[str, typer.Argument(metavar="[KIND]", help=f"Which file: {', '.join(FILES)}.")] = "scenario",
) -> None:
    """Print the JSON Schema of a file, for editors and validators: scenario, experiment, capacity, profile or thresholds."""
    print(schema_text(kind), end="")
