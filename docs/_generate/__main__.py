"""`python -m docs._generate`: write the pages of docs/ that are made from the code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from docs._generate import adr_index, cli_page, schema_pages
from docs._generate.llms import llms_text
from docs._generate.notebook import notebook_text
from harness.scenario.json_schema import FILES, schema_text

DOCS = Path(__file__).parents[1]


PAGES: dict[str, Callable[[], str]] = {
    "reference/scenario-keys.md": schema_pages.scenario_keys,
    "reference/arrivals.md": schema_pages.arrivals,
    "reference/strategies.md": schema_pages.strategies,
    "reference/server-keys.md": schema_pages.server_keys,
    "reference/faults.md": schema_pages.faults,
    "reference/target-keys.md": schema_pages.target_keys,
    "reference/experiment-keys.md": schema_pages.experiment_keys,
    "reference/capacity-file.md": schema_pages.capacity_file,
    **{f"reference/{kind}.schema.json": partial(schema_text, kind) for kind in FILES},
    "reference/commands.md": cli_page.commands,
    "decisions/README.md": partial(adr_index.decisions, DOCS / "decisions"),
    "llms.txt": partial(llms_text, DOCS.parent),
}
"""Name below docs/ -> what makes the text of the page."""


def main() -> None:
    """Write what differs, and say so."""
    for name, make in {**PAGES, "tutorial/notebook.ipynb": notebook_text}.items():
        path, text = DOCS / name, make()
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
            sys.stderr.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
