"""How near a simulation comes to reality: `python -m benchmarks twin` (a part of `make bench`; at most twelve minutes, a quiet machine).

Every cell of open.toml and held-out.toml is run for real once (an INVALID run is repeated twice) and simulated with the same
seed. The results go to docs/data/twin.json, the chart to docs/images, the tables into docs/explanation/fidelity.md. An
interrupted session goes on where it stopped; one that is complete begins anew. `--from FILE` publishes earlier results;
`--predict-from FILE` keeps what they measured and simulates every cell again, in two or three minutes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from matplotlib import rc_context

from benchmarks.publish import ROOT, replace_block
from benchmarks.results_file import write_results
from benchmarks.twin import chart, tables
from benchmarks.twin.fidelity import FidelityResults, load_results
from benchmarks.twin.session import FidelitySession, StoppedError, drive_for_real, predict_again
from harness.base.errors import ExitCode, HarnessError
from harness.base.signals import Interruption, SignalHandler
from reports import palette

PAGE, DATA = ROOT / "docs" / "explanation" / "fidelity.md", ROOT / "docs" / "data" / "twin.json"
CHART = ROOT / "docs" / "images" / "twin-fidelity.png"
RESULTS = "results.json"
_DPI = 140


def insert_tables(page: str, results: FidelityResults) -> str:
    """The page with the tables of these results. Raises ValueError if it lacks the markers."""
    return replace_block(
        page, "twin bench", f"\n![Predicted against measured](../images/{CHART.name})\n\n{tables.markdown(results)}\n\n"
    )


def publish(results: FidelityResults) -> None:
    """Write chart, tables and data."""
    with rc_context(palette.STYLE):
        chart.draw(results).savefig(CHART, dpi=_DPI)
    # last: if drawing the chart fails, the published data stays that of the published chart
    write_results(DATA, results)
    PAGE.write_text(insert_tables(PAGE.read_text("utf-8"), results), "utf-8")


def main() -> int:
    """Measure, or read earlier results, and write; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks twin", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="earlier results, as docs/data/twin.json"
    )
    parser.add_argument(
        "--predict-from", dest="measured", type=Path, metavar="FILE",
        help="the same, with every cell simulated again: after a change of the simulation or of its default constants",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("runs") / "bench-twin", metavar="DIR", help="folder of the runs"
    )
    options = parser.parse_args()
    try:
        if options.measured:
            publish(predict_again(load_results(options.measured)))
        else:
            publish(load_results(options.source) if options.source else _measure(options.out.absolute()))
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except (StoppedError, Interruption):
        sys.stderr.write("Interrupted. Run the same command again to go on.\n")
        return ExitCode.INTERRUPTED
    return 0


def _measure(folder: Path) -> FidelityResults:
    if (folder / RESULTS).exists():  # a complete session: its runs are not those of today
        shutil.rmtree(folder)
    with SignalHandler() as signals:
        log: Callable[[str], None] = lambda text: print(text, flush=True)  # noqa: T201, E731
        results = FidelitySession(folder, drive_for_real(signals), log).run()
    write_results(folder / RESULTS, results)
    return results


if __name__ == "__main__":
    sys.exit(main())
