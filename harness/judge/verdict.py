"""The verdict on one run, and the exit code that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import ValidationError

from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import BROKEN_OFF, compute_summary
from harness.analysis.summary import Summary
from harness.base.errors import ExitCode, RunFolderError
from harness.base.safe_files import explain_unreadable, read_bounded
from harness.judge.audit import audit_run
from harness.judge.results import Audit, ThresholdResult, Validity, Verdict
from harness.judge.silence import describe_silence
from harness.judge.thresholds.evaluate import check_assertions, evaluate_thresholds
from harness.judge.validity import check_validity
from harness.run_folder.layout import RunFolder, RunRecord, write_json

VerdictWord = Literal["pass", "fail", "invalid"]


def judge_verdict(folder: RunFolder, assertions: Sequence[str]) -> Verdict:
    """The verdict on a run, from its folder alone; writes summary.json, audit.json and verdict.json.

    Raises ConfigurationError for wrong assertions, BrokenRunError where run.json or plan.parquet is missing.
    """
    return judge_run(folder, assertions).verdict


def judge_run(folder: RunFolder, assertions: Sequence[str]) -> Judgement:
    """As `judge_verdict`: the judgement with all that it rests on, so that a report need not read a long run twice."""
    judged = evaluate_run(folder, assertions)
    write_json(folder.summary, judged.summary.model_dump(mode="json"))
    write_json(folder.audit, judged.audit.model_dump(mode="json"))
    write_json(folder.verdict, judged.verdict.model_dump(mode="json", by_alias=True))
    return judged


class Judgement(NamedTuple):
    """A judgement with everything that it rests on."""

    summary: Summary
    audit: Audit
    verdict: Verdict
    evidence: RunData


def evaluate_run(folder: RunFolder, assertions: Sequence[str]) -> Judgement:
    """As `judge_verdict`, without a trace in the folder's own judgement."""
    check_assertions(assertions)
    rows = load_rows(folder)
    fates, evidence = load_page_statuses(folder, rows), RunData(folder, rows)
    summary, audit = compute_summary(folder, rows, fates, evidence), audit_run(folder, rows, fates)
    return Judgement(summary, audit, compute_verdict(summary, audit, evidence, assertions), evidence)


def compute_verdict(summary: Summary, audit: Audit, evidence: RunData, assertions: Sequence[str]) -> Verdict:
    """The verdict from figures that are computed already. Writes nothing."""
    record = evidence.record
    thresholds = evaluate_thresholds(assertions, summary, evidence)
    validity = _with_doubts(check_validity(summary, record, evidence, thresholds), audit, record)
    silent = describe_silence(summary, record)
    word = _word(audit, validity, thresholds, silent)
    return Verdict(
        verdict=word,
        exit_code=exit_code(word, audit, record),
        ended=BROKEN_OFF if record.ended is None else record.ended.how,
        safety=audit.safety,
        liveness=audit.liveness,
        validity=validity,
        gone=silent,
        thresholds=thresholds,
    )


def load_verdict(folder: RunFolder) -> Verdict:
    """The content of verdict.json. Raises BrokenRunError where it is missing or no verdict."""
    try:
        return Verdict.model_validate_json(read_bounded(folder.verdict))
    except FileNotFoundError:
        message = f"{folder.path} has no verdict.json yet"
        raise RunFolderError(message) from None
    except (OSError, ValidationError) as error:
        message = f"{folder.verdict} can't be read: {explain_unreadable(error)}"
        raise RunFolderError(message) from None


def exit_code(word: VerdictWord, audit: Audit, record: RunRecord) -> ExitCode:
    """What the shell is told. Where several hold: 130 or 143, a bug, an unsafe server, invalid, a threshold or a server that is gone.

    A process that died of an error is a bug of ours; one that was killed, and a lost worker, leave an invalid run.
    """
    how = None if record.ended is None else record.ended.how
    if how == "interrupted":
        return ExitCode.INTERRUPTED
    if how == "terminated":
        return ExitCode.TERMINATED
    if how == "crashed" and not any(worker.lost for worker in record.workers):
        return ExitCode.BUG
    if audit.safety is False:
        return ExitCode.FAILED
    return {"invalid": ExitCode.INVALID, "fail": ExitCode.FAILED, "pass": ExitCode.PASSED}[word]


def audit_exit_code(audit: Audit) -> ExitCode:
    """What the shell is told of an audit alone."""
    if audit.safety is True:
        return ExitCode.PASSED
    return ExitCode.FAILED if audit.safety is False else ExitCode.INVALID


def _word(audit: Audit, validity: Validity, thresholds: Sequence[ThresholdResult], silent: str) -> VerdictWord:
    """The gates on safety and on a server that is gone are always on: no thresholds can pass such a run."""
    if audit.safety is False:
        return "fail"
    if not validity.valid:
        return "invalid"
    return "pass" if not silent and all(threshold.passed for threshold in thresholds) else "fail"


def _with_doubts(validity: Validity, audit: Audit, record: RunRecord) -> Validity:
    """Unknown safety makes a run invalid, unless nobody can read this server's store and the scenario accepts that."""
    accepted = (
        audit.sets.acknowledged and audit.sets.held is None and record.stock is not None and record.stock.accepted
    )
    if audit.safety != "unknown" or accepted:
        return validity
    return Validity(
        valid=False, reasons=[*validity.reasons, *(f"safety is unknown: {doubt}" for doubt in audit.doubts)]
    )
