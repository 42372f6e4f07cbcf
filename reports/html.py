"""report/index.html, one self-contained file: first whether the run passed, then why, then everything else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.analysis.chart_types import ChartData
from harness.analysis.summary import Summary
from harness.judge.compare.results import Comparison
from harness.judge.remedy import Remedy, first_remedy
from harness.judge.results import Audit, Verdict
from harness.run_folder.layout import RunRecord, WorkerRecord
from reports import audit as audit_text
from reports import number_format, palette, svg
from reports.commands import remedy_command, rerun_command
from reports.failures_text import describe_endpoints
from reports.key_figures import (
    SIMULATED,
    describe_margin,
    describe_verdict,
    list_key_figures,
    order_thresholds,
    verdict_label,
)
from reports.number_format import format_count, format_quantity
from reports.tables import (
    PageTable,
    TableCell,
    failures_table,
    groups_table,
    kelurahan_table,
    phases_table,
    processes_table,
    recapitulation_table,
    steps_table,
    traces_table,
    unacknowledged_table,
    unusable_table,
    worst_stations_table,
)

TONES = {"PASS": ("good", "✓"), "FAIL": ("bad", "✗"), "INVALID": ("unsure", "?"), "NOT JUDGED": ("unsure", "?")}
END_REASON_TEXTS = {
    "completed": "every page was delivered",
    "deadline": "the deadline was reached",
    "interrupted": "it was interrupted",
    "terminated": "it was terminated",
    "hung_up": "its terminal was closed",
    "aborted": "a threshold could no longer hold",
    "crashed": "a process crashed",
    "killed": "a process was killed",
    "own_client": "a bug in the scenario's own client",
    "withdrawn": "the target withdrew its consent",
    "starved": "this machine ran out of a resource that the run needs",
}

COMPARISON_LINK = "<!-- not compared with a baseline -->"
"""Placeholder in a page for the link to a comparison: `harness compare` runs after the page was written."""


@dataclass(frozen=True, slots=True)
class DrawnChart:
    """A chart as the page needs it. `svg` and `narrow_svg` are the texts of SVG files, which the page embeds."""

    name: str
    title: str
    question: str
    finding: str
    svg: str
    narrow_svg: str
    values: str = ""


def render_page(
    record: RunRecord, summary: Summary, chart_data: ChartData, verdict: Verdict | None, charts: Sequence[DrawnChart],
    audit: Audit | None = None, predicted: Remedy | None = None,
) -> str:  # fmt: skip
    """The HTML of a run's page.

    `predicted` is what to try first with its predicted effect, if that is known. Everything that comes from the run is escaped (names, reasons, messages of the server); only charts, CSS and script go
    in as markup.
    """
    environment = template_environment()
    word = verdict_label(verdict)
    tone, mark = TONES[word]
    remedy = predicted or first_remedy(record, summary, verdict)
    tables = [
        phases_table(summary),
        failures_table(summary),
        unusable_table(summary),
        steps_table(summary),
        kelurahan_table(summary),
        groups_table(summary),
        recapitulation_table(summary),
        unacknowledged_table(chart_data),
        worst_stations_table(chart_data, summary),
        traces_table(chart_data),
        processes_table(chart_data, summary),
    ]
    # a run that stopped early may have no kelurahan and no processes; most scenarios have no recapitulation
    tables = [table for table in tables if table.rows]
    return environment.get_template("index.html.j2").render(
        record=record,
        headline=word,
        simulated=SIMULATED if record.simulated else "",
        tone=tone,
        mark=mark,
        meaning=describe_verdict(verdict),
        reasons=verdict.validity.reasons if verdict else [],
        when=_when(record, summary),
        sections=[
            *_sections(audit, remedy),
            *((table.anchor, table.title) for table in tables),
            ("again", "How to run it again"),
        ],
        thresholds=_thresholds(verdict),
        remedy=remedy,
        remedy_command=shlex.join(remedy_command(record, remedy)) if remedy else "",
        audit=_audit_tables(audit),
        charts=[_embedded(chart) for chart in charts],
        notes=[*chart_data.notes, *describe_endpoints(summary), *record.problems],
        figures=list_key_figures(summary),
        tables=tables,
        not_compared=Markup(COMPARISON_LINK),  # noqa: S704 - a constant
        command=shlex.join(rerun_command(record)),
        environment=_environment(record),
        scenario=json.dumps(record.scenario, indent=2, ensure_ascii=False),
        css=stylesheet(environment),
        script=Markup(environment.get_template("tables.js").render()) + chart_script(environment),  # noqa: S704 - a constant
    )


def link_comparison(page: Path, comparison: Comparison) -> None:
    """Replace the placeholder in a run's page with the verdict of its comparison and a link to it."""
    text = Markup('<p class="when">Compared with its baseline: <a href="comparison.html">{}</a>. {}.</p>').format(
        comparison.verdict.upper(), number_format.non_breaking(comparison.finding)
    )
    page.write_text(page.read_text("utf-8").replace(COMPARISON_LINK, text, 1), encoding="utf-8")


