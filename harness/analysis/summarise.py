"""Run folder -> summary.json: every figure, computed once, from the rows and the scrapes."""

from __future__ import annotations

import numpy as np
from pydantic import ValidationError

from harness.analysis import counts
from harness.analysis.by_phase import compute_phase_figures
from harness.analysis.durations import compute_distribution
from harness.analysis.outage import find_silence
from harness.analysis.page_status import PageStatuses, load_page_statuses
from harness.analysis.recovery import PageEvents, compute_recoveries
from harness.analysis.rows import Rows, load_rows
from harness.analysis.run_data import RunData
from harness.analysis.scraped_metrics import compute_generator_figures, compute_server_figures
from harness.analysis.summary import Summary
from harness.base.errors import RunFolderError
from harness.base.safe_files import explain_unreadable, read_bounded
from harness.run_folder.layout import RunFolder, write_json

BROKEN_OFF = "broken_off"
"""How a run ended that never said so."""


def summarise(folder: RunFolder) -> Summary:
    """Every figure of a run; writes attempts.parquet (from the journal) and summary.json.

    Works on a run that was broken off at any moment: what can't be known is None. Raises BrokenRunError where run.json
    or plan.parquet is missing or unreadable, or the journal contradicts the plan.
    """
    summary = compute_summary(folder, load_rows(folder))
    write_json(folder.summary, summary.model_dump(mode="json"))
    return summary


def load_summary(folder: RunFolder) -> Summary:
    """The content of summary.json. Raises BrokenRunError where it is missing or no summary."""
    try:
        return Summary.model_validate_json(read_bounded(folder.summary))
    except FileNotFoundError:
        message = f"{folder.path} has no summary.json yet"
        raise RunFolderError(message) from None
    except (OSError, ValidationError) as error:
        message = f"{folder.summary} can't be read: {explain_unreadable(error)}"
        raise RunFolderError(message) from None


def compute_summary(
    folder: RunFolder, rows: Rows, fates: PageStatuses | None = None, evidence: RunData | None = None
) -> Summary:
    """Every figure of a run from its rows, and from the folder's scrapes and its stored.parquet.

    `fates` is what became of its pages and `evidence` what was read of it, where that is known already.
    """
    seen = evidence or RunData(folder, rows)
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
        audit=(fates or load_page_statuses(folder, rows)).counts,
        attempts=counts.count_attempts(rows),
        rates=counts.mean_rates(rows),
        response_seconds=samples.split("response_seconds"),
        service_seconds=samples.split("service_seconds"),
        delivery_seconds=compute_distribution(samples.delivery),
        completion_seconds=compute_distribution(samples.completion),
        lateness_seconds=compute_distribution(samples.lateness),
        silence=find_silence(rows),
        recovery=compute_recoveries(record.faults, page_events(rows)),
        phases=compute_phase_figures(rows, samples),
        kelurahan=counts.count_kelurahan(rows),
        server=compute_server_figures(exporters.server),
        generator=compute_generator_figures(rows, exporters.workers),
    )


def page_events(rows: Rows) -> PageEvents:
    """The curves that recovery is read from, to the moment at which the run stopped making attempts."""
    return PageEvents(
        due_s=np.sort(rows.station_due_s[rows.station_due_s < rows.stop_s]),
        delivered_s=np.sort(rows.acknowledged_s[rows.acknowledged_s <= rows.record.deadline_s]),
        given_up_s=rows.abandoned_s,
        end_s=rows.stop_s,
    )
