"""Writes what was measured into the documentation: `python -m benchmarks.publish` (a part of `make bench`; a quarter of an hour).

It runs the comparison with other generators: the rounds go to docs/data/bench.json, the chart to docs/images, and the tables
into docs/explanation/measuring.md between two markers. They are made from bench.json alone, so that a test can check that
nobody edited them. `--from FILE` publishes earlier results. `write_block` does the same for the other benchmarks.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.peers import results, session, tables
from harness.base.errors import HarnessError

ROOT = Path(__file__).parents[1]
MEASURING = ROOT / "docs" / "explanation" / "measuring.md"
DATA, CHART = ROOT / "docs" / "data" / "bench.json", "generator-cost.png"


def replace_block(document: str, name: str, text: str) -> str:
    r"""The document with `text` between the markers of that name. Raises ValueError if it lacks them.

    >>> replace_block("a <!-- b: begin --> old <!-- b: end --> z", "b", "new")
    'a <!-- b: begin -->\nnew<!-- b: end --> z'
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, opened, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        message = f"the document has no {begin} and {end}"
        raise ValueError(message)
    return f"{before}{begin}\n{text}{end}{after}"


def write_block(path: Path, name: str, text: str) -> None:
    """Replace the block of that name in a file."""
    path.write_text(replace_block(path.read_text("utf-8"), name, text), "utf-8")


def insert_tables(page: str, measured: results.Results) -> str:
    """The page with the tables of these results. Raises ValueError if it lacks the markers."""
    chart = f"![CPU per upload of every tool, as bars](../images/{CHART})\n\n" if measured.cost else ""
    return replace_block(page, "generator bench", f"\n{chart}{tables.markdown(measured)}\n")


def main() -> int:
    """Measure, or read earlier results, and write; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="the results.json of a `python -m benchmarks.peers`"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    try:
        if options.source:
            measured = results.read(options.source)
        else:
            measured = session.run_session(
                session.PARTS,
                options.rounds,
                options.seconds,
                lambda text: print(text, flush=True),  # noqa: T201
            )
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    with tempfile.TemporaryDirectory() as name:
        session.write(Path(name), measured)
        if measured.cost:
            shutil.copyfile(Path(name) / "cost.png", ROOT / "docs" / "images" / CHART)
    # last: if drawing the chart fails, the published data stays that of the published chart
    results.write(DATA, measured)
    MEASURING.write_text(insert_tables(MEASURING.read_text("utf-8"), measured), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
