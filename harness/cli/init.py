"""`harness init`: a new scenario file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UsageError
from harness.scenario.access_log import read_access_log, with_logged_arrivals
from harness.scenario.json_schema import COMMENT, SCHEMA_FILE, schema_text
from harness.scenario.loader import scenario_template


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new scenario.")],
    from_log: Annotated[
        Path | None, typer.Option("--from-log", metavar="FILE", help="Arrivals as in this access log of a server.")
    ] = None,
    target: Annotated[
        bool, typer.Option("--target", help="For a server of your own instead of the mock server.")
    ] = False,
) -> None:
    """Write NAME.toml, a commented scenario to start from.

    Beside it goes scenario.schema.json, named in its first line: editors that know JSON Schemas complete and check its keys.
    """
    path = Path(f"{name}.toml")
    template = scenario_template(name, for_target=target)
    logged = None if from_log is None else read_access_log(from_log)
    if logged is not None:
        template = with_logged_arrivals(template, logged, str(from_log))
    text = f"#:schema ./{SCHEMA_FILE}\n{template}"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        message = f"{path} already exists: remove it or choose another name"
        raise UsageError(message) from None
    if logged is not None and logged.unread:
        print(f"{logged.unread:,} lines of {from_log} have no time and were left out")
    _write_schema(Path(SCHEMA_FILE))
    if target:
        print(f"Wrote {path}. Next: describe your server in it; harness try {path} --target http://127.0.0.1:8080")
    else:
        print(f"Wrote {path}. Next: harness validate {path}; harness run {path}")


def _write_schema(path: Path) -> None:
    """Write the schema of this version, unless there is a file of that name that the harness did not write."""
    if not path.exists() or COMMENT in path.read_text("utf-8", errors="replace")[:200]:
        path.write_text(schema_text("scenario"), "utf-8")
