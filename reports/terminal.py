"""Terminal output: the console, verdicts, audits and the tables that commands print.

Only the commands in `harness/cli` print besides this module. Every text from outside goes through `rich.text.Text`, so
that a run named `[red]` is not taken for markup.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.summary import Summary
from harness.judge.past_runs import PastRun
from harness.judge.results import Audit, Verdict
from reports import audit as audit_text
from reports.failures_text import describe_endpoints, describe_failures
from reports.key_figures import (
    SIMULATED,
    describe_margin,
    describe_verdict,
    list_key_figures,
    order_thresholds,
    verdict_label,
)
from reports.number_format import escape_control_characters, format_quantity, non_breaking
from reports.output_guard import OutputGuard
from reports.run_list import RUN_HEADERS, run_rows
from reports.text_table import PIPE_WIDTH, plain_table, print_plain, print_rows

VERDICT_STYLES = {"PASS": "bold green", "FAIL": "bold red", "INVALID": "bold yellow", "NOT JUDGED": "bold yellow"}
FINDING_STYLES = {"ok": "green", "warn": "yellow", "unfit": "bold red"}


def make_console(file: TextIO | None = None) -> Console:
    """A console for `file` (standard output by default): colours only on a terminal, and not with NO_COLOR set.

    Without a terminal nothing is wrapped, unless COLUMNS says how wide it is: what reads a pipe needs whole lines.
    """
    stream = file or sys.stdout
    inner = stream.stream if isinstance(stream, OutputGuard) else stream
    if isinstance(inner, io.TextIOWrapper):
        inner.reconfigure(errors="replace")  # with LANG=C a "µ" would raise UnicodeEncodeError and end the run
    is_terminal = stream.isatty()
    columns = os.environ.get("COLUMNS", "")
    width = None if is_terminal else (int(columns) if columns.isdigit() and int(columns) > 0 else PIPE_WIDTH)
    return Console(file=stream, highlight=False, markup=False, emoji=False, force_terminal=is_terminal, width=width)


def display_path(path: Path) -> str:
    """The path relative to the current folder if it lies below it, else absolute.

    >>> display_path(Path.cwd() / "runs" / "a"), display_path(Path("runs/../runs/a")), display_path(Path("/nowhere/a"))
    ('runs/a', 'runs/a', '/nowhere/a')
    """
    # not Path.resolve: it follows symbolic links, and the user would not recognise the path
    absolute, here = Path(os.path.abspath(path)), Path.cwd()  # noqa: PTH100
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def print_verdict(verdict: Verdict | None, summary: Summary, output: Console | None = None) -> None:
    """Print the verdict with its reasons, every threshold with its observed value, and the key figures."""
    out = output or make_console()
    word = verdict_label(verdict)
    mark = [("  " + SIMULATED, "bold magenta")] if verdict and verdict.simulated else []
    out.print(Text.assemble((word, VERDICT_STYLES[word]), *mark, f"  {describe_verdict(verdict)}"))
    for reason in verdict.validity.reasons if verdict else []:
        indented = reason.replace("\n", "\n    ")  # a log's end or a traceback belongs to its reason
        out.print(Text(f"  - {indented}"), soft_wrap=False)
    if verdict and verdict.thresholds:
        out.print()
        _print_thresholds(out, verdict)
    out.print()
    figures = plain_table(["figure", "value", ""])
    for figure in list_key_figures(summary):
        figures.add_row(Text(figure.name), Text(figure.value), Text(figure.note, style="dim"))
    print_plain(out, figures)
    out.print()
    failed = describe_failures(summary)
    if failed:
        out.print(Text("What failed", style="bold"))
        for line in failed:
            out.print(Text(f"  {escape_control_characters(line)}"), soft_wrap=True)
        out.print()
    for line in describe_endpoints(summary):
        out.print(Text(escape_control_characters(line)), soft_wrap=True)


def print_report_path(path: Path, output: Console | None = None) -> None:
    """Print where a page is, in one line however long it is."""
    (output or make_console()).print(Text(f"Report: {display_path(path)}"), soft_wrap=True)


def print_audit(audit: Audit, output: Console | None = None) -> None:
    """Print the audit: safety and liveness, every category with its count, and the first pages of the unsafe ones."""
    out = output or make_console()
    style = VERDICT_STYLES["INVALID" if audit.safety == "unknown" else "PASS" if audit.safety else "FAIL"]
    out.print(Text(audit_text.describe_safety(audit), style=style))
    out.print(Text(audit_text.describe_liveness(audit)))
    out.print()
    # None (not known) and 0 are both not red: only pages that were found unsafe are
    categories = []
    for name, number, against, means in audit_text.category_rows(audit):
        style = VERDICT_STYLES["FAIL"] if number and against == audit_text.SAFETY else ""
        counted = Text(format_quantity(number, ""), style=style)
        categories.append([Text(name, style=style), counted, Text(against), Text(means)])
    print_rows(out, [header.lower() for header in audit_text.HEADERS], categories)
    rows, more = audit_text.unsafe_rows(audit)
    if rows:
        out.print()
        print_table([header.lower() for header in audit_text.UNSAFE_HEADERS], rows, out)
    if more:
        out.print(Text(more))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], output: Console | None = None) -> None:
    """Print a table without rules; where the line is too short, the last column wraps, or each row becomes a block."""
    print_rows(output or make_console(), headers, [[Text(cell) for cell in row] for row in rows])


def print_lines(lines: Sequence[str], output: Console | None = None) -> None:
    """Print lines unchanged, never wrapped or truncated: other programs read them."""
    out = output or make_console()
    for line in lines:
        out.file.write(line + "\n")
    out.file.flush()


def print_runs(runs: Sequence[PastRun], output: Console | None = None, *, is_filtered: bool = False) -> None:
    """Print earlier runs, given oldest first, newest first; `is_filtered`: there may be others that were not asked for."""
    out = output or make_console()
    if not runs:
        out.print("No runs match." if is_filtered else "No runs yet. Start one with `harness run kaliwates`.")
        return
    rows = [
        [
            Text(escape_control_characters(cell), style=VERDICT_STYLES.get(word, "") if number == 0 else "")
            for number, cell in enumerate(cells)
        ]
        for cells in run_rows(runs)
        for word in cells[:1]
    ]
    print_rows(out, RUN_HEADERS, rows, lead=2)


def print_findings(
    rows: Sequence[tuple[str, str, str, str]],
    changes: Sequence[tuple[str, str]],
    claims: Sequence[str],
    output: Console | None = None,
) -> None:
    """Print what `harness doctor` found.

    `rows` are (verdict, check, measured, needed), `changes` (check, what to change), `claims` what a run on this machine
    may claim if no check is unfit.
    """
    out = output or make_console()
    table = plain_table(["", "check", "measured", "needed"])
    for verdict, name, measured, needed in rows:
        table.add_row(
            Text(verdict, style=FINDING_STYLES[verdict]),
            Text(name),
            Text(non_breaking(measured)),
            Text(non_breaking(needed)),
        )
    print_plain(out, table)
    if changes:
        out.print(Text("\nWhat to change", style="bold"))
    for name, change in changes:
        out.print(Text(f"  {name}: {change}"), soft_wrap=True)  # not wrapped: readers copy these commands
    out.print()
    if unfit := [name for verdict, name, _, _ in rows if verdict == "unfit"]:
        failed_checks = f": {', '.join(unfit)}. A run on this machine may claim nothing until this is fixed."
        out.print(Text.assemble(("Unfit to measure", "bold red"), failed_checks))
        return
    out.print(Text.assemble(("Fit to measure", "bold green"), ". A run on this machine may claim"))
    for claim in claims:
        bullet = Table.grid(padding=(0, 1))
        bullet.add_row(Text("  -"), Text(non_breaking(claim)))
        print_plain(out, bullet)


def _print_thresholds(out: Console, verdict: Verdict) -> None:
    rows = []
    for threshold in order_thresholds(verdict):
        if not threshold.judged:  # the figures are not trusted, so neither is a threshold that holds
            result = Text("not judged", style="yellow")
        else:
            result = Text("held", style="green") if threshold.passed else Text("BREACHED", style="bold red")
        observed, limit = (
            Text(format_quantity(value, threshold.unit)) for value in (threshold.observed, threshold.limit)
        )
        assertion = Text(escape_control_characters(threshold.assertion))
        rows.append([result, assertion, observed, limit, Text(describe_margin(threshold))])
    print_rows(out, ["", "threshold", "observed", "limit", "by how much"], rows, prose="by how much")