def template_environment() -> Environment:
    """The Jinja environment of the pages: it escapes every value and fails on undefined names."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        # a misspelt name in a template must fail in the tests, not leave a hole in a page
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["nbsp"] = number_format.non_breaking
    return environment


def chart_script(environment: Environment) -> Markup:
    """The script that lets readers point into charts, hide series, zoom, and take the values as a table."""
    return Markup("\n".join(environment.get_template(name).render() for name in ("numbers.js", "charts.js")))  # noqa: S704 - constants


def stylesheet(environment: Environment) -> Markup:
    """The CSS of all pages, for light and dark mode."""
    css = environment.get_template("page.css.j2").render(
        {name: (light, palette.DARK[light]) for name, light in _COLOURS.items()}, twins=sorted(palette.DARK.items())
    )
    return Markup(css)  # noqa: S704 - made of constant colours


_SECTIONS = [
    ("thresholds", "Thresholds"),
    ("findings", "What happened"),
    ("figures", "Key figures"),
    ("charts", "Charts"),
]
_AUDIT, _REMEDY = "audit", "remedy"
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
    return {
        "name": chart.name,
        "title": chart.title,
        "question": chart.question,
        "finding": chart.finding,
        "svg": svg.embed_drawings(chart.name, chart.finding, chart.svg, chart.narrow_svg, chart.values),
    }


def _sections(audit: Audit | None, remedy: Remedy | None) -> list[tuple[str, str]]:
    also = [(_REMEDY, "What to try first")] if remedy else []
    return [*_SECTIONS[:1], *also, *([(_AUDIT, audit_text.TITLE)] if audit else []), *_SECTIONS[1:]]


def _audit_tables(audit: Audit | None) -> list[PageTable]:
    """The table of all categories, and that of the first unsafe pages if there are any; none without an audit."""
    if audit is None:
        return []
    sentences = f"{audit_text.describe_safety(audit)} {audit_text.describe_liveness(audit)}"
    rows = [
        [
            TableCell(name),
            TableCell(format_quantity(number, ""), -1.0 if number is None else number),
            TableCell(against),
            TableCell(means),
        ]
        for name, number, against, means in audit_text.category_rows(audit)
    ]
    tables = [PageTable(_AUDIT, audit_text.TITLE, audit_text.HEADERS, rows, sentences)]
    # a page has room for more examples than a terminal
    unsafe, more = audit_text.unsafe_rows(audit, each=25)
    if unsafe:
        cells = [[TableCell(text) for text in row] for row in unsafe]
        tables.append(PageTable("unsafe", "Unsafe pages", audit_text.UNSAFE_HEADERS, cells, more))
    return tables


def _thresholds(verdict: Verdict | None) -> list[dict[str, str]]:
    if verdict is None:
        return []
    rows = []
    for threshold in order_thresholds(verdict):
        result, tone = ("held", "good") if threshold.passed else ("breached", "bad")
        rows.append(
            {
                "assertion": threshold.assertion,
                "result": result if threshold.judged else "not judged",
                "tone": tone if threshold.judged else "unsure",
                "observed": format_quantity(threshold.observed, threshold.unit),
                "limit": format_quantity(threshold.limit, threshold.unit),
                "by": describe_margin(threshold),
            }
        )
    return rows


def _when(record: RunRecord, summary: Summary) -> str:
    parts = [f"Run {record.id}"]
    if record.simulated:
        parts.append("simulated in virtual time: nothing was sent and nothing was measured")
    elif record.t0_epoch is not None:
        parts.append(f"{datetime.fromtimestamp(record.t0_epoch, UTC):%d %B %Y, %H:%M:%S} UTC")
    how = record.ended.how if record.ended else ""
    reason = END_REASON_TEXTS.get(how, "it stopped")
    if how == "completed" and summary.pages.delivered < summary.pages.planned:
        # the worker ends as soon as every page is delivered or given up
        reason = "nothing was left to try"
    parts.append(f"it ended after {number_format.format_duration(summary.duration_s)}: {reason}")
    if record.ended and record.ended.message:
        parts.append(record.ended.message)
    return "; ".join(parts)


def _environment(record: RunRecord) -> list[tuple[str, str]]:
    """Target, seed, workers, versions and host, as (name, value)."""
    kind = "the mock server" if record.own_server else "an external server"
    target = f"{kind}, simulated" if record.simulated else f"{record.target} ({kind})"
    pairs = [
        ("Target", target),
        ("Seed", str(record.seed)),
        ("Workers", format_count(len(record.workers))),
        ("Client timeout", number_format.format_duration(record.client_timeout_s)),
    ]
    pairs += _machines(record)
    pairs += [(f"Version of {name}", version) for name, version in record.versions.items()]
    return pairs + [(f"Host: {name}", _host(name, value)) for name, value in record.host.items()]


def _machines(record: RunRecord) -> list[tuple[str, str]]:
    """The remote machines of workers, with the offset and drift of their clocks."""
    hosts = dict.fromkeys(worker.host for worker in record.workers if worker.host)
    return [
        (f"Machine {host}", _machine([worker for worker in record.workers if worker.host == host])) for host in hosts
    ]


def _machine(workers: Sequence[WorkerRecord]) -> str:
    ranks = ", ".join(str(worker.rank) for worker in workers)
    # workers of one machine share its clock; the least certain comparison bounds the error
    worst = max(workers, key=lambda worker: worker.clock_uncertainty_s)
    drift_s = max((worker.clock_drift_s for worker in workers), key=abs)
    return (
        f"worker{'s' if len(workers) > 1 else ''} {ranks}; clock {1000 * worst.wall_offset_s:+.1f} ms from the leader's "
        f"(± {1000 * worst.clock_uncertainty_s:.1f} ms), drifted by {1000 * drift_s:+.1f} ms during the run"
    )


def _host(name: str, value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and name.endswith("_bytes"):
        return number_format.format_bytes(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
