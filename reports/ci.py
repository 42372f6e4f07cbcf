"""Files and output for CI: junit.xml, and for GitHub Actions the job summary and annotations."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.analysis.summary import Summary
from harness.judge.results import Audit, ThresholdResult, Verdict
from reports import audit as audit_text
from reports.key_figures import SIMULATED, describe_verdict, format_window, verdict_label_with_mark
from reports.number_format import format_quantity

VALIDITY = "the measurement is valid"
ANSWERS = "the server answers to the end"
SAFETY = "nothing that was acknowledged is lost"
MAX_SUMMARY_BYTES = 1_000_000
"""GitHub discards a step's summary as a whole if it is larger than 1 MiB, with what earlier commands of the step wrote to it."""
_CUT = "\n\n(cut: GitHub shows at most 1 MiB per step; the whole text is in the run folder's summary.md)\n"
_NOT_IN_XML = re.compile("[^\t\n -~\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(summary: Summary, verdict: Verdict | None, audit: Audit | None = None) -> str:
    """The text of junit.xml: one testcase per threshold, and one each for validity, safety and a server that went silent.

    A breach is a failure; an invalid run and one without a verdict are errors, and their thresholds are skipped, never
    passed. The text of a failure has the observed value, the limit and the window in which it was observed.
    """
    suites = Element("testsuites", name="harness")
    is_simulated = verdict is not None and verdict.simulated
    suite_name = f"harness.{summary.name}{f' ({SIMULATED})' if is_simulated else ''}"
    suite = SubElement(suites, "testsuite", name=_clean(suite_name), time=f"{summary.duration_s:.3f}")
    properties = SubElement(suite, "properties")
    facts = [("run", summary.run), ("seed", str(summary.seed)), ("ended", summary.ended)]
    for name, value in [*facts, ("simulated", "true")] if is_simulated else facts:
        SubElement(properties, "property", name=name, value=_clean(value))
    validity = add_testcase(suite, summary.name, VALIDITY)
    if verdict is None:
        add_result(validity, "error", "the run was not judged", "It stopped before its verdict.")
        return serialise_suites(suites, suite)
    if not verdict.validity.valid:
        reasons = verdict.validity.reasons or ["no reason was given"]
        add_result(validity, "error", f"INVALID: {reasons[0]}", "\n".join(reasons))
    if audit is not None:
        # where the scenario accepts unknown safety, the judge calls the run valid although the audit says "unknown"
        _add_safety(add_testcase(suite, summary.name, SAFETY), audit, is_accepted=verdict.validity.valid)
    if verdict.gone:
        add_result(add_testcase(suite, summary.name, ANSWERS), "failure", verdict.gone, "")
    for threshold in verdict.thresholds:
        case = add_testcase(suite, summary.name, threshold.assertion)
        _add_threshold(case, threshold)
    return serialise_suites(suites, suite)


def add_testcase(suite: Element, class_name: str, name: str) -> Element:
    """Add a testcase that passes unless a result is added to it."""
    return SubElement(suite, "testcase", classname=_clean(class_name), name=_clean(name), time="0")


def add_result(case: Element, kind: str, message: str, text: str) -> None:
    """Turn a testcase into a "failure", an "error" or a "skipped" one."""
    element = SubElement(case, kind, message=_clean(message))
    if kind != "skipped":
        element.set("type", "invalid" if kind == "error" else "breach")
        element.text = _clean(text)


def serialise_suites(suites: Element, suite: Element) -> str:
    """The XML file of one suite, with its numbers of tests, failures, errors and skipped tests filled in."""
    for kind, name in (("testcase", "tests"), ("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        number = str(len(suite.findall(f".//{kind}")))
        suite.set(name, number)
        suites.set(name, number)  # some readers look only at the root element
    indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suites, encoding="unicode") + "\n"


def publish_run(
    summary: str, name: str, verdict: Verdict, audit: Audit | None, environment: Mapping[str, str] = os.environ
) -> list[str]:
    """Append `summary` (Markdown) to the GitHub job summary if there is one; return the annotations to print.

    Outside of GitHub Actions there are no annotations.
    """
    append_job_summary(summary, environment)
    return run_annotations(name, verdict, audit) if environment.get("GITHUB_ACTIONS") == "true" else []


def append_job_summary(summary: str, environment: Mapping[str, str]) -> None:
    """Append Markdown to the file named by GITHUB_STEP_SUMMARY, if any, cut so that it has at most `MAX_SUMMARY_BYTES` in all."""
    job = environment.get("GITHUB_STEP_SUMMARY")
    if not job:
        return
    with Path(job).open("ab") as file:
        room = MAX_SUMMARY_BYTES - file.tell()
        text = (summary + "\n").encode("utf-8", "replace")
        if len(text) > room:
            kept = text[: max(0, room - len(_CUT.encode()))]
            # at the end of a line: half a table row or an open code span would spoil what follows
            text = kept[: kept.rfind(b"\n") + 1] + _CUT.encode() if kept else b""
        file.write(text)


def run_annotations(name: str, verdict: Verdict, audit: Audit | None) -> list[str]:
    """Workflow commands: an error for each breach and for an unsafe server, a warning for INVALID, a notice for a pass.

    An invalid run has only its warning: its thresholds are neither passed nor breached.
    """
    label = verdict_label_with_mark(verdict)
    if verdict.verdict == "invalid":
        text = "\n".join([describe_verdict(verdict), *verdict.validity.reasons])
        return [workflow_command("warning", f"{label}: {name}", text)]
    if verdict.verdict == "pass":
        return [workflow_command("notice", f"{label}: {name}", describe_verdict(verdict))]
    texts = [audit_text.describe_safety(audit)] if verdict.safety is False and audit is not None else []
    texts += [verdict.gone] if verdict.gone else []
    breached = [threshold for threshold in verdict.thresholds if threshold.judged and not threshold.passed]
    texts += [_describe_breach(threshold) for threshold in breached]
    return [workflow_command("error", f"{label}: {name}", text) for text in texts]


def workflow_command(kind: str, title: str, text: str) -> str:
    """A workflow command: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    # property values need ":" and "," escaped as well, or GitHub would read them as separators
    return f"::{kind} title={_escape(title).replace(':', '%3A').replace(',', '%2C')}::{_escape(text)}"


def _add_safety(case: Element, audit: Audit, *, is_accepted: bool) -> None:
    """Unknown safety is an error, never a pass; if the scenario accepts it, the testcase is skipped."""
    sentence = audit_text.describe_safety(audit)
    if audit.safety is False:
        rows, more = audit_text.unsafe_rows(audit)
        headers = [header.lower() for header in audit_text.UNSAFE_HEADERS]
        lines = [", ".join(f"{header}: {cell}" for header, cell in zip(headers, row, strict=True)) for row in rows]
        add_result(case, "failure", sentence, "\n".join([*lines, more]))
    elif audit.safety == "unknown":
        add_result(case, "skipped" if is_accepted else "error", sentence, sentence)


def _add_threshold(case: Element, threshold: ThresholdResult) -> None:
    observed = f"observed {format_quantity(threshold.observed, threshold.unit)}"
    limit = f"limit {format_quantity(threshold.limit, threshold.unit)}"
    if not threshold.judged:
        add_result(case, "skipped", f"not judged, the measurement is invalid; {observed}, {limit}", "")
    elif not threshold.passed:
        text = "\n".join([threshold.assertion, observed, limit, f"window {format_window(threshold)}", threshold.reason])
        add_result(case, "failure", f"{observed}, {limit}", text)


def _describe_breach(threshold: ThresholdResult) -> str:
    observed, limit = (format_quantity(value, threshold.unit) for value in (threshold.observed, threshold.limit))
    values = f"observed {observed}, limit {limit}, window {format_window(threshold)}"
    return f"{threshold.assertion}\n{values}\n{threshold.reason}"


def _clean(text: str) -> str:
    r"""The text with U+FFFD for what XML 1.0 can't write, not even escaped (https://www.w3.org/TR/xml/#charsets).

    Those are most control characters, surrogates, U+FFFE and U+FFFF; C1 controls are allowed but discouraged, and some readers
    refuse them.

    >>> _clean("a\x00b\ud83dc\ufffe\x85d\U0001f600")
    'a\ufffdb\ufffdc\ufffd\ufffdd\U0001f600'
    """
    return _NOT_IN_XML.sub("\ufffd", text)


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
