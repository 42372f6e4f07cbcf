"""The generator's bench, written into docs/explanation/measuring.md: `python -m benchmarks.publish` (a part of `make bench`; a quarter of an hour).

The rounds themselves go to docs/data/bench.json, the chart to docs/images; the tables stand between two markers and are made
from that file alone, so that a test can tell whether anybody has touched them. `--from FILE` takes results that are there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.marked_blocks import replace_block
from benchmarks.peers import results, session, tables
from harness.base.errors import HarnessError

ROOT = Path(__file__).parents[1]
PAGE, DATA, CHART = (
    ROOT / "docs" / "explanation" / "measuring.md",
    ROOT / "docs" / "data" / "bench.json",
    "generator-cost.png",
)
BEGIN, END = "<!-- generator bench: begin -->", "<!-- generator bench: end -->"


def insert_tables(page: str, measured: results.Results) -> str:
    """The page with the tables of these results. Raises ValueError where the markers are missing."""
    chart = f"![CPU an upload of every tool, as bars](../images/{CHART})\n\n" if measured.cost else ""
    return replace_block(page, f"\n{chart}{tables.markdown(measured)}\n", BEGIN, END)


def main() -> int:
    """Measure, or take what was measured, and write; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="the results.json of a `python -m benchmarks.peers`"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    told = parser.parse_args()
    try:
        if told.source:
            measured = results.read(told.source)
        else:
            measured = session.run_session(
                session.PARTS,
                told.rounds,
                told.seconds,
                lambda text: print(text, flush=True),  # noqa: T201
            )
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    with tempfile.TemporaryDirectory() as name:
        session.write(Path(name), measured)
        if measured.cost:
            shutil.copyfile(Path(name) / "cost.png", ROOT / "docs" / "images" / CHART)
    results.write(DATA, measured)
    PAGE.write_text(insert_tables(PAGE.read_text("utf-8"), measured), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
