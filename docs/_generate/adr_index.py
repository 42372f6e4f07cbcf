"""The list of decisions."""

from __future__ import annotations

from pathlib import Path

from docs._generate.markdown import NOTICE


def decisions(folder: Path) -> str:
    """A line for each record in docs/decisions, by its title."""
    records = sorted(folder.glob("[0-9]*.md"))
    lines = [f"- [{record.read_text('utf-8').splitlines()[0].removeprefix('# ')}]({record.name})" for record in records]
    about = "What can't be undone easily, why it was chosen, and what was left for it. A record isn't changed later: a new one follows.\n"
    return f"{NOTICE}\n# Decisions\n\n{about}\n" + "\n".join(lines) + "\n"
