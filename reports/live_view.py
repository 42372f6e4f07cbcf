"""A moment of a running run, and how it looks: as a panel and as a line. Pure: terminal.py does the printing."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reports import number_format, palette
from reports.number_format import format_count, format_quantity, format_rate


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a run at one moment. Rates are over the last seconds; None where nothing is known."""

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
    p50_s: float | None = None
    p95_s: float | None = None
    queue_depth: float | None = None
    workers_busy: float | None = None
    in_flight: int | None = None


def render_panel(now: Snapshot, title: str) -> RenderableType:
    """The state as a panel of at most eight lines that fits 80 columns."""
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
    behind = now.offered_per_s > 0 and now.goodput_per_s < 0.8 * now.offered_per_s
    rates = Text.assemble(
        f"offered {format_rate(now.offered_per_s)}   goodput ",
        (format_rate(now.goodput_per_s), "bold red" if behind else "bold green"),
        f"   answers {format_rate(now.throughput_per_s)}   p50 {_format_wait(now.p50_s)}   p95 {_format_wait(now.p95_s)}",
    )
    server = Text(
        f"queue {format_quantity(now.queue_depth, '')}   workers busy {format_quantity(now.workers_busy, '')}"
        f"   in flight {format_quantity(now.in_flight, '')}"
    )
    faulty = now.phase not in {"clear", "warm_up"}
    phase = Text.assemble("phase ", (now.phase, "bold yellow" if faulty else "green"))
    failures = Text(f"failures {_format_failures(now)}", style="red" if any(now.failures.values()) else "")
    for text in (rates, server, phase, failures):
        text.truncate(74, overflow="ellipsis")
    return Panel(Group(bars, rates, server, phase, failures), title=Text(title), title_align="left", width=80)


def render_line(now: Snapshot) -> str:
    """The state as one line, for logs and pipes."""
    parts = [
        f"{_format_clock(now.t_s)} of {_format_clock(now.deadline_s)}",
        now.phase,
        f"stations {format_count(now.stations_completed)}/{format_count(now.stations_planned)}",
        f"pages {format_count(now.pages_delivered)}/{format_count(now.pages_planned)}",
        f"offered {format_rate(now.offered_per_s)}",
        f"goodput {format_rate(now.goodput_per_s)}",
        f"p50 {_format_wait(now.p50_s)}",
        f"p95 {_format_wait(now.p95_s)}",
        f"queue {format_quantity(now.queue_depth, '')}",
        f"failures {_format_failures(now)}",
    ]
    return " | ".join(parts)


def _add_bar(table: Table, name: str, done: float, total: float, text: str) -> None:
    bar = ProgressBar(total=max(total, 1e-9), completed=min(done, max(total, 1e-9)))
    table.add_row(name, bar, Text(text))


def _format_clock(value: float) -> str:
    """Whole seconds, so that the line does not jump."""
    return number_format.format_duration(max(0, int(value)))


def _format_wait(value: float | None) -> str:
    return format_quantity(value, "s")


def _format_failures(now: Snapshot) -> str:
    failed = sorted(((number, name) for name, number in now.failures.items() if number), reverse=True)
    if not failed:
        return "none"
    return f"{format_count(sum(number for number, _ in failed))}: " + ", ".join(
        f"{palette.outcome_label(name)} {format_count(number)}" for number, name in failed
    )
