"""What the terminal shows: the live view of a run, its verdict, and the commands' tables.

With cli.py the only place that prints. Everything from outside goes through `Text`, so that a name like `[red]` is no
markup.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.analysis.summary import Summary
from harness.judge.results import Audit, Verdict
from reports import audit as nothing_lost
from reports.key_figures import describe_margin, describe_verdict, list_key_figures, verdict_label
from reports.live_view import Snapshot, render_line, render_panel
from reports.number_format import escape_control_characters, format_quantity, non_breaking
from reports.places import display_path

__all__ = [
    "LiveView",
    "QuietView",
    "Snapshot",
    "make_console",
    "print_audit",
    "print_findings",
    "print_lines",
    "print_runs",
    "print_table",
    "print_verdict",
]

PIPE_WIDTH = 120
VERDICT_STYLES = {"PASS": "bold green", "FAIL": "bold red", "INVALID": "bold yellow", "NOT JUDGED": "bold yellow"}
FINDING_STYLES = {"ok": "green", "warn": "yellow", "unfit": "bold red"}


class BrokenPipeGuard(io.TextIOBase):
    """A stream that goes silent when its reader has gone (`harness run … | head`): the run goes on to its verdict."""

    def __init__(self, stream: TextIO) -> None:
        """`stream` is wrapped, not copied."""
        self.stream = stream
        self._broken = False

    def write(self, text: str) -> int:
        """Write, or nothing any more."""
        if not self._broken:
            try:
                self.stream.write(text)
            except BrokenPipeError:
                self._give_up()
        return len(text)

    def flush(self) -> None:
        """Flush, or nothing any more."""
        if not self._broken:
            try:
                self.stream.flush()
            except BrokenPipeError:
                self._give_up()

    def isatty(self) -> bool:
        """As the stream says."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """As the stream says."""
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As the stream says."""
        return self.stream.encoding

    def _give_up(self) -> None:
        """Python flushes the real stream at exit: let that go nowhere."""
        self._broken = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


def make_console(file: TextIO | None = None) -> Console:
    """A console for this output: colours only on a terminal and without NO_COLOR; 120 columns on a pipe."""
    stream = file or sys.stdout
    inner = stream.stream if isinstance(stream, BrokenPipeGuard) else stream
    if isinstance(inner, io.TextIOWrapper):
        inner.reconfigure(errors="replace")  # an ASCII pipe is no reason to lose a run
    terminal = stream.isatty()
    columns = os.environ.get("COLUMNS", "")
    width = None if terminal else (int(columns) if columns.isdigit() and int(columns) > 0 else PIPE_WIDTH)
    return Console(file=stream, highlight=False, markup=False, emoji=False, force_terminal=terminal, width=width)


class LiveView:
    """The run as it goes: a panel that is redrawn on a terminal, a line every 5 s anywhere else.

    Draws when told to (`show`) and starts no thread, so that it can't write between two lines of another.
    """

    def __init__(self, title: str, output: Console | None = None, plain_every_s: float = 5.0) -> None:
        """`title` names the run; `output` is the standard output if not given."""
        self._title = title
        self._console = output or make_console()
        self._plain_every_s = plain_every_s
        self._next_plain_s = 0.0
        self._last: Snapshot | None = None
        self._printed: Snapshot | None = None
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal and not os.environ.get("CI"):
            self._live = Live(console=self._console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def say(self, text: str) -> None:
        """Print a line; a panel that is shown stays below it."""
        self._console.print(Text(text), soft_wrap=True)
        self._console.file.flush()

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest state; call it as often as you like."""
        self._last = snapshot
        if self._live:
            self._live.start()
            self._live.update(render_panel(snapshot, self._title), refresh=True)
        elif snapshot.t_s >= self._next_plain_s:
            self._print_plain(snapshot)

    def close(self) -> None:
        """Leave the last state on the screen; safe to call twice."""
        if self._live:
            self._live.stop()
        elif self._last is not None and self._last is not self._printed:
            self._print_plain(self._last)
        self._last, self._live = None, None

    def _print_plain(self, snapshot: Snapshot) -> None:
        self._printed = snapshot
        self._next_plain_s = (snapshot.t_s // self._plain_every_s + 1) * self._plain_every_s
        self._console.print(render_line(snapshot), soft_wrap=True)
        self._console.file.flush()


class QuietView:
    """One run of many: a line every 15 s, no words in between."""

    def __init__(self, title: str, output: Console | None = None) -> None:
        """`title` names the run."""
        self._title = title
        self._console = output or make_console()
        self._next_s = 15.0

    def say(self, text: str) -> None:
        """Nothing: the matrix says which cell it is at."""

    def show(self, snapshot: Snapshot) -> None:
        """A line every 15 s."""
        if snapshot.t_s >= self._next_s:
            self._next_s = (snapshot.t_s // 15 + 1) * 15
            self._console.print(Text(f"  {self._title} | {render_line(snapshot)}"), soft_wrap=True)
            self._console.file.flush()


def print_verdict(
    verdict: Verdict | None, summary: Summary, report_path: Path | None, output: Console | None = None
) -> None:
    """The verdict with its reasons, every threshold with what was observed, the key figures, the report's path if any."""
    out = output or make_console()
    word = verdict_label(verdict)
    out.print(Text.assemble((word, VERDICT_STYLES[word]), f"  {describe_verdict(verdict)}"))
    for reason in verdict.validity.reasons if verdict else []:
        out.print(Text(f"  - {reason}"), soft_wrap=False)
    if verdict and verdict.thresholds:
        out.print()
        _print_thresholds(out, verdict)
    out.print()
    figures = _table(["figure", "value", ""])
    for figure in list_key_figures(summary):
        figures.add_row(Text(figure.name), Text(figure.value), Text(figure.note, style="dim"))
    out.print(figures)
    out.print()
    if report_path is not None:
        out.print(Text(f"Report: {display_path(report_path)}"), soft_wrap=True)


def print_audit(audit: Audit, output: Console | None = None) -> None:
    """The nothing-lost table: both verdicts, every category, and the first pages of the unsafe ones."""
    out = output or make_console()
    style = VERDICT_STYLES["INVALID" if audit.safety == "unknown" else "PASS" if audit.safety else "FAIL"]
    out.print(Text(nothing_lost.describe_safety(audit), style=style))
    out.print(Text(nothing_lost.describe_liveness(audit)))
    out.print()
    table = _table([header.lower() for header in nothing_lost.HEADERS])
    for name, number, against, means in nothing_lost.category_rows(audit):
        style = VERDICT_STYLES["FAIL"] if number and against == nothing_lost.SAFETY else ""
        table.add_row(
            Text(name, style=style), Text(format_quantity(number, ""), style=style), Text(against), Text(means)
        )
    out.print(table)
    rows, more = nothing_lost.unsafe_rows(audit)
    if rows:
        out.print()
        print_table([header.lower() for header in nothing_lost.UNSAFE_HEADERS], rows, out)
    if more:
        out.print(Text(more))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], output: Console | None = None) -> None:
    """A plain table; the last column wraps where the line is too short."""
    table = _table(headers)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    (output or make_console()).print(table)


