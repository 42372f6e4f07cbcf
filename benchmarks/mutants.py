"""Which of mutmut's mutants to try, and how many the tests found: docs/explanation/mutation-testing.md says how to use it.

mutmut keeps what it knows of each mutant in JSON files beside the mutated copy of a module: the exit code of the tests that
it ran, 0 if they noticed nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from pathlib import Path

SAMPLE = {
    "harness/judge/audit.py": 150, "harness/judge": 500, "harness/analysis": 500, "mock_server/overload": 300,
}  # fmt: skip
"""Mutants drawn from each part of the code; a module belongs to the first part that it lies in."""
_SURVIVED, _WITHOUT_TESTS = 0, 33


def load_parts(folder: Path) -> dict[str, dict[str, int | None]]:
    """The mutants of each part: their names, and the exit code of their tests (None: not run)."""
    parts: dict[str, dict[str, int | None]] = {part: {} for part in SAMPLE}
    for path in sorted(folder.rglob("*.py.meta")):
        module = path.relative_to(folder).with_suffix("").as_posix()
        part = next((part for part in SAMPLE if module == part or module.startswith(f"{part}/")), None)
        if part is not None:
            parts[part].update(json.loads(path.read_text("utf-8"))["exit_code_by_key"])
    return parts


def draw(parts: dict[str, dict[str, int | None]], seed: int) -> dict[str, list[str]]:
    """The same sample of each part for the same seed and code."""
    rng = random.Random(seed)
    return {part: rng.sample(sorted(known), min(SAMPLE[part], len(known))) for part, known in parts.items()}


def score(parts: dict[str, dict[str, int | None]], drawn: dict[str, list[str]]) -> list[str]:
    """Rows of a Markdown table: mutants, drawn, run, killed."""
    rows = ["| part | mutants | drawn | run | killed | survived | without a test |", "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for part, names in drawn.items():
        codes = Counter(parts[part][name] for name in names)
        run = len(names) - codes[None] - codes[_WITHOUT_TESTS]
        killed = run - codes[_SURVIVED]
        share = f" ({killed / run:.0%})" if run else ""
        rows.append(
            f"| {part} | {len(parts[part]):,} | {len(names)} | {run} | {killed}{share} | {codes[_SURVIVED]} | {codes[_WITHOUT_TESTS]} |"
        )
    return rows


def main() -> None:
    """Prints the names of the sample, or the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants")
    parser.add_argument("what", choices=["names", "score"])
    parser.add_argument("--folder", type=Path, default=Path("mutants"), help="mutmut's folder")
    parser.add_argument("--seed", type=int, default=18)
    options = parser.parse_args()
    parts = load_parts(options.folder)
    drawn = draw(parts, options.seed)
    lines = [name for names in drawn.values() for name in names] if options.what == "names" else score(parts, drawn)
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
