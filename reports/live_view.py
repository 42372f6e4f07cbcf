"""The live view of a run: a panel on a terminal, a line every few seconds in a log.

`Snapshot` is what is shown, `render_panel` and `render_line` are pure, `LiveView` and `QuietView` print.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.analysis.summary import QUIET_PHASES
from reports import palette
from reports.number_format import NOT_AVAILABLE, format_count, format_duration, format_quantity, format_rate
from reports.terminal import make_console

PANEL_WIDTH = 80
QUIET_EVERY_S = 15.0


@dataclass(frozen=True, slots=True)
class BucketPercentile:
    """A percentile of which only the bucket of a histogram is known, and an estimate within it."""

    low_s: float
    high_s: float
    estimate_s: float

    def __str__(self) -> str:
        """As exact as it is known.

        >>> str(BucketPercentile(0.3, 0.4, 0.35)), str(BucketPercentile(4.0, 4.0, 4.0)), str(BucketPercentile(0.0, 2.5e-4, 1e-4))
        ('≈ 350 ms', '4 s', '< 250 µs')
        >>> str(BucketPercentile(60.0, float("inf"), 60.0))
        '> 60 s'
        """
        if self.low_s == self.high_s:
            return format_duration(self.low_s)
        if not self.low_s:
            return f"< {format_duration(self.high_s)}"
        return (
            f"> {format_duration(self.low_s)}" if math.isinf(self.high_s) else f"≈ {format_duration(self.estimate_s)}"
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a run at one moment. Rates are means over the last seconds; None means not known."""

    t_s: float
    deadline_s: float
    phase: str
    stations_planned: int
    stations_completed: int
    pages_planned: int
    pages_delivered: int
    pages_due: int
    offered_per_s: float
    goodput_per_s: float
    throughput_per_s: float
    failures: dict[str, int] = field(default_factory=dict)
    """Failed attempts so far by outcome."""
    accepted_p50: BucketPercentile | None = None
    """Response time of accepted uploads: over all answers, quick refusals would make an overloaded server look fast."""
    accepted_p95: BucketPercentile | None = None
    queue_depth: float | None = None
    workers_busy: float | None = None
    in_flight: int | None = None