def print_lines(lines: Sequence[str], output: Console | None = None) -> None:
    """Lines as they are, for a machine: never wrapped or cut."""
    out = output or make_console()
    for line in lines:
        out.file.write(line + "\n")
    out.file.flush()


def print_runs(rows: Sequence[Sequence[str]], output: Console | None = None) -> None:
    """Past runs: each row is verdict ("pass", "fail", "invalid" or ""), run, scenario, started, stations complete."""
    out = output or make_console()
    if not rows:
        out.print("No runs yet: `harness run kaliwates` makes one.")
        return
    table = _table(["verdict", "run", "scenario", "started", "complete"])
    for verdict, *rest in rows:
        word = escape_control_characters(verdict.upper()) or "NOT JUDGED"
        table.add_row(
            Text(word, style=VERDICT_STYLES.get(word, "")),
            *(Text(escape_control_characters(cell), overflow="fold") for cell in rest),
        )
    out.print(table)


def print_findings(
    rows: Sequence[tuple[str, str, str, str]],
    changes: Sequence[tuple[str, str]],
    claims: Sequence[str],
    output: Console | None = None,
) -> None:
    """What an examination of the machine found: verdict, check, measured, needed; (check, what to change); what a run may claim."""
    out = output or make_console()
    table = _table(["", "check", "measured", "needed"])
    for verdict, name, measured, needed in rows:
        table.add_row(
            Text(verdict, style=FINDING_STYLES[verdict]),
            Text(name),
            Text(non_breaking(measured)),
            Text(non_breaking(needed)),
        )
    out.print(table)
    if changes:
        out.print(Text("\nWhat to change", style="bold"))
    for name, change in changes:
        out.print(Text(f"  {name}: {change}"), soft_wrap=True)  # never wrapped: commands are copied
    out.print()
    if unfit := [name for verdict, name, _, _ in rows if verdict == "unfit"]:
        said = f": {', '.join(unfit)}. A run on this machine may claim nothing until that is changed."
        out.print(Text.assemble(("Unfit to measure", "bold red"), said))
        return
    out.print(Text.assemble(("Fit to measure", "bold green"), ". A run on this machine may claim"))
    for claim in claims:
        bullet = Table.grid(padding=(0, 1))
        bullet.add_row(Text("  -"), Text(non_breaking(claim)))
        out.print(bullet)


def _print_thresholds(out: Console, verdict: Verdict) -> None:
    table = _table(["", "threshold", "observed", "limit", "by how much"])
    for threshold in verdict.thresholds:
        if verdict.verdict == "invalid":
            result = Text("not judged", style="yellow")
        else:
            result = Text("held", style="green") if threshold.passed else Text("BREACHED", style="bold red")
        observed, limit = (
            Text(format_quantity(value, threshold.unit)) for value in (threshold.observed, threshold.limit)
        )
        table.add_row(
            result,
            Text(escape_control_characters(threshold.assertion), overflow="fold"),
            observed,
            limit,
            Text(describe_margin(threshold)),
        )
    out.print(table)


def _table(headers: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="underline")
    for header in headers:
        table.add_column(Text(header), no_wrap=header in {"observed", "limit", "verdict", ""} and header != "")
    return table
