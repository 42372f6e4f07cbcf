"""What a run says to GitHub Actions: the job's summary, and an annotation for everything that is not as it should be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness.judge.results import Audit, ThresholdResult, Verdict
from reports.audit import describe_safety
from reports.key_figures import describe_verdict, format_window
from reports.number_format import format_quantity

MAX_SUMMARY_BYTES = 1_000_000
"""GitHub drops a step's summary above 1 MiB, all of it."""


def publish_run(
    summary: str, name: str, verdict: Verdict, audit: Audit | None, environment: Mapping[str, str] = os.environ
) -> list[str]:
    """Add a summary (Markdown) to the job's, where there is one; the annotations to print, none outside of GitHub."""
    append_job_summary(summary, environment)
    return run_annotations(name, verdict, audit) if environment.get("GITHUB_ACTIONS") == "true" else []


def append_job_summary(summary: str, environment: Mapping[str, str]) -> None:
    """Add Markdown to the job's summary, where there is one; cut where GitHub would drop all of it."""
    job = environment.get("GITHUB_STEP_SUMMARY")
    if job:
        text = summary.encode()[:MAX_SUMMARY_BYTES].decode("utf-8", "ignore")
        with Path(job).open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def run_annotations(name: str, verdict: Verdict, audit: Audit | None) -> list[str]:
    """A line for each: an error for a breach and for a server that is not safe, a warning for INVALID, a notice for a pass.

    An invalid run's thresholds are neither passed nor breached, so nothing is said of them.
    """
    if verdict.verdict == "invalid":
        text = "\n".join([describe_verdict(verdict), *verdict.validity.reasons])
        return [workflow_command("warning", f"INVALID: {name}", text)]
    if verdict.verdict == "pass":
        return [workflow_command("notice", f"PASS: {name}", describe_verdict(verdict))]
    said = [describe_safety(audit)] if verdict.safety is False and audit is not None else []
    said += [verdict.gone] if verdict.gone else []
    said += [_describe_threshold(one) for one in verdict.thresholds if not one.passed]
    return [workflow_command("error", f"FAIL: {name}", text) for text in said]


def _describe_threshold(threshold: ThresholdResult) -> str:
    observed, limit = (format_quantity(value, threshold.unit) for value in (threshold.observed, threshold.limit))
    seen = f"observed {observed}, limit {limit}, window {format_window(threshold)}"
    return f"{threshold.assertion}\n{seen}\n{threshold.reason}"


def workflow_command(kind: str, title: str, text: str) -> str:
    """A workflow command: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    return f"::{kind} title={_escape(title).replace(':', '%3A').replace(',', '%2C')}::{_escape(text)}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
