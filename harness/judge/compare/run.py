"""A run folder -> what a comparison needs of it: record, figures that can be resampled, whether it is to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.bootstrap import Statistic
from harness.analysis.comparable import MissingFigure, arrivals_digest, compute_statistics
from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import compute_summary
from harness.judge.audit import audit_run
from harness.judge.compare.results import RunFacts
from harness.judge.verdict import compute_verdict
from harness.run_folder.layout import RunFolder, RunRecord

_COMPLETE_RUNS = {"completed", "deadline"}


@dataclass(frozen=True)
class ComparedRun:
    """One run of one side."""

    path: str
    record: RunRecord
    plan: str
    """The same in runs where the same stations turned up at the same moments."""
    figures: dict[str, Statistic | MissingFigure]
    reasons: list[str]
    """Why its measurement is not to be trusted; empty where it is."""
    unsafe: int
    """What the audit holds against the server: pages lost, altered, misfiled and so on."""

    @property
    def facts(self) -> RunFacts:
        """What comparison.json says of it."""
        return RunFacts(
            path=self.path, id=self.record.id, seed=self.record.seed, valid=not self.reasons, reasons=self.reasons
        )


def load_compared_run(folder: RunFolder, assertions: Sequence[str], keys: Sequence[str]) -> ComparedRun:
    """What a comparison by `keys` needs of a run; `assertions` are the run's own. Writes nothing but attempts.parquet.

    Raises BrokenRunError where the folder is no run.
    """
    rows = load_rows(folder)
    fates, evidence = load_page_statuses(folder, rows), RunData(folder, rows)
    summary, audit = compute_summary(folder, rows, fates, evidence), audit_run(folder, rows, fates)
    validity = compute_verdict(summary, audit, evidence, assertions).validity
    reasons = list(validity.reasons)
    if rows.record.ended is not None and rows.record.ended.how not in _COMPLETE_RUNS and validity.valid:
        reasons.append(f"the run was {rows.record.ended.how} after {rows.record.ended.at_s:.1f} s: it has only a part")
    return ComparedRun(
        path=str(folder.path),
        record=rows.record,
        plan=arrivals_digest(rows),
        figures=compute_statistics(rows, summary, keys),
        reasons=reasons,
        unsafe=(summary.audit.unsafe or 1) if audit.safety is False else 0,
    )
