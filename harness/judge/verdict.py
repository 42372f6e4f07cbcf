"""The verdict on one run, and the exit code that it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from harness.analysis.page_status import PageStatuses, load_page_statuses
from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import BROKEN_OFF, compute_summary
from harness.analysis.summary import Silence, Summary
from harness.base.errors import ExitCode, RunFolderError
from harness.base.model import TIMED_OUT, MalformedReason, Outcome
from harness.base.safe_files import load_json, write_json
from harness.judge.audit import audit_run
from harness.judge.results import Audit, ThresholdResult, Validity, Verdict
from harness.judge.thresholds.condition import parse_condition
from harness.judge.thresholds.evaluate import check_assertions, evaluate_thresholds
from harness.judge.thresholds.units import format_value
from harness.judge.validity import check_validity
from harness.run_folder.layout import STOPPED_BY_SIGNAL, RunFolder, RunRecord

VerdictWord = Literal["pass", "fail", "invalid"]

SAFETY_UNKNOWN = "safety is unknown"
"""How a reason begins that is about the server's safety, not about the measurement."""
_MAX_NAMED = 3


class Judgement(NamedTuple):
    """A verdict with everything that it rests on, so that a report need not read a long run twice."""

    summary: Summary
    audit: Audit
    verdict: Verdict
    run_data: RunData
    statuses: PageStatuses


def judge_run(folder: RunFolder, assertions: Sequence[str]) -> Judgement:
    """Judge a run from its folder alone; writes summary.json, audit.json and verdict.json.

    Raises ConfigurationError for invalid assertions, RunFolderError if run.json or plan.parquet is missing.
    """
    judgement = evaluate_run(folder, assertions)
    write_json(folder.summary, judgement.summary.model_dump(mode="json"))
    write_json(folder.audit, judgement.audit.model_dump(mode="json"))
    write_json(folder.verdict, judgement.verdict.model_dump(mode="json", by_alias=True))
    return judgement


def evaluate_run(folder: RunFolder, assertions: Sequence[str]) -> Judgement:
    """As `judge_run`, but leaves the folder's own summary, audit and verdict as they are."""
    check_assertions(assertions)
    rows = load_rows(folder)
    statuses, run_data = load_page_statuses(folder, rows), RunData(folder, rows)
    summary, audit = compute_summary(folder, rows, statuses, run_data), audit_run(folder, rows, statuses)
    return Judgement(summary, audit, compute_verdict(summary, audit, run_data, assertions), run_data, statuses)


def compute_verdict(summary: Summary, audit: Audit, run_data: RunData, assertions: Sequence[str]) -> Verdict:
    """The verdict from figures that have been computed already; writes nothing."""
    record = run_data.record
    thresholds = evaluate_thresholds(assertions, summary, run_data)
    validity = check_validity(summary, record, run_data, thresholds)
    silence = describe_silence(summary, record)
    word = _word(audit, validity, thresholds, silence)
    # Unknown safety keeps a run from passing, and does not hide a breach.
    if word != "fail" and (doubts := _safety_doubts(audit, record)):
        word, validity = "invalid", Validity(valid=False, reasons=[*validity.reasons, *doubts])
    if not validity.valid:
        thresholds = [_not_judged(threshold) for threshold in thresholds]
    return Verdict(
        verdict=word,
        exit_code=exit_code(word, audit, record),
        ended=BROKEN_OFF if record.ended is None else record.ended.how,
        simulated=record.simulated,
        safety=audit.safety,
        liveness=audit.liveness,
        validity=validity,
        gone=silence,
        thresholds=thresholds,
    )


def load_verdict(folder: RunFolder) -> Verdict:
    """The content of verdict.json. Raises RunFolderError if it is missing or not a valid verdict."""
    found = load_json(folder.verdict, Verdict)
    if found is None:
        message = f"{folder.path} has no verdict.json yet"
        raise RunFolderError(message)
    return found


def exit_code(word: VerdictWord, audit: Audit, record: RunRecord) -> ExitCode:
    """The exit code of a run.

    If several apply, the first of these decides: a bug (1), an unsafe server (99), stopped by a signal (129, 130, 143), an
    invalid measurement (3), a breached threshold or a silent server (99). A process that crashed is a bug in the harness; one
    that was killed, and a lost worker, make the run invalid.
    """
    how = None if record.ended is None else record.ended.how
    if how == "crashed" and not any(worker.lost for worker in record.workers):
        return ExitCode.BUG
    if audit.safety is False:
        return ExitCode.FAILED  # before the signal: cancelling a job must not hide that the server lost a page
    if how in STOPPED_BY_SIGNAL:
        return STOPPED_BY_SIGNAL[how]
    return {"invalid": ExitCode.INVALID, "fail": ExitCode.FAILED, "pass": ExitCode.PASSED}[word]


def audit_exit_code(audit: Audit) -> ExitCode:
    """The exit code of an audit alone."""
    if audit.safety is True:
        return ExitCode.PASSED
    return ExitCode.FAILED if audit.safety is False else ExitCode.INVALID


