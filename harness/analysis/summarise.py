"""Run folder -> summary.json: every figure, computed once, from the rows and the scrapes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.attempts_table import CLEAR_PHASE
from harness.analysis.cpu_quota import quota_above_ratio
from harness.analysis.durations import DurationSamples, compute_distribution
from harness.analysis.endpoints import find_failing_endpoints
from harness.analysis.page_status import PageStatuses, load_page_statuses
from harness.analysis.reads import compute_reader_figures
from harness.analysis.recapitulation import compute_recapitulation
from harness.analysis.recovery import compute_recoveries, find_silence, page_events
from harness.analysis.rows import Rows, load_rows
from harness.analysis.run_data import RunData
from harness.analysis.scraped_metrics import BUSY_RATIO, compute_generator_figures, compute_server_figures
from harness.analysis.steps import compute_step_figures
from harness.analysis.summary import (
    ArrivalFigures,
    Attempts,
    GroupFigures,
    KelurahanFigures,
    Pages,
    PhaseFigures,
    Rates,
    Stations,
    Summary,
)
from harness.base.errors import RunFolderError
from harness.base.model import ANSWERED, FAILURES, OUTCOMES, TIMED_OUT, Outcome
from harness.base.safe_files import load_json, write_json
from harness.run_folder.journal import GiveUpReason
from harness.run_folder.layout import PhaseRecord, RunFolder, RunRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]

BROKEN_OFF = "broken_off"
"""How a run ended that did not record its end: its leader was killed, or the machine went down."""


def summarise(folder: RunFolder) -> Summary:
    """Compute every figure of a run; writes attempts.parquet (from the journal) and summary.json.

    Works on a run that was broken off at any moment: what cannot be known is None. Raises RunFolderError if run.json or
    plan.parquet is missing or unreadable, or the journal contradicts the plan.
    """
    summary = compute_summary(folder, load_rows(folder))
    write_json(folder.summary, summary.model_dump(mode="json"))
    return summary


def load_summary(folder: RunFolder) -> Summary:
    """The content of summary.json. Raises RunFolderError if it is missing or not a valid summary."""
    found = load_json(folder.summary, Summary)
    if found is None:
        message = f"{folder.path} has no summary.json yet"
        raise RunFolderError(message)
    return found


def compute_summary(
    folder: RunFolder, rows: Rows, statuses: PageStatuses | None = None, run_data: RunData | None = None
) -> Summary:
    """Every figure of a run from its rows, and from the folder's scrapes and its stored.parquet.

    Pass `statuses` and `run_data` if they have been read already, so that a long run is not read twice.
    """
    data = run_data or RunData(folder, rows)
    record, samples, run_series = rows.record, data.samples, data.run_series
    return Summary(
        run=record.id,
        name=record.name,
        seed=record.seed,
        simulated=record.simulated,
        ended=BROKEN_OFF if record.ended is None else record.ended.how,
        duration_s=rows.end_s,
        deadline_s=record.deadline_s,
        stations=count_stations(rows),
        pages=count_pages(rows),
        audit=(statuses or load_page_statuses(folder, rows)).counts,
        attempts=count_attempts(rows),
        steps=compute_step_figures(folder, record),
        rates=mean_rates(rows),
        arrivals=compute_arrival_figures(rows),
        response_seconds=samples.distribution_by_outcome("response_seconds"),
        service_seconds=samples.distribution_by_outcome("service_seconds"),
        delivery_seconds=compute_distribution(samples.delivery),
        completion_seconds=compute_distribution(samples.completion),
        lateness_seconds=compute_distribution(samples.lateness),
        readers=compute_reader_figures(data.reads, record, rows.stop_s),
        silence=find_silence(rows),
        recovery=compute_recoveries(record.faults, page_events(rows)),
        phases=compute_phase_figures(rows, samples),
        kelurahan=count_kelurahan(rows),
        groups=count_groups(rows),
        recapitulation=compute_recapitulation(rows, dict(rows.places.names)),
        server=compute_server_figures(run_series.server),
        endpoints=find_failing_endpoints(folder.scrapes, record),
        generator=compute_generator_figures(
            rows, run_series.workers, quota_above_ratio(folder.processes, record, BUSY_RATIO, rows.end_s)
        ),
    )


def count_stations(rows: Rows) -> Stations:
    """The counts of stations."""
    planned = len(rows.stations.code)
    completed = int(np.isfinite(rows.completed_s).sum())
    in_time = int((rows.completed_s <= rows.record.deadline_s).sum())
    return Stations(
        planned=planned,
        due=int((rows.stations.due_s < rows.stop_s).sum()),
        begun=int(rows.begun.sum()),
        completed=completed,
        completed_by_deadline=in_time,
        completed_ratio=completed / planned if planned else None,
        completed_by_deadline_ratio=in_time / planned if planned else None,
    )


def count_pages(rows: Rows) -> Pages:
    """The counts of pages.

    Each page is delivered, censored, undelivered or unattempted, in this order of precedence; the four add up to the pages
    planned.
    """
    attempted = int(rows.attempted.sum())
    delivered, censored = int(rows.delivered.sum()), int(rows.censored.sum())
    given_up = rows.given_up
    # The journal of a torn run may name pages beyond the plan. A page that was given up and delivered all the same counts
    # as delivered only.
    known = given_up.page < rows.pages
    still_open = known & ~rows.delivered[np.where(known, given_up.page, 0)]
    reasons = {reason: int((given_up.reason[still_open] == reason).sum()) for reason in GiveUpReason}
    return Pages(
        planned=rows.pages,
        attempted=attempted,
        delivered=delivered,
        undelivered=attempted - delivered - censored,
        censored=censored,
        unattempted=rows.pages - attempted,
        delivered_by_deadline=int((rows.acknowledged_s <= rows.record.deadline_s).sum()),
        gave_up_by_reason={reason.name.lower(): count for reason, count in reasons.items() if count},
    )


def count_attempts(rows: Rows) -> Attempts:
    """The counts of attempts, those of the warm-up included."""
    attempts = rows.attempts
    made = len(attempts.page) - int(attempts.ended_as({Outcome.WITHHELD}).sum())
    attempted = int(rows.attempted.sum())
    sent, resent = int(attempts.sent_bytes.sum()), int(attempts.resent_bytes.sum())
    return Attempts(
        total=len(attempts.page),
        by_outcome=count_outcomes(rows, np.ones(len(attempts.page), dtype=np.bool_)),
        amplification=made / attempted if attempted else None,
        failures=list(rows.failures),
        unusable=count_unusable(rows.record),
        resent_bytes=resent,
        sent_bytes=sent,
        resent_ratio=resent / sent if sent else None,
    )


def count_unusable(record: RunRecord) -> dict[str, int]:
    """What was wrong with answers whose status promised success, over all workers, most frequent first."""
    found: Counter[str] = Counter()
    for worker in record.workers:
        found.update(worker.unusable)
    return dict(found.most_common())


def count_outcomes(rows: Rows, chosen: BoolArray) -> dict[str, int]:
    """How many of the chosen attempts had each outcome that occurred, most frequent first."""
    counts = np.bincount(rows.attempts.outcome[chosen], minlength=len(OUTCOMES))
    order = sorted(range(len(OUTCOMES)), key=lambda number: (-counts[number], number))
    return {str(OUTCOMES[number]): int(counts[number]) for number in order if counts[number]}


def mean_rates(rows: Rows) -> Rates:
    """Mean rates of what was due after the warm-up, over one window for all of them.

    It reaches from the end of the warm-up to the end of the last attempt, or to the deadline if that came first: a page
    that is delivered later is not goodput, so the time after the deadline must not count either. Answers, and the bytes of
    attempts, count if they ended in the window.
    """
    attempts, warm_up_s = rows.attempts, rows.record.warm_up_s
    last_s = float(np.fmax.reduce(attempts.done_s, initial=-np.inf))
    until_s = min(last_s if np.isfinite(last_s) else rows.end_s, rows.record.deadline_s)
    over_s = max(until_s, warm_up_s) - warm_up_s
    if over_s <= 0 or not len(attempts.page):
        return Rates(
            over_s=over_s, offered_per_s=None, goodput_per_s=None, throughput_per_s=None, sent_bytes_per_s=None
        )
    counted = (attempts.due_s >= warm_up_s) & (attempts.done_s <= until_s)
    fell_due = (rows.station_due_s >= warm_up_s) & (rows.station_due_s < rows.stop_s)
    in_time = fell_due & (rows.acknowledged_s <= rows.record.deadline_s)
    return Rates(
        over_s=over_s,
        offered_per_s=int(fell_due.sum()) / over_s,
        goodput_per_s=int(in_time.sum()) / over_s,
        throughput_per_s=int((counted & attempts.ended_as(ANSWERED)).sum()) / over_s,
        sent_bytes_per_s=int(attempts.sent_bytes.sum(where=counted)) / over_s,
    )


def compute_arrival_figures(rows: Rows) -> ArrivalFigures | None:
    """What was planned and delivered while stations arrived; None for closed arrivals, or if all came at once."""
    arrivals = rows.record.scenario.get("arrivals")
    if isinstance(arrivals, dict) and arrivals.get("kind") == "closed":
        return None
    warm_up_s, due_s, acknowledged_s = rows.record.warm_up_s, rows.station_due_s, rows.acknowledged_s
    last_s = min(float(np.max(due_s, initial=0.0)), rows.stop_s)
    over_s = last_s - warm_up_s
    if over_s <= 0:
        return None
    due = due_s <= last_s
    delivered = acknowledged_s <= last_s
    return ArrivalFigures(
        over_s=over_s,
        planned_per_s=int((due & (due_s >= warm_up_s)).sum()) / over_s,
        goodput_per_s=int((delivered & (acknowledged_s >= warm_up_s)).sum()) / over_s,
        backlog=int((due & ~delivered).sum()),
    )


def compute_phase_figures(rows: Rows, samples: DurationSamples) -> list[PhaseFigures]:
    """The main figures of each phase, in order; attempts and pages belong to the phase in which they were due.

    Goodput counts the pages acknowledged within the phase, by the deadline. Rates are over the part of the phase that lies
    before the end of the run and the deadline, None if there is none. The warm-up, left out everywhere else, is a phase here.
    """
    phases = rows.record.phases or [PhaseRecord(name=CLEAR_PHASE, start_s=0.0, end_s=rows.end_s)]
    starts = np.array([phase.start_s for phase in phases])

    def number_at(times: FloatArray) -> npt.NDArray[np.int32]:
        return np.clip(np.searchsorted(starts, times, side="right").astype(np.int32) - 1, 0, None)

    attempts = rows.attempts
    finished, accepted = attempts.ended_as(ANSWERED | TIMED_OUT), attempts.ended_as({Outcome.ACCEPTED})
    failed = attempts.ended_as(FAILURES)
    of_attempt = number_at(attempts.due_s)
    of_due = number_at(rows.station_due_s[rows.station_due_s < rows.stop_s])
    of_delivery = number_at(rows.acknowledged_s[rows.acknowledged_s <= rows.record.deadline_s])
    figures = []
    for number, phase in enumerate(phases):
        chosen = of_attempt == number
        over_s = min(phase.end_s, rows.stop_s) - phase.start_s
        figures.append(
            PhaseFigures(
                name=phase.name,
                start_s=phase.start_s,
                end_s=phase.end_s,
                attempts=int(chosen.sum()),
                by_outcome=count_outcomes(rows, chosen),
                response_seconds=compute_distribution(samples.responses_of(chosen & finished)),
                accepted_seconds=compute_distribution(samples.responses_of(chosen & accepted)),
                failed_seconds=compute_distribution(samples.responses_of(chosen & failed)),
                offered_per_s=int((of_due == number).sum()) / over_s if over_s > 0 else None,
                goodput_per_s=int((of_delivery == number).sum()) / over_s if over_s > 0 else None,
            )
        )
    return figures


def count_kelurahan(rows: Rows) -> list[KelurahanFigures]:
    """The completion of each kelurahan, in the order of their codes; none where the stations are a list of the user's own."""
    if not rows.places.is_region:
        return []
    return [
        KelurahanFigures(code=code, name=rows.places.name(code), stations=planned, completed_by_deadline=completed)
        for code, planned, completed in _completion_by_place(rows)
    ]


def count_groups(rows: Rows) -> list[GroupFigures]:
    """The completion of each of the smallest groups of the user's own stations, by their names; none for a region."""
    label = rows.places.group_label
    if rows.places.is_region or not label:
        return []
    return [
        GroupFigures(group=label, name=name, stations=planned, completed_by_deadline=completed)
        for name, planned, completed in _completion_by_place(rows)
    ]


def _completion_by_place(rows: Rows) -> list[tuple[str, int, int]]:
    """Code or name of each place, its stations, and how many of them were complete by the deadline."""
    places, number = rows.places.numbered(rows.places.group_label)
    stations = np.bincount(number, minlength=len(places))
    in_time = np.bincount(number[rows.completed_s <= rows.record.deadline_s], minlength=len(places))
    return list(zip(places, stations.tolist(), in_time.tolist(), strict=True))
