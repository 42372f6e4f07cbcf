"""report/index.html: one file that says first whether the run passed, then why, then everything else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.figures.series import Series
from harness.figures.summary import Summary
from harness.judge.results import Audit, Verdict
from harness.runfolder import RunRecord
from reports import nothing_lost, palette, quantities, svg
from reports.charts.failures import failed
from reports.keyfigures import by_how_much, headline, key_figures, meaning
from reports.quantities import count, quantity

TONES = {"PASS": ("good", "✓"), "FAIL": ("bad", "✗"), "INVALID": ("unsure", "?"), "NOT JUDGED": ("unsure", "?")}
ENDINGS = {
    "completed": "everything was delivered",
    "deadline": "the deadline came",
    "interrupted": "it was interrupted",
    "terminated": "it was terminated",
    "aborted": "a threshold could not hold any more",
    "crashed": "a process crashed",
    "killed": "a process was killed",
    "withdrawn": "the target's consent ended",
    "starved": "this machine ran out of what the run needs",
}

NEVER_S = 1e9
"""Sorts behind every time that something took."""


@dataclass(frozen=True, slots=True)
class DrawnChart:
    """A chart as the page shows it. `svg` is a whole SVG file; the page makes an inline form of it."""

    name: str
    title: str
    question: str
    finding: str
    svg: str


class Cell(NamedTuple):
    """What a cell shows, and the number to sort it by where its text would not do."""

    text: str
    key: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page: the first column names the row. Readers can sort it where scripts may run."""

    anchor: str
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    """What is left out, if anything."""


def page(
    record: RunRecord, summary: Summary, series: Series, verdict: Verdict | None, charts: Sequence[DrawnChart],
    audit: Audit | None = None,
) -> str:  # fmt: skip
    """The whole page. Everything that comes from the run is escaped; only our own charts go in as markup."""
    environment = templates()
    word = headline(verdict)
    tone, mark = TONES[word]
    tables = [_phases(summary), _kelurahan(summary), _worst(series, summary)]
    tables = [table for table in tables if table.rows]
    return environment.get_template("index.html.j2").render(
        record=record,
        headline=word,
        tone=tone,
        mark=mark,
        meaning=meaning(verdict),
        reasons=verdict.validity.reasons if verdict else [],
        when=_when(record, summary),
        sections=[
            *_sections(audit),
            *((table.anchor, table.title) for table in tables),
            ("again", "How to run it again"),
        ],
        thresholds=_thresholds(verdict),
        audit=_audit_tables(audit),
        charts=[_embedded(chart) for chart in charts],
        notes=[*series.notes, *record.problems],
        figures=key_figures(summary),
        tables=tables,
        command=shlex.join(record.command),
        environment=_environment(record),
        scenario=json.dumps(record.scenario, indent=2, ensure_ascii=False),
        css=stylesheet(environment),
        script=Markup(environment.get_template("sort.js").render()),  # noqa: S704 - ours alone
    )


