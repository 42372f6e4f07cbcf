"""summary.md, a run on one page of Markdown, and metrics.txt, its figures in OpenMetrics for GitLab."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from harness.analysis.summary import Summary
from harness.judge.results import Audit, Verdict
from reports import audit as audit_text
from reports import number_format
from reports.failures_text import describe_endpoints
from reports.key_figures import (
    describe_margin,
    describe_verdict,
    format_window,
    list_key_figures,
    order_thresholds,
    verdict_label,
    verdict_label_with_mark,
)

MARKS = {"PASS": "✅", "FAIL": "❌", "INVALID": "⚠️", "NOT JUDGED": "⚠️"}
LABELLED = {
    "by_outcome": "outcome",
    "gave_up_by_reason": "reason",
    "shed_by_reason": "reason",
    "faults_injected": "fault",
}
"""Keys of summary.json whose children are values of a label, not parts of the metric's name."""


def summary_markdown(
    summary: Summary, verdict: Verdict | None, findings: Sequence[str], audit: Audit | None = None
) -> str:
    """The verdict, the audit, every threshold, what happened and the key figures, in the Markdown of GitHub and GitLab."""
    word = verdict_label(verdict)
    lines = [
        f"## {MARKS[word]} {verdict_label_with_mark(verdict)}: {escape_markdown(summary.name)}",
        "",
        describe_verdict(verdict),
        "",
    ]
    if verdict and verdict.validity.reasons:
        lines += [*(f"- {escape_markdown(reason)}" for reason in verdict.validity.reasons), ""]
    if verdict and verdict.thresholds:
        lines += markdown_table(
            ["", "threshold", "observed", "limit", "window", "by how much"],
            [
                [
                    # an invalid run must not show green thresholds
                    "not judged" if not threshold.judged else "held" if threshold.passed else "**breached**",
                    escape_markdown(threshold.assertion),
                    number_format.format_quantity(threshold.observed, threshold.unit),
                    number_format.format_quantity(threshold.limit, threshold.unit),
                    format_window(threshold),
                    escape_markdown(describe_margin(threshold)),
                ]
                for threshold in order_thresholds(verdict)
            ],
        )
    lines += _audit_section(audit) if audit else []
    lines += ["### What happened", "", *(f"- {escape_markdown(finding)}" for finding in findings), ""]
    figures = [[figure.name, figure.value, escape_markdown(figure.note)] for figure in list_key_figures(summary)]
    lines += [
        "### Key figures",
        "",
        *markdown_table(["figure", "value", ""], [[escape_markdown(row[0]), *row[1:]] for row in figures]),
    ]
    lines += [f"- {escape_markdown(line)}" for line in describe_endpoints(summary)]
    lines.append(f"Run `{escape_markdown(summary.run)}`, seed {summary.seed}, ended: {escape_markdown(summary.ended)}.")
    return "\n".join(lines) + "\n"


def _audit_section(audit: Audit) -> list[str]:
    """Safety and liveness, every category that occurred, and the first unsafe pages."""
    sentences = f"{audit_text.describe_safety(audit)} {audit_text.describe_liveness(audit)}"
    rows = [
        [escape_markdown(name), number_format.format_count(number), against, escape_markdown(means)]
        for name, number, against, means in audit_text.category_rows(audit)
        if number
    ]
    lines = [
        f"### {audit_text.TITLE}",
        "",
        escape_markdown(sentences),
        "",
        *markdown_table([h.lower() for h in audit_text.HEADERS], rows),
    ]
    unsafe, more = audit_text.unsafe_rows(audit)
    if unsafe:
        headers = [header.lower() for header in audit_text.UNSAFE_HEADERS]
        lines += markdown_table(headers, [[escape_markdown(cell) for cell in row] for row in unsafe])
    return [*lines, escape_markdown(more), ""] if more else lines


def metrics_text(summary: Summary, verdict: Verdict | None) -> str:
    """Every figure of the summary as a line `name{label="…"} value`; dotted keys are joined with "_".

    Figures that are null are left out: GitLab would show a 0 as a value. The verdict is one line per possible verdict, 1
    for the actual one. An invalid run has no `threshold_passed`, because its thresholds are neither passed nor breached.
    """
    lines = [*_flatten("", summary.model_dump()), *_verdict_metrics(verdict)]
    return "".join(f"{name} {value}\n" for name, value in lines) + "# EOF\n"


def _verdict_metrics(verdict: Verdict | None) -> Iterator[tuple[str, str]]:
    word = verdict.verdict if verdict else "not judged"
    for possible in ("pass", "fail", "invalid", "not judged"):
        yield f'verdict{{verdict="{possible}"}}', str(int(possible == word))
    for threshold in verdict.thresholds if verdict else []:
        label = f'{{assert="{_escape(threshold.assertion)}"}}'
        if threshold.observed is not None:
            yield f"threshold_observed{label}", _number(threshold.observed)
        yield f"threshold_limit{label}", _number(threshold.limit)
        if threshold.judged:
            yield f"threshold_passed{label}", _number(threshold.passed)


def _flatten(prefix: str, content: dict[str, Any], labels: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        # names of metrics allow nothing else
        name = re.sub(r"[^a-zA-Z0-9_]", "_", f"{prefix}_{key}" if prefix else key)
        if isinstance(value, dict) and key in LABELLED:
            for label, figure in value.items():
                pair = f'{LABELLED[key]}="{_escape(str(label))}"'
                if isinstance(figure, dict):
                    yield from _flatten(name, figure, f"{labels},{pair}".strip(","))
                else:
                    yield f"{name}{{{f'{labels},{pair}'.strip(',')}}}", _number(figure)
        elif isinstance(value, dict):
            yield from _flatten(name, value, labels)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                # phases repeat ("clear" before and after a fault), so only faults and kelurahan have a name of their own
                which = item.get("fault") or item.get("code") or f"{number}-{item.get('name')}"
                yield from _flatten(name, item, f'{labels},{key}="{_escape(str(which))}"'.strip(","))
        # texts (name, run, ended) and nulls are left out
        elif isinstance(value, int | float):
            yield f"{name}{{{labels}}}" if labels else name, _number(value)


def _number(value: float) -> str:
    # bool is an int in Python: repr would print True
    return str(int(value)) if isinstance(value, bool) else repr(value)


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, and an empty one after it. The caller escapes the cells with `escape_markdown`."""
    lines = [headers, ["---"] * len(headers), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def escape_markdown(text: str) -> str:
    r"""Untrusted text on one line, with everything escaped that Markdown, HTML or GitHub's mathematics would interpret.

    Whitespace becomes single spaces, among it U+2028 and U+2029, which end a table row; other control characters U+FFFD.

    >>> print(escape_markdown("a|b $x$\u2028c"))
    a\|b \$x\$ c
    """
    line = "".join(it if it.isprintable() else "\ufffd" for it in " ".join(text.split()))
    return re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", line)