def describe_silence(summary: Summary, record: RunRecord) -> str:
    """Since when the server has given no usable answer, as a sentence; empty if it has, or a fault explains it.

    A fault of the scenario explains it if it was still active at the last unanswered attempt. Only refused and broken
    connections show that the server is gone; where the clients' patience ended, it may be busy with what nobody waits for;
    and one whose answers are malformed does answer: then their statuses are named.
    """
    silence = summary.silence
    if silence is None or any(
        fault.start_s <= silence.until_s and (fault.end_s is None or fault.end_s >= silence.until_s)
        for fault in record.faults
    ):
        return ""
    listed = _list_counts(silence.by_outcome)
    who = "the mock server" if record.own_server else "the target"
    if silence.by_status or Outcome.MALFORMED in silence.by_outcome:
        never = "has never given a usable answer"
        since = never if silence.since_s is None else f"has given no usable answer since t = {silence.since_s:,.1f} s"
        what = "; ".join([listed, *_describe_statuses(silence, summary, record)])
        return f"{who} {since}; last attempt at {silence.until_s:,.1f} s ({what})"
    timed_out = sum(silence.by_outcome.get(outcome, 0) for outcome in TIMED_OUT)
    if 2 * timed_out > silence.attempts:
        within = f"answered within the clients' {format_value(record.client_timeout_s, 's')}"
        when = (
            f"no upload was ever {within}"
            if silence.since_s is None
            else f"no upload was {within} after {silence.since_s:,.1f} s"
        )
        return f"{when}; last unanswered attempt at {silence.until_s:,.1f} s ({listed})"
    if silence.since_s is None:
        return f"{who} has never answered; last unanswered attempt at {silence.until_s:,.1f} s ({listed})"
    since = f"{who} has not answered since t = {silence.since_s:,.1f} s"
    return f"{since}; last unanswered attempt at {silence.until_s:,.1f} s ({listed})"


def _describe_statuses(silence: Silence, summary: Summary, record: RunRecord) -> list[str]:
    """Clauses on the statuses of unusable answers: those that the target's description does not list, and the others."""
    unlisted = {
        failure.status
        for failure in summary.attempts.failures
        if failure.reason == MalformedReason.STATUS and not record.own_server
    }
    groups = [
        ({status: count for status, count in silence.by_status.items() if (status in unlisted) is is_unlisted}, suffix)
        for is_unlisted, suffix in ((True, ", which no key of [target.statuses] lists"), (False, ""))
    ]
    return [f"status {_list_counts(counts)}{suffix}" for counts, suffix in groups if counts]


def _list_counts(counts: Mapping[str, int] | Mapping[int, int]) -> str:
    """The most frequent kinds, each with how often it came."""
    named = [f"{name} \u00d7 {count:,}" for name, count in counts.items()]
    more = len(named) - _MAX_NAMED
    return ", ".join(named[:_MAX_NAMED]) + (f" and {more} more kinds" if more > 0 else "")


def _word(audit: Audit, validity: Validity, thresholds: Sequence[ThresholdResult], silence: str) -> VerdictWord:
    """The verdict; the gates on safety and on a silent server are always on, so no thresholds can pass such a run."""
    if audit.safety is False:
        return "fail"  # whatever the generator did: a server that loses what it acknowledged is at fault
    if not validity.valid:
        return "invalid"
    if silence or any(_is_breached(threshold, audit) for threshold in thresholds):
        return "fail"
    return "pass"


def _is_breached(threshold: ThresholdResult, audit: Audit) -> bool:
    """Whether a threshold fails the run, given a valid measurement: no data is a breach, too.

    But where the store could not be read, the audit's own figures are unknown, and that is for unknown safety to tell.
    """
    unread = audit.safety == "unknown" and threshold.observed is None
    return not threshold.passed and not (unread and parse_condition(threshold.assertion).metric.startswith("audit."))


def _not_judged(threshold: ThresholdResult) -> ThresholdResult:
    """The same threshold without a result: figures that can't be trusted neither meet nor breach it."""
    missing = f": {threshold.reason}" if threshold.observed is None and threshold.reason else ""
    reason = f"not judged, the measurement is invalid{missing}"
    return threshold.model_copy(update={"passed": False, "judged": False, "reason": reason})


def _safety_doubts(audit: Audit, record: RunRecord) -> list[str]:
    """Why a run that would pass doesn't: its safety is unknown. Empty if this server's store can't be read and the scenario accepts that.

    Unknown safety only keeps a run from passing. A server that refuses everything or is down has acknowledged nothing, so
    nothing is known of its safety, and yet it is the clearest failure there is.
    """
    accepted = (
        audit.sets.acknowledged and audit.sets.held is None and record.stock is not None and record.stock.accepted
    )
    if audit.safety != "unknown" or accepted:
        return []
    return [f"{SAFETY_UNKNOWN}: {doubt}" for doubt in audit.doubts]
