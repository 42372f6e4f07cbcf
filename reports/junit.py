"""junit.xml: a testcase a threshold, one for validity, one for safety, one for a server that is gone, so that CI shows them in its own way."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.analysis.summary import Summary
from harness.judge.results import Audit, ThresholdResult, Verdict
from reports import audit as nothing_lost
from reports.key_figures import format_window
from reports.number_format import format_quantity

VALIDITY = "the measurement is valid"
ANSWERS = "the server answers to the end"
SAFETY = "nothing that was acknowledged is lost"


def junit_xml(summary: Summary, verdict: Verdict | None, audit: Audit | None = None) -> str:
    """The XML. A breach is a failure, an invalid or unjudged run an error; its thresholds are then skipped, not passed.

    A failure's text has what was observed, the limit, and the window in which it was.
    """
    suites = Element("testsuites", name="harness")
    suite = SubElement(
        suites, "testsuite", name=_strip_control_characters(f"harness.{summary.name}"), time=f"{summary.duration_s:.3f}"
    )
    properties = SubElement(suite, "properties")
    for name, value in (("run", summary.run), ("seed", str(summary.seed)), ("ended", summary.ended)):
        SubElement(properties, "property", name=name, value=_strip_control_characters(value))
    validity = SubElement(suite, "testcase", classname=_strip_control_characters(summary.name), name=VALIDITY, time="0")
    if verdict is None:
        add_result(validity, "error", "the run was not judged", "It was broken off before its verdict.")
    elif not verdict.validity.valid:
        reasons = verdict.validity.reasons or ["no reason was given"]
        add_result(validity, "error", f"INVALID: {reasons[0]}", "\n".join(reasons))
    if verdict is not None and audit is not None:
        safety = SubElement(suite, "testcase", classname=_strip_control_characters(summary.name), name=SAFETY, time="0")
        _add_safety(safety, audit, accepted=verdict.validity.valid)
    if verdict is not None and verdict.gone:
        add_result(
            SubElement(suite, "testcase", classname=_strip_control_characters(summary.name), name=ANSWERS, time="0"),
            "failure",
            verdict.gone,
            "",
        )
    for threshold in verdict.thresholds if verdict else []:
        case = SubElement(
            suite,
            "testcase",
            classname=_strip_control_characters(summary.name),
            name=_strip_control_characters(threshold.assertion),
            time="0",
        )
        _add_threshold(case, threshold, invalid=verdict is not None and verdict.verdict == "invalid")
    return serialise_suites(suites, suite)


def serialise_suites(suites: Element, suite: Element) -> str:
    """The file of a suite, with its numbers."""
    for kind, name in (("testcase", "tests"), ("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        number = str(len(suite.findall(f".//{kind}")))
        suite.set(name, number)
        suites.set(name, number)
    indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suites, encoding="unicode") + "\n"


def _add_safety(case: Element, audit: Audit, *, accepted: bool) -> None:
    """Unknown is an error, never a pass; where the scenario accepts it, the testcase is skipped."""
    sentence = nothing_lost.describe_safety(audit)
    if audit.safety is False:
        rows, more = nothing_lost.unsafe_rows(audit)
        lines = [
            ", ".join(
                f"{header.lower()}: {cell}" for header, cell in zip(nothing_lost.UNSAFE_HEADERS, row, strict=True)
            )
            for row in rows
        ]
        add_result(case, "failure", sentence, "\n".join([*lines, more]))
    elif audit.safety == "unknown":
        add_result(case, "skipped" if accepted else "error", sentence, sentence)


def _add_threshold(case: Element, threshold: ThresholdResult, *, invalid: bool) -> None:
    observed = f"observed {format_quantity(threshold.observed, threshold.unit)}"
    limit = f"limit {format_quantity(threshold.limit, threshold.unit)}"
    if invalid:
        add_result(case, "skipped", f"not judged, the measurement is invalid; {observed}, {limit}", "")
    elif not threshold.passed:
        text = "\n".join([threshold.assertion, observed, limit, f"window {format_window(threshold)}", threshold.reason])
        add_result(case, "failure", f"{observed}, {limit}", text)


def add_result(case: Element, kind: str, message: str, text: str) -> None:
    """Put a failure, an error or that it was skipped into a testcase."""
    element = SubElement(case, kind, message=_strip_control_characters(message))
    if kind != "skipped":
        element.set("type", "invalid" if kind == "error" else "breach")
        element.text = _strip_control_characters(text)


def _strip_control_characters(text: str) -> str:
    """Text without the control characters that XML 1.0 cannot hold."""
    return "".join(character for character in text if character in "\t\n" or ord(character) >= 32)
