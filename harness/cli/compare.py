"""`harness compare`: whether a run is worse than another. `harness run --baseline` uses it too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import check_name, own_assertions, run_folder, runs_in, stamp
from harness.cli.runs import RUNS
from harness.judge.compare.figure import parse_tolerances
from harness.judge.compare.results import Comparison
from harness.run_folder.layout import RunFolder
from harness.runner.noise_files import noise_folder
from reports import terminal
from reports.terminal import display_path

COMPARISONS = RUNS / "comparisons"

ToleranceOption = Annotated[
    list[str],
    typer.Option("--tolerance", metavar="[FIGURE=]P%", help="How much worse is tolerated: 5% for all, response_seconds.p95=10% for one."),
]  # fmt: skip


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="What to compare with: a run, or a folder of runs.")],
    run: Annotated[list[Path], typer.Argument(metavar="RUN…", help="What to judge: runs, or folders of runs.")],
    more_base: Annotated[list[Path], typer.Option("--base", metavar="RUN", help="One more run for the side of BASE.")] = [],
    tolerance: ToleranceOption = [],
    force: Annotated[bool, typer.Option("--force", help="Compare even if scenario, seed, version or host differ.")] = False,
    out: Annotated[Path | None, typer.Option(help="Result folder. Default: runs/comparisons/<time>-<hex>.")] = None,
) -> None:  # fmt: skip
    """Check whether RUN is worse than BASE. Exit code 0 no, 99 yes, 3 can't tell."""
    from harness.runner.comparison import (  # noqa: PLC0415 - `harness run` imports this module, and Matplotlib would delay its start
        ComparisonRequest,
        compare_runs,
        load_sides,
        paths_in,
        write_comparison,
    )

    tolerances = parse_tolerances(tolerance)
    base_runs, runs = _runs_of([base, *more_base]), _runs_of(run)
    folder = (out or COMPARISONS / stamp()).absolute()
    check_name(folder)
    request = ComparisonRequest(base_runs, runs, tolerances, noise_folder(), force)
    comparison = compare_runs(request, own_assertions)
    paths = paths_in(folder)
    write_comparison(comparison, paths, load_sides(request))
    print_comparison(comparison, paths.page)
    raise typer.Exit(comparison.exit_code)


def compare_with_baseline(baseline: RunFolder, folder: RunFolder, tolerance: list[str]) -> int:
    """Compare a run that has just ended with its baseline, into the run's own folder; the exit code."""
    from harness.runner.comparison import (  # noqa: PLC0415 - as above
        ComparisonRequest,
        compare_runs,
        load_sides,
        paths_beside,
        write_comparison,
    )
    from reports.html import link_comparison  # noqa: PLC0415 - as above

    request = ComparisonRequest([baseline], [folder], parse_tolerances(tolerance), noise_folder())
    comparison = compare_runs(request, own_assertions)
    write_comparison(comparison, paths_beside(folder), load_sides(request))
    if folder.page.exists():  # not with --no-report
        link_comparison(folder.page, comparison)
    print_comparison(comparison, folder.comparison_page)
    return comparison.exit_code


def print_comparison(comparison: Comparison, page: Path) -> None:
    """Print a comparison: verdict, reasons, the table of figures, and where the page is."""
    from reports.comparison import COMPARISON_LABELS, HEADERS, publish_comparison, rows_of  # noqa: PLC0415 - as above

    print(f"\n{COMPARISON_LABELS[comparison.verdict]}  {comparison.finding}.")
    for line in comparison.reasons:
        print(f"  - {line}")
    for line in comparison.unlike:
        print(f"  - not comparable, compared because of --force: {line}")
    print()
    rows = rows_of(comparison)
    # The last column is long where it is not empty: it follows as lines below the table.
    terminal.print_table(list(HEADERS[:-1]), [row[:-1] for row in rows])
    for _, key, *_, reason in rows:
        if reason:
            print(f"  - {key}: {reason}")
    print(f"\nComparison: {display_path(page)}")
    terminal.print_lines(publish_comparison(comparison))


def _runs_of(paths: list[Path]) -> list[RunFolder]:
    return [folder for path in paths for folder in runs_in(run_folder(path).path)]
