"""`python -m docs._generate`: write the pages of docs/ that are made from the code."""

from __future__ import annotations

import sys
from pathlib import Path

from docs._generate import adr_index, cli_page, schema_pages
from docs._generate.notebook import notebook_text
from harness.scenario.json_schema import FILES, schema_text

DOCS = Path(__file__).parents[1]


def pages() -> dict[str, str]:
    """Name below docs/ -> text of every page that is made."""
    return {
        "reference/scenario-keys.md": schema_pages.scenario_keys(),
        "reference/arrivals.md": schema_pages.arrivals(),
        "reference/strategies.md": schema_pages.strategies(),
        "reference/server-keys.md": schema_pages.server_keys(),
        "reference/faults.md": schema_pages.faults(),
        "reference/target-keys.md": schema_pages.target_keys(),
        "reference/experiment-keys.md": schema_pages.experiment_keys(),
        **{f"reference/{kind}.schema.json": schema_text(kind) for kind in FILES},
        "reference/commands.md": cli_page.commands(),
        "decisions/README.md": adr_index.decisions(DOCS / "decisions"),
    }


def main() -> None:
    """Write what differs, and say so."""
    for name, text in {**pages(), "tutorial/notebook.ipynb": notebook_text()}.items():
        path = DOCS / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
            sys.stderr.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
