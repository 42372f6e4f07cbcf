"""What would have saved Kaliwates: `python -m benchmarks kaliwates` (an hour, a quiet machine; not a part of `make bench` without PART).

It runs the experiment what-would-have-saved-kaliwates for real and in virtual time, 30 seeds each, and writes the results to
docs/data/kaliwates.json, the chart to docs/images and the table into docs/explanation/what-would-have-saved-kaliwates.md.
Interrupted, it goes on where it stopped. `--from FILE` publishes earlier results; `--predict-from FILE` keeps what they
measured and simulates every cell again, in five minutes; `--missing` runs only the variants that the published results lack, and
adds them with the day and the machine of their measurement.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from matplotlib import rc_context

from benchmarks.kaliwates import chart, tables
from benchmarks.kaliwates.remedies import (
    Remedy,
    RemedyResults,
    read_remedies,
    read_results,
    read_simulated,
    write_results,
)
from benchmarks.publish import ROOT, replace_block
from harness.base.errors import HarnessError, UsageError
from harness.base.host import describe_host
from harness.scenario.experiment import EXPERIMENT_FOLDER
from harness.scenario.loader import read_source
from reports import palette

EXPERIMENT = "what-would-have-saved-kaliwates"
PAGE = ROOT / "docs" / "explanation" / f"{EXPERIMENT}.md"
DATA = ROOT / "docs" / "data" / "kaliwates.json"
CHART = ROOT / "docs" / "images" / f"{EXPERIMENT}.png"
SEEDS = 30
_DPI = 160


def insert_table(page: str, results: RemedyResults) -> str:
    """The page with the table of these results. Raises ValueError if it lacks the markers."""
    return replace_block(page, "kaliwates bench", f"\n{tables.markdown(results)}\n\n")


def publish(results: RemedyResults) -> None:
    """Write chart, table and data."""
    with rc_context(palette.STYLE):
        chart.draw(results).savefig(CHART, dpi=_DPI)
    # last: if drawing the chart fails, the published data stays that of the published chart
    write_results(DATA, results)
    PAGE.write_text(insert_table(PAGE.read_text("utf-8"), results), "utf-8")


def main() -> int:
    """Measure, or read earlier results, and write; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks kaliwates", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="earlier results, as docs/data/kaliwates.json"
    )
    parser.add_argument(
        "--predict-from", dest="measured", type=Path, metavar="FILE",
        help="the same, with every cell simulated again: after a change of the simulation or of its default constants",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("runs") / "bench-kaliwates", metavar="DIR", help="folder of the runs"
    )
    parser.add_argument("--missing", action="store_true", help="run only what the published results lack")
    options = parser.parse_args()
    try:
        if options.measured:
            publish(_predict_again(read_results(options.measured), options.out))
        elif options.source:
            publish(read_results(options.source))
        else:
            publish(_measure_missing(options.out) if options.missing else _measure(options.out))
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _measure(out: Path) -> RemedyResults:
    remedies, deadline_hours = _run(EXPERIMENT, out)
    return RemedyResults(at=_now(), host=_host(), deadline_hours=deadline_hours, remedies=remedies)


def _measure_missing(out: Path) -> RemedyResults:
    results, only = read_results(DATA), out / f"{EXPERIMENT}.toml"
    out.mkdir(parents=True, exist_ok=True)
    only.write_text(select_variants(EXPERIMENT, {remedy.name for remedy in results.remedies}), "utf-8")
    remedies, _ = _run(str(only), out)
    for remedy in remedies:
        results = results.with_remedy(remedy, _now(), _host())
    return results


def select_variants(name: str, without: set[str]) -> str:
    """The text of a built-in experiment without these variants."""
    _, text, _ = read_source(name, EXPERIMENT_FOLDER, "experiment")
    head, *variants = re.split(r"(?m)^(?=\[\[variants\]\]$)", text)
    return head + "".join(one for one in variants if tomllib.loads(one)["variants"][0]["name"] not in without)


def _run(experiment: str, out: Path) -> tuple[list[Remedy], float]:
    measured, simulated = out / "measured", _simulate(out, experiment)
    _run_experiment(experiment, "--out", str(measured))
    return read_remedies(measured, simulated)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _host() -> dict[str, str | int]:
    return {name: value for name, value in describe_host().items() if isinstance(value, str | int)}


def _predict_again(results: RemedyResults, out: Path) -> RemedyResults:
    """The same measurements, beside new simulations. Raises UsageError if the experiment has other variants by now."""
    played = read_simulated(_simulate(out))
    names = [one.name for one in results.remedies]
    if names != list(played):
        message = f"the experiment has other variants by now ({', '.join(played)}): measure them"
        raise UsageError(message)
    remedies = [one.model_copy(update={"simulated": played[one.name]}) for one in results.remedies]
    return results.model_copy(update={"remedies": remedies})


def _simulate(out: Path, experiment: str = EXPERIMENT) -> Path:
    """Every cell in virtual time; the folder of the experiment."""
    folder = out / "simulated"
    _run_experiment(experiment, "--simulate", "--seeds", str(SEEDS), "--out", str(folder))
    return folder


def _run_experiment(experiment: str, *arguments: str) -> None:
    # A finished experiment is not repeated; reading it says whether it is complete.
    subprocess.call([sys.executable, "-m", "harness", "experiment", experiment, *arguments])


if __name__ == "__main__":
    sys.exit(main())
