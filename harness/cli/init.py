"""`harness init`: a new scenario file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.percentile import min_sample_size
from harness.base.errors import UsageError
from harness.scenario.access_log import read_access_log, with_logged_arrivals
from harness.scenario.json_schema import COMMENT, SCHEMA_FILE, schema_text
from harness.scenario.loader import scenario_template

_PERCENTILE = re.compile(r'^\[\[thresholds\]\][^\n]*\nassert = "p(\d+)\([^\n]*\n?', re.MULTILINE)


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
        template = _without_undersized(with_logged_arrivals(template, logged, str(from_log)), logged.pages)
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


def _without_undersized(template: str, pages: int) -> str:
    """The template with each threshold on a percentile commented out that `pages` are too few for: it could only fail."""

    def checked(block: re.Match[str]) -> str:
        needed = min_sample_size(int(block[1]) / 100)
        if pages >= needed:
            return block[0]
        lines = "".join(f"# {line}\n" for line in block[0].splitlines())
        return f"# p{block[1]} needs {needed} pages, and this log makes {pages}:\n{lines}"

    return _PERCENTILE.sub(checked, template)


def _write_schema(path: Path) -> None:
    """Write the schema of this version, unless there is a file of that name that the harness did not write."""
    if not path.exists() or COMMENT in path.read_text("utf-8", errors="replace")[:200]:
        path.write_text(schema_text("scenario"), "utf-8")
