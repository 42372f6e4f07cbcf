"""What a run says to GitHub Actions: the job's summary, and an annotation for everything that is not as it should be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness.judge.results import ThresholdResult, Verdict
from harness.runfolder import RunFolder
from reports.keyfigures import meaning, window_of
from reports.quantities import quantity

LARGEST_SUMMARY_BYTES = 1_000_000
"""GitHub drops a step's summary above 1 MiB, all of it."""


def announce(folder: RunFolder, name: str, verdict: Verdict, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Add summary.md to the job's summary, where there is one; the annotations to print, none outside of GitHub."""
    summary = environment.get("GITHUB_STEP_SUMMARY")
    if summary:
        text = folder.markdown.read_bytes()[:LARGEST_SUMMARY_BYTES].decode("utf-8", "ignore")
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    return annotated(name, verdict) if environment.get("GITHUB_ACTIONS") == "true" else []


def annotated(name: str, verdict: Verdict) -> list[str]:
    """A line for each: an error for a breach, a warning for an invalid measurement, a notice for a pass.

    An invalid run's thresholds are neither passed nor breached, so nothing is said of them.
    """
    if verdict.verdict == "invalid":
        text = "\n".join([meaning(verdict), *verdict.validity.reasons])
        return [_command("warning", f"INVALID: {name}", text)]
    if verdict.verdict == "pass":
        return [_command("notice", f"PASS: {name}", meaning(verdict))]
    return [_command("error", f"FAIL: {name}", _said(one)) for one in verdict.thresholds if not one.passed]


def _said(threshold: ThresholdResult) -> str:
    observed, limit = (quantity(value, threshold.unit) for value in (threshold.observed, threshold.limit))
    seen = f"observed {observed}, limit {limit}, window {window_of(threshold)}"
    return f"{threshold.assertion}\n{seen}\n{threshold.reason}"


def _command(kind: str, title: str, text: str) -> str:
    """A workflow command: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    return f"::{kind} title={_escaped(title).replace(':', '%3A').replace(',', '%2C')}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
