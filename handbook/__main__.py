"""`python -m handbook`: write the pages of docs/ that are made from the code."""

from __future__ import annotations

import sys
from pathlib import Path

from handbook import commands, decisions, keys

DOCS = Path(__file__).parents[1] / "docs"


def pages() -> dict[str, str]:
    """Name below docs/ -> text of every page that is made."""
    return {
        "reference/scenario-keys.md": keys.scenario_keys(),
        "reference/arrivals.md": keys.arrivals(),
        "reference/strategies.md": keys.strategies(),
        "reference/server-keys.md": keys.server_keys(),
        "reference/faults.md": keys.faults(),
        "reference/target-keys.md": keys.target_keys(),
        "reference/experiment-keys.md": keys.experiment_keys(),
        "reference/commands.md": commands.commands(),
        "decisions/README.md": decisions.decisions(DOCS / "decisions"),
    }


def main() -> None:
    """Write what differs, and say so."""
    for name, text in pages().items():
        path = DOCS / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
            sys.stderr.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
