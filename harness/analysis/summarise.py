"""Run folder -> summary.json: every figure, computed once, from the rows and the scrapes."""

from __future__ import annotations

import numpy as np
from pydantic import ValidationError

from harness.analysis import counts
from harness.analysis.by_phase import phase_figures
from harness.analysis.durations import spread
from harness.analysis.outage import silence_of
from harness.analysis.page_status import Fates, fates_of
from harness.analysis.recovery import Curves, recoveries
from harness.analysis.rows import Rows, load_rows
from harness.analysis.run_data import Evidence
from harness.analysis.scraped_metrics import generator_figures, server_figures
from harness.analysis.summary import Summary
from harness.base.errors import BrokenRunError
from harness.base.safe_files import content_of, why_unread
from harness.run_folder.layout import RunFolder, write_json

BROKEN_OFF = "broken_off"
"""How a run ended that never said so."""


def summarise(folder: RunFolder) -> Summary:
    """Every figure of a run; writes attempts.parquet (from the journal) and summary.json.

    Works on a run that was broken off at any moment: what can't be known is None. Raises BrokenRunError where run.json
    or plan.parquet is missing or unreadable, or the journal contradicts the plan.
    """
    summary = figures_of(folder, load_rows(folder))
    write_json(folder.summary, summary.model_dump(mode="json"))
    return summary


def load_summary(folder: RunFolder) -> Summary:
    """The content of summary.json. Raises BrokenRunError where it is missing or no summary."""
    try:
        return Summary.model_validate_json(content_of(folder.summary))
    except FileNotFoundError:
        message = f"{folder.path} has no summary.json yet"
        raise BrokenRunError(message) from None
    except (OSError, ValidationError) as error:
        message = f"{folder.summary} can't be read: {why_unread(error)}"
        raise BrokenRunError(message) from None


def figures_of(folder: RunFolder, rows: Rows, fates: Fates | None = None, evidence: Evidence | None = None) -> Summary:
    """Every figure of a run from its rows, and from the folder's scrapes and its stored.parquet.

    `fates` is what became of its pages and `evidence` what was read of it, where that is known already.
    """
    seen = evidence or Evidence(folder, rows)
    record, samples, exporters = rows.record, seen.samples, seen.exporters
    return Summary(
        run=record.id,
        name=record.name,
        seed=record.seed,
        ended=BROKEN_OFF if record.ended is None else record.ended.how,
        duration_s=rows.end_s,
        deadline_s=record.deadline_s,
        stations=counts.count_stations(rows),
        pages=counts.count_pages(rows),
        audit=(fates or fates_of(folder, rows)).counts,
        attempts=counts.count_attempts(rows),
        rates=counts.mean_rates(rows),
        response_seconds=samples.split("response_seconds"),
        service_seconds=samples.split("service_seconds"),
        delivery_seconds=spread(samples.delivery),
        completion_seconds=spread(samples.completion),
        lateness_seconds=spread(samples.lateness),
        silence=silence_of(rows),
        recovery=recoveries(record.faults, recovery_curves(rows)),
        phases=phase_figures(rows, samples),
        kelurahan=counts.count_kelurahan(rows),
        server=server_figures(exporters.server),
        generator=generator_figures(rows, exporters.workers),
    )


def recovery_curves(rows: Rows) -> Curves:
    """The curves that recovery is read from, to the moment at which the run stopped making attempts."""
    return Curves(
        due_s=np.sort(rows.station_due_s[rows.station_due_s < rows.stop_s]),
        delivered_s=np.sort(rows.acknowledged_s[rows.acknowledged_s <= rows.record.deadline_s]),
        given_up_s=rows.abandoned_s,
        end_s=rows.stop_s,
    )