def templates() -> Environment:
    """The pages' templates, with everything that goes into them escaped."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["glue"] = quantities.glue
    return environment


def stylesheet(environment: Environment) -> Markup:
    """The style of all pages, light and dark."""
    css = environment.get_template("page.css.j2").render(
        {name: (light, palette.DARK[light]) for name, light in _COLOURS.items()}, twins=sorted(palette.DARK.items())
    )
    return Markup(css)  # noqa: S704 - made of our own colours


_SECTIONS = [
    ("thresholds", "Thresholds"),
    ("findings", "What happened"),
    ("figures", "Key figures"),
    ("charts", "Charts"),
]
_AUDIT = "audit"
_COLOURS = {
    "paper": palette.PAPER,
    "ink": palette.INK,
    "muted": palette.MUTED,
    "rule": palette.RULE,
    "shade": palette.SHADE,
    "good": palette.GOOD,
    "bad": palette.BAD,
    "unsure": palette.UNSURE,
    "link": palette.BLUE,
}


def _embedded(chart: DrawnChart) -> dict[str, str]:
    drawing = svg.inline(chart.svg, chart.name, chart.finding)
    return {
        "name": chart.name,
        "title": chart.title,
        "question": chart.question,
        "finding": chart.finding,
        "svg": Markup(drawing),  # noqa: S704 - matplotlib escapes the texts that it draws
    }


def _sections(audit: Audit | None) -> list[tuple[str, str]]:
    return [*_SECTIONS[:1], *([(_AUDIT, nothing_lost.TITLE)] if audit else []), *_SECTIONS[1:]]


def _audit_tables(audit: Audit | None) -> list[Table]:
    """Every category with its number, and the first unsafe pages; nothing for a run that was not audited."""
    if audit is None:
        return []
    said = f"{nothing_lost.safety_sentence(audit)} {nothing_lost.liveness_sentence(audit)}"
    rows = [
        [Cell(name), Cell(quantity(number, ""), -1.0 if number is None else number), Cell(against), Cell(means)]
        for name, number, against, means in nothing_lost.category_rows(audit)
    ]
    tables = [Table(_AUDIT, nothing_lost.TITLE, nothing_lost.HEADERS, rows, said)]
    unsafe, more = nothing_lost.unsafe_rows(audit, each=25)
    if unsafe:
        cells = [[Cell(text) for text in row] for row in unsafe]
        tables.append(Table("unsafe", "Pages that are not safe", nothing_lost.UNSAFE_HEADERS, cells, more))
    return tables


def _thresholds(verdict: Verdict | None) -> list[dict[str, str]]:
    if verdict is None:
        return []
    judged = verdict.verdict != "invalid"
    rows = []
    for threshold in verdict.thresholds:
        result, tone = ("held", "good") if threshold.passed else ("breached", "bad")
        rows.append(
            {
                "assertion": threshold.assertion,
                "result": result if judged else "not judged",
                "tone": tone if judged else "unsure",
                "observed": quantity(threshold.observed, threshold.unit),
                "limit": quantity(threshold.limit, threshold.unit),
                "by": by_how_much(threshold),
            }
        )
    return rows


def _when(record: RunRecord, summary: Summary) -> str:
    parts = [f"Run {record.id}"]
    if record.t0_epoch is not None:
        parts.append(f"{datetime.fromtimestamp(record.t0_epoch, UTC):%d %B %Y, %H:%M:%S} UTC")
    how = record.ended.how if record.ended else ""
    ending = ENDINGS.get(how, "it was broken off")
    if how == "completed" and summary.pages.delivered < summary.pages.planned:
        ending = "nothing was left to try"
    parts.append(f"it ended after {quantities.seconds(summary.duration_s)}: {ending}")
    if record.ended and record.ended.message:
        parts.append(record.ended.message)
    return "; ".join(parts)


def _phases(summary: Summary) -> Table:
    rows = [
        [
            Cell(phase.name),
            Cell(f"{quantities.seconds(phase.start_s)} to {quantities.seconds(phase.end_s)}", phase.start_s),
            _count(phase.attempts),
            _count(sum(failed(phase.by_outcome).values())),
            Cell(quantity(phase.offered_per_s, "per_s"), phase.offered_per_s or 0.0),
            Cell(quantity(phase.goodput_per_s, "per_s"), phase.goodput_per_s or 0.0),
            Cell(quantities.percentile(phase.response_seconds, "p50"), phase.response_seconds.p50 or 0.0),
            Cell(quantities.percentile(phase.response_seconds, "p95"), phase.response_seconds.p95 or 0.0),
        ]
        for phase in summary.phases
    ]
    headers = ["Phase", "From, to", "Attempts", "Failed", "Offered", "Goodput", "Response p50", "p95"]
    return Table("phases", "Phases and faults", headers, rows)


def _kelurahan(summary: Summary) -> Table:
    rows = []
    for place in summary.kelurahan:
        ratio = place.completed_by_deadline / place.stations if place.stations else 0.0
        share = Cell(quantities.share(ratio) if place.stations else quantities.MISSING, ratio)
        counts = _count(place.stations), _count(place.completed_by_deadline)
        rows.append([Cell(quantities.place(place.name)), Cell(place.code), *counts, share])
    rows.sort(key=lambda row: row[-1].key or 0.0)
    headers = ["Kelurahan", "Code", "Stations", "Complete by the deadline", "Share"]
    return Table("kelurahan", "Kelurahan", headers, rows)


def _worst(series: Series, summary: Summary) -> Table:
    rows = []
    for station in series.worst:
        took_s = float("inf") if station.completed_s is None else station.completed_s - station.due_s
        rows.append(
            [
                Cell(station.code),
                Cell(quantities.place(station.kelurahan)),
                Cell(quantities.seconds(station.due_s), station.due_s),
                Cell(f"{count(station.delivered)} of {count(station.pages)}", station.delivered),
                _count(station.attempts),
                Cell(quantity(took_s, "s"), min(took_s, NEVER_S)),
            ]
        )
    headers = ["Station", "Kelurahan", "Turned up at", "Pages delivered", "Attempts", "Took"]
    shown = sum(station.completed_s is None for station in series.worst)
    missed = max(summary.stations.due - summary.stations.completed, shown)
    if not shown:
        return Table("stations", "Slowest stations", headers, rows)
    title = "Undelivered stations" if shown == len(rows) else "Undelivered and slowest stations"
    note = (
        f"{count(shown)} of {count(missed)} stations that turned up and were never complete." if missed > shown else ""
    )
    return Table("stations", title, headers, rows, note)


def _count(number: int) -> Cell:
    return Cell(count(number), number)


def _environment(record: RunRecord) -> list[tuple[str, str]]:
    """What the run ran on and against."""
    own = "the harness's own mock server" if record.own_server else "a server from outside"
    pairs = [
        ("Target", f"{record.target} ({own})"),
        ("Seed", str(record.seed)),
        ("Workers", count(len(record.workers))),
        ("Client's timeout", quantities.seconds(record.client_timeout_s)),
    ]
    pairs += [(f"Version of {name}", version) for name, version in record.versions.items()]
    return pairs + [(f"Host: {name}", _host(name, value)) for name, value in record.host.items()]


def _host(name: str, value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and name.endswith("_bytes"):
        return quantities.size(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
