"""junit.xml: a testcase a threshold, one for validity, one for safety, one for a server that is gone, so that CI shows them in its own way."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.analysis.summary import Summary
from harness.judge.results import Audit, ThresholdResult, Verdict
from reports import audit as nothing_lost
from reports.key_figures import window_of
from reports.number_format import quantity

VALIDITY = "the measurement is valid"
ANSWERS = "the server answers to the end"
SAFETY = "nothing that was acknowledged is lost"


def junit(summary: Summary, verdict: Verdict | None, audit: Audit | None = None) -> str:
    """The XML. A breach is a failure, an invalid or unjudged run an error; its thresholds are then skipped, not passed.

    A failure's text has what was observed, the limit, and the window in which it was.
    """
    suites = Element("testsuites", name="harness")
    suite = SubElement(suites, "testsuite", name=_clean(f"harness.{summary.name}"), time=f"{summary.duration_s:.3f}")
    properties = SubElement(suite, "properties")
    for name, value in (("run", summary.run), ("seed", str(summary.seed)), ("ended", summary.ended)):
        SubElement(properties, "property", name=name, value=_clean(value))
    validity = SubElement(suite, "testcase", classname=_clean(summary.name), name=VALIDITY, time="0")
    if verdict is None:
        say(validity, "error", "the run was not judged", "It was broken off before its verdict.")
    elif not verdict.validity.valid:
        reasons = verdict.validity.reasons or ["no reason was given"]
        say(validity, "error", f"INVALID: {reasons[0]}", "\n".join(reasons))
    if verdict is not None and audit is not None:
        safety = SubElement(suite, "testcase", classname=_clean(summary.name), name=SAFETY, time="0")
        _judge_safety(safety, audit, accepted=verdict.validity.valid)
    if verdict is not None and verdict.gone:
        say(
            SubElement(suite, "testcase", classname=_clean(summary.name), name=ANSWERS, time="0"),
            "failure",
            verdict.gone,
            "",
        )
    for threshold in verdict.thresholds if verdict else []:
        case = SubElement(suite, "testcase", classname=_clean(summary.name), name=_clean(threshold.assertion), time="0")
        _judge(case, threshold, invalid=verdict is not None and verdict.verdict == "invalid")
    return written(suites, suite)


def written(suites: Element, suite: Element) -> str:
    """The file of a suite, with its numbers."""
    for kind, name in (("testcase", "tests"), ("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        number = str(len(suite.findall(f".//{kind}")))
        suite.set(name, number)
        suites.set(name, number)
    indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suites, encoding="unicode") + "\n"


def _judge_safety(case: Element, audit: Audit, *, accepted: bool) -> None:
    """Unknown is an error, never a pass; where the scenario accepts it, the testcase is skipped."""
    sentence = nothing_lost.safety_sentence(audit)
    if audit.safety is False:
        rows, more = nothing_lost.unsafe_rows(audit)
        lines = [
            ", ".join(
                f"{header.lower()}: {cell}" for header, cell in zip(nothing_lost.UNSAFE_HEADERS, row, strict=True)
            )
            for row in rows
        ]
        say(case, "failure", sentence, "\n".join([*lines, more]))
    elif audit.safety == "unknown":
        say(case, "skipped" if accepted else "error", sentence, sentence)


def _judge(case: Element, threshold: ThresholdResult, *, invalid: bool) -> None:
    observed = f"observed {quantity(threshold.observed, threshold.unit)}"
    limit = f"limit {quantity(threshold.limit, threshold.unit)}"
    if invalid:
        say(case, "skipped", f"not judged, the measurement is invalid; {observed}, {limit}", "")
    elif not threshold.passed:
        text = "\n".join([threshold.assertion, observed, limit, f"window {window_of(threshold)}", threshold.reason])
        say(case, "failure", f"{observed}, {limit}", text)


def say(case: Element, kind: str, message: str, text: str) -> None:
    """Put a failure, an error or that it was skipped into a testcase."""
    element = SubElement(case, kind, message=_clean(message))
    if kind != "skipped":
        element.set("type", "invalid" if kind == "error" else "breach")
        element.text = _clean(text)


def _clean(text: str) -> str:
    """Text without the control characters that XML 1.0 cannot hold."""
    return "".join(character for character in text if character in "\t\n" or ord(character) >= 32)
