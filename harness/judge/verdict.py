"""The verdict on one run, and the exit code that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import ValidationError

from harness.errors import BrokenRunError, ExitCode
from harness.figures.rows import load_rows
from harness.figures.spreads import Samples
from harness.figures.summarise import BROKEN_OFF, figures_of
from harness.figures.summary import Summary
from harness.judge.results import ThresholdResult, Validity, Verdict
from harness.judge.thresholds import check_all, evaluate_all
from harness.judge.validity import assess
from harness.runfolder import RunFolder, RunRecord, write_json

Word = Literal["pass", "fail", "invalid"]


def judge(folder: RunFolder, assertions: Sequence[str]) -> Verdict:
    """The verdict on a run, from its folder alone; writes summary.json and verdict.json.

    Raises ConfigurationError for wrong assertions, BrokenRunError where run.json or plan.parquet is missing.
    """
    check_all(assertions)
    rows = load_rows(folder)
    summary = figures_of(folder, rows)
    write_json(folder.summary, summary.model_dump(mode="json"))
    verdict = judge_figures(summary, rows.record, Samples(rows), assertions)
    write_json(folder.verdict, verdict.model_dump(mode="json", by_alias=True))
    return verdict


def judge_figures(summary: Summary, record: RunRecord, samples: Samples, assertions: Sequence[str]) -> Verdict:
    """The verdict from figures that are computed already. Writes nothing."""
    thresholds = evaluate_all(assertions, summary, samples)
    validity = assess(summary, record, samples, thresholds)
    word = _word(summary, validity, thresholds)
    return Verdict(
        verdict=word,
        exit_code=exit_code(word, summary, record),
        ended=BROKEN_OFF if record.ended is None else record.ended.how,
        validity=validity,
        thresholds=thresholds,
    )


def load_verdict(folder: RunFolder) -> Verdict:
    """The content of verdict.json. Raises BrokenRunError where it is missing or no verdict."""
    try:
        return Verdict.model_validate_json(folder.verdict.read_bytes())
    except FileNotFoundError:
        message = f"{folder.path} has no verdict.json yet"
        raise BrokenRunError(message) from None
    except (OSError, ValidationError) as error:
        message = f"{folder.verdict} can't be read: {str(error).splitlines()[0]}"
        raise BrokenRunError(message) from None


def exit_code(word: Word, summary: Summary, record: RunRecord) -> ExitCode:
    """What the shell is told. Where several hold: 130 or 143, a bug, a lost acknowledgement, invalid, a threshold.

    A run that crashed because a worker was lost is invalid; any other crash is a bug of ours.
    """
    how = None if record.ended is None else record.ended.how
    if how == "interrupted":
        return ExitCode.INTERRUPTED
    if how == "terminated":
        return ExitCode.TERMINATED
    if how == "crashed" and not any(worker.lost for worker in record.workers):
        return ExitCode.BUG
    if loses(summary):
        return ExitCode.FAILED
    return {"invalid": ExitCode.INVALID, "fail": ExitCode.FAILED, "pass": ExitCode.PASSED}[word]


def loses(summary: Summary) -> bool:
    """Whether the server is known to have lost what it acknowledged."""
    return bool(summary.pages.delivered_not_stored)


def _word(summary: Summary, validity: Validity, thresholds: Sequence[ThresholdResult]) -> Word:
    if loses(summary):
        return "fail"
    if not validity.valid:
        return "invalid"
    return "pass" if all(threshold.passed for threshold in thresholds) else "fail"
