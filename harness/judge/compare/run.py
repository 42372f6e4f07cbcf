"""A run folder -> what a comparison needs of it: record, figures that can be resampled, whether it is to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.bootstrap import Statistic
from harness.analysis.comparable import Missing, plan_digest, statistics
from harness.analysis.page_status import fates_of
from harness.analysis.rows import load_rows
from harness.analysis.run_data import Evidence
from harness.analysis.summarise import figures_of
from harness.judge.audit import audit_of
from harness.judge.compare.results import RunFacts
from harness.judge.verdict import judge_figures
from harness.run_folder.layout import RunFolder, RunRecord

_WHOLE = {"completed", "deadline"}


@dataclass(frozen=True)
class ComparedRun:
    """One run of one side."""

    path: str
    record: RunRecord
    plan: str
    """The same in runs where the same stations turned up at the same moments."""
    figures: dict[str, Statistic | Missing]
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


def read_run(folder: RunFolder, assertions: Sequence[str], keys: Sequence[str]) -> ComparedRun:
    """What a comparison by `keys` needs of a run; `assertions` are the run's own. Writes nothing but attempts.parquet.

    Raises BrokenRunError where the folder is no run.
    """
    rows = load_rows(folder)
    fates, evidence = fates_of(folder, rows), Evidence(folder, rows)
    summary, audit = figures_of(folder, rows, fates, evidence), audit_of(folder, rows, fates)
    validity = judge_figures(summary, audit, evidence, assertions).validity
    reasons = list(validity.reasons)
    if rows.record.ended is not None and rows.record.ended.how not in _WHOLE and validity.valid:
        reasons.append(f"the run was {rows.record.ended.how} after {rows.record.ended.at_s:.1f} s: it has only a part")
    return ComparedRun(
        path=str(folder.path),
        record=rows.record,
        plan=plan_digest(rows),
        figures=statistics(rows, summary, keys),
        reasons=reasons,
        unsafe=(summary.audit.unsafe or 1) if audit.safety is False else 0,
    )