class LiveView:
    """Shows a run while it goes on: a panel redrawn in place on a terminal, else a line every 5 s.

    It draws only when `show` is called. rich's own refresh thread stays off, because it could write between two lines
    of another thread.
    """

    def __init__(self, title: str, output: Console | None = None, plain_every_s: float = 5.0) -> None:
        """`title` names the run; `output` defaults to standard output."""
        self._title = title
        self._console = output or make_console()
        self._plain_every_s = plain_every_s
        self._next_plain_s = 0.0
        self._last: Snapshot | None = None
        self._printed: Snapshot | None = None
        self._live: Live | None = None
        # CI services offer a pseudo-terminal but keep every redraw of the panel in their log
        if self._console.is_terminal and not self._console.is_dumb_terminal and not os.environ.get("CI"):
            self._live = Live(console=self._console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def log(self, text: str) -> None:
        """Print a line; the panel, if one is shown, stays below it."""
        self._console.print(Text(text), soft_wrap=True)
        self._console.file.flush()

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest state; may be called any number of times a second."""
        self._last = snapshot
        if self._live:
            self._live.start()
            self._live.update(render_panel(snapshot, self._title), refresh=True)
        elif snapshot.t_s >= self._next_plain_s:
            self._print_plain(snapshot)

    def close(self) -> None:
        """Leave the last state on the screen; calling it twice is safe."""
        if self._live:
            self._live.stop()
        elif self._last is not None and self._last is not self._printed:
            self._print_plain(self._last)  # the end of the run rarely falls on a multiple of 5 s
        self._last, self._live = None, None

    def _print_plain(self, snapshot: Snapshot) -> None:
        self._printed = snapshot
        # the next multiple of the interval, not the interval from now: timestamps in a log stay round
        self._next_plain_s = (snapshot.t_s // self._plain_every_s + 1) * self._plain_every_s
        self._console.print(render_line(snapshot), soft_wrap=True)
        self._console.file.flush()


class QuietView:
    """Shows one run of many: a line every 15 s, and no other messages."""

    def __init__(self, title: str, output: Console | None = None) -> None:
        """`title` names the run."""
        self._title = title
        self._console = output or make_console()
        self._next_s = QUIET_EVERY_S

    def log(self, text: str) -> None:
        """Print nothing: the experiment reports which of its runs is under way."""

    def show(self, snapshot: Snapshot) -> None:
        """Print a line if 15 s have passed since the last one."""
        if snapshot.t_s >= self._next_s:
            self._next_s = (snapshot.t_s // QUIET_EVERY_S + 1) * QUIET_EVERY_S
            self._console.print(Text(f"  {self._title} | {render_line(snapshot)}"), soft_wrap=True)
            self._console.file.flush()


def render_panel(now: Snapshot, title: str) -> RenderableType:
    """The state as a panel of ten lines that fits a terminal of 80 columns."""
    bars = Table.grid(padding=(0, 1))
    bars.add_column(width=9)
    bars.add_column(ratio=1)
    bars.add_column(justify="right")
    bars.expand = True
    _add_bar(bars, "time", now.t_s, now.deadline_s, f"{_format_clock(now.t_s)} of {_format_clock(now.deadline_s)}")
    stations = f"{format_count(now.stations_completed)} of {format_count(now.stations_planned)}"
    _add_bar(bars, "stations", now.stations_completed, now.stations_planned, stations)
    pages = (
        f"{format_count(now.pages_delivered)} of {format_count(now.pages_planned)}, {format_count(now.pages_due)} due"
    )
    _add_bar(bars, "pages", now.pages_delivered, now.pages_planned, pages)
    backlog = now.pages_due - now.pages_delivered
    # the same 80 % as the throughput chart: arrivals are noisy, smaller gaps mean nothing
    is_behind = now.goodput_per_s < 0.8 * now.offered_per_s
    # when nothing falls due any more, pages may still be waiting
    is_behind = is_behind or (now.goodput_per_s == 0 and backlog > 0)
    rates = Text.assemble(
        f"offered {format_rate(now.offered_per_s)}   goodput ",
        (format_rate(now.goodput_per_s), "bold red" if is_behind else "bold green"),
        f"   answers {format_rate(now.throughput_per_s)}",
    )
    waits = Text(f"backlog {format_count(backlog)}   {_format_waits(now)}")
    server = Text(
        f"queue {format_quantity(now.queue_depth, '')}   workers busy {format_quantity(now.workers_busy, '')}"
        f"   in flight {format_quantity(now.in_flight, '')}"
    )
    is_faulty = now.phase not in QUIET_PHASES
    phase = Text.assemble("phase ", (now.phase, "bold yellow" if is_faulty else "green"))
    failures = Text(f"failures {_format_failures(now)}", style="red" if any(now.failures.values()) else "")
    # a wrapped line would change the height of the panel and leave remnants of the last one on the screen
    for text in (rates, waits, server, phase, failures):
        text.truncate(74, overflow="ellipsis")
    return Panel(
        Group(bars, rates, waits, server, phase, failures), title=Text(title), title_align="left", width=PANEL_WIDTH
    )


def render_line(now: Snapshot) -> str:
    """The state as one line, for logs and pipes."""
    parts = [
        f"{_format_clock(now.t_s)} of {_format_clock(now.deadline_s)}",
        now.phase,
        f"stations {format_count(now.stations_completed)}/{format_count(now.stations_planned)}",
        f"pages {format_count(now.pages_delivered)}/{format_count(now.pages_planned)}",
        f"offered {format_rate(now.offered_per_s)}",
        f"goodput {format_rate(now.goodput_per_s)}",
        f"backlog {format_count(now.pages_due - now.pages_delivered)}",
        _format_waits(now),
        *([] if now.queue_depth is None else [f"queue {format_quantity(now.queue_depth, '')}"]),
        f"failures {_format_failures(now)}",
    ]
    return " | ".join(parts)


def _add_bar(table: Table, name: str, done: float, total: float, text: str) -> None:
    bar = ProgressBar(total=max(total, 1e-9), completed=min(done, max(total, 1e-9)))
    table.add_row(name, bar, Text(text))


def _format_clock(value: float) -> str:
    """Whole seconds: with decimals the text would change its width several times a second."""
    return format_duration(max(0, int(value)))


def _format_waits(now: Snapshot) -> str:
    p50, p95 = (NOT_AVAILABLE if value is None else str(value) for value in (now.accepted_p50, now.accepted_p95))
    return f"accepted p50 {p50}, p95 {p95}"


def _format_failures(now: Snapshot) -> str:
    failed = sorted(((number, name) for name, number in now.failures.items() if number), reverse=True)
    if not failed:
        return "none"
    return f"{format_count(sum(number for number, _ in failed))}: " + ", ".join(
        f"{palette.outcome_label(name)} {format_count(number)}" for number, name in failed
    )
