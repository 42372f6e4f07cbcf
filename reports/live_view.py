"""A moment of a running run, and how it looks: as a panel and as a line. Pure: terminal.py does the printing."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reports import number_format, palette
from reports.number_format import count, per_second, quantity


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


def panel(now: Snapshot, title: str) -> RenderableType:
    """The state as a panel of at most eight lines that fits 80 columns."""
    bars = Table.grid(padding=(0, 1))
    bars.add_column(width=9)
    bars.add_column(ratio=1)
    bars.add_column(justify="right")
    bars.expand = True
    _bar(bars, "time", now.t_s, now.deadline_s, f"{_clock(now.t_s)} of {_clock(now.deadline_s)}")
    stations = f"{count(now.stations_completed)} of {count(now.stations_planned)}"
    _bar(bars, "stations", now.stations_completed, now.stations_planned, stations)
    pages = f"{count(now.pages_delivered)} of {count(now.pages_planned)}, {count(now.pages_due)} due"
    _bar(bars, "pages", now.pages_delivered, now.pages_planned, pages)
    behind = now.offered_per_s > 0 and now.goodput_per_s < 0.8 * now.offered_per_s
    rates = Text.assemble(
        f"offered {per_second(now.offered_per_s)}   goodput ",
        (per_second(now.goodput_per_s), "bold red" if behind else "bold green"),
        f"   answers {per_second(now.throughput_per_s)}   p50 {_wait(now.p50_s)}   p95 {_wait(now.p95_s)}",
    )
    server = Text(
        f"queue {quantity(now.queue_depth, '')}   workers busy {quantity(now.workers_busy, '')}"
        f"   in flight {quantity(now.in_flight, '')}"
    )
    faulty = now.phase not in {"clear", "warm_up"}
    phase = Text.assemble("phase ", (now.phase, "bold yellow" if faulty else "green"))
    failures = Text(f"failures {_failures(now)}", style="red" if any(now.failures.values()) else "")
    for text in (rates, server, phase, failures):
        text.truncate(74, overflow="ellipsis")
    return Panel(Group(bars, rates, server, phase, failures), title=Text(title), title_align="left", width=80)


def plain_line(now: Snapshot) -> str:
    """The state as one line, for logs and pipes."""
    parts = [
        f"{_clock(now.t_s)} of {_clock(now.deadline_s)}",
        now.phase,
        f"stations {count(now.stations_completed)}/{count(now.stations_planned)}",
        f"pages {count(now.pages_delivered)}/{count(now.pages_planned)}",
        f"offered {per_second(now.offered_per_s)}",
        f"goodput {per_second(now.goodput_per_s)}",
        f"p50 {_wait(now.p50_s)}",
        f"p95 {_wait(now.p95_s)}",
        f"queue {quantity(now.queue_depth, '')}",
        f"failures {_failures(now)}",
    ]
    return " | ".join(parts)


def _bar(table: Table, name: str, done: float, total: float, text: str) -> None:
    bar = ProgressBar(total=max(total, 1e-9), completed=min(done, max(total, 1e-9)))
    table.add_row(name, bar, Text(text))


def _clock(value: float) -> str:
    """Whole seconds, so that the line does not jump."""
    return number_format.seconds(max(0, int(value)))


def _wait(value: float | None) -> str:
    return quantity(value, "s")


def _failures(now: Snapshot) -> str:
    failed = sorted(((number, name) for name, number in now.failures.items() if number), reverse=True)
    if not failed:
        return "none"
    return f"{count(sum(number for number, _ in failed))}: " + ", ".join(
        f"{palette.outcome_words(name)} {count(number)}" for number, name in failed
    )
