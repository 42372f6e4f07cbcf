"""summary.md for people in a hurry, and metrics.txt for GitLab."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from harness.analysis.summary import Summary
from harness.judge.results import Audit, Verdict
from reports import audit as nothing_lost
from reports import number_format
from reports.key_figures import by_how_much, headline, key_figures, meaning, window_of

MARKS = {"PASS": "✅", "FAIL": "❌", "INVALID": "⚠️", "NOT JUDGED": "⚠️"}
LABELLED = {
    "by_outcome": "outcome",
    "gave_up_by_reason": "reason",
    "shed_by_reason": "reason",
    "faults_injected": "fault",
}
"""Keys whose children are values of a label, not names."""


def markdown(summary: Summary, verdict: Verdict | None, findings: Sequence[str], audit: Audit | None = None) -> str:
    """The verdict, the audit, every threshold, what happened and the key figures, as GitHub and GitLab show it."""
    word = headline(verdict)
    lines = [f"## {MARKS[word]} {word}: {escaped(summary.name)}", "", meaning(verdict), ""]
    if verdict and verdict.validity.reasons:
        lines += [*(f"- {escaped(reason)}" for reason in verdict.validity.reasons), ""]
    if verdict and verdict.thresholds:
        lines += table_of(
            ["", "threshold", "observed", "limit", "window", "by how much"],
            [
                [
                    "not judged" if word == "INVALID" else "held" if threshold.passed else "**breached**",
                    escaped(threshold.assertion),
                    number_format.quantity(threshold.observed, threshold.unit),
                    number_format.quantity(threshold.limit, threshold.unit),
                    window_of(threshold),
                    escaped(by_how_much(threshold)),
                ]
                for threshold in verdict.thresholds
            ],
        )
    lines += _audited(audit) if audit else []
    lines += ["### What happened", "", *(f"- {escaped(finding)}" for finding in findings), ""]
    figures = [[figure.name, figure.value, escaped(figure.note)] for figure in key_figures(summary)]
    lines += [
        "### Key figures",
        "",
        *table_of(["figure", "value", ""], [[escaped(row[0]), *row[1:]] for row in figures]),
    ]
    lines.append(f"Run `{escaped(summary.run)}`, seed {summary.seed}, ended: {escaped(summary.ended)}.")
    return "\n".join(lines) + "\n"


def _audited(audit: Audit) -> list[str]:
    """The two verdicts, every category that occurred, and the first unsafe pages."""
    said = f"{nothing_lost.safety_sentence(audit)} {nothing_lost.liveness_sentence(audit)}"
    rows = [
        [escaped(name), number_format.count(number), against, escaped(means)]
        for name, number, against, means in nothing_lost.category_rows(audit)
        if number
    ]
    lines = [
        f"### {nothing_lost.TITLE}",
        "",
        escaped(said),
        "",
        *table_of([h.lower() for h in nothing_lost.HEADERS], rows),
    ]
    unsafe, more = nothing_lost.unsafe_rows(audit)
    if unsafe:
        headers = [header.lower() for header in nothing_lost.UNSAFE_HEADERS]
        lines += table_of(headers, [[escaped(cell) for cell in row] for row in unsafe])
    return [*lines, escaped(more), ""] if more else lines


def metrics(summary: Summary, verdict: Verdict | None) -> str:
    """Every figure as a line `name{label="…"} value`, dotted keys joined by "_"; what does not exist is left out.

    The verdict is a line for each word it can be, 1 for the one that it is; of an invalid run no threshold is passed.
    """
    lines = [*_flat("", summary.model_dump()), *_judged(verdict)]
    return "".join(f"{name} {value}\n" for name, value in lines) + "# EOF\n"


def _judged(verdict: Verdict | None) -> Iterator[tuple[str, str]]:
    word = verdict.verdict if verdict else "not judged"
    for one in ("pass", "fail", "invalid", "not judged"):
        yield f'verdict{{verdict="{one}"}}', str(int(one == word))
    for threshold in verdict.thresholds if verdict else []:
        label = f'{{assert="{_escape(threshold.assertion)}"}}'
        if threshold.observed is not None:
            yield f"threshold_observed{label}", _number(threshold.observed)
        yield f"threshold_limit{label}", _number(threshold.limit)
        if word != "invalid":
            yield f"threshold_passed{label}", _number(threshold.passed)


def _flat(prefix: str, content: dict[str, Any], labels: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        name = re.sub(r"[^a-zA-Z0-9_]", "_", f"{prefix}_{key}" if prefix else key)
        if isinstance(value, dict) and key in LABELLED:
            for label, figure in value.items():
                pair = f'{LABELLED[key]}="{_escape(str(label))}"'
                if isinstance(figure, dict):
                    yield from _flat(name, figure, f"{labels},{pair}".strip(","))
                else:
                    yield f"{name}{{{f'{labels},{pair}'.strip(',')}}}", _number(figure)
        elif isinstance(value, dict):
            yield from _flat(name, value, labels)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                which = item.get("fault") or item.get("code") or f"{number}-{item.get('name')}"
                yield from _flat(name, item, f'{labels},{key}="{_escape(str(which))}"'.strip(","))
        elif isinstance(value, int | float):
            yield f"{name}{{{labels}}}" if labels else name, _number(value)


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, bool) else repr(value)


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def table_of(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, and an empty one. The cells must be escaped."""
    lines = [headers, ["---"] * len(headers), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def escaped(text: str) -> str:
    """Text from outside without any meaning in Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))
