"""What was planned, and what became of it: stations, pages and attempts, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.rows import Rows
from harness.analysis.summary import Attempts, KelurahanFigures, Pages, Rates, Stations
from harness.base.errors import ConfigurationError
from harness.base.model import ANSWERED, OUTCOMES, Outcome
from harness.plan.regions import load_kelurahan_names
from harness.run_folder.journal import GiveUpReason
from harness.scenario.scenario import REGIONS

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]


def count_stations(rows: Rows) -> Stations:
    """Stations, counted."""
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
    """Pages, counted: each is delivered, censored, undelivered or unattempted, in this order of precedence."""
    attempted = int(rows.attempted.sum())
    delivered, censored = int(rows.delivered.sum()), int(rows.censored.sum())
    given_up = rows.given_up
    known = given_up.page < rows.pages
    open_still = known & ~rows.delivered[np.where(known, given_up.page, 0)]
    reasons = {reason: int((given_up.reason[open_still] == reason).sum()) for reason in GiveUpReason}
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
    """Attempts, counted, the warm-up's included."""
    attempts = rows.attempts
    made = len(attempts.page) - int(attempts.ended_as({Outcome.WITHHELD}).sum())
    attempted = int(rows.attempted.sum())
    sent, resent = int(attempts.sent_bytes.sum()), int(attempts.resent_bytes.sum())
    return Attempts(
        total=len(attempts.page),
        by_outcome=count_outcomes(rows, np.ones(len(attempts.page), dtype=np.bool_)),
        amplification=made / attempted if attempted else None,
        resent_bytes=resent,
        sent_bytes=sent,
        resent_ratio=resent / sent if sent else None,
    )


def count_outcomes(rows: Rows, chosen: BoolArray) -> dict[str, int]:
    """How many of the chosen attempts had each outcome that occurred, most frequent first."""
    counts = np.bincount(rows.attempts.outcome[chosen], minlength=len(OUTCOMES))
    order = sorted(range(len(OUTCOMES)), key=lambda number: (-counts[number], number))
    return {str(OUTCOMES[number]): int(counts[number]) for number in order if counts[number]}


def mean_rates(rows: Rows) -> Rates:
    """Means from the end of the warm-up to the last attempt's end, of what fell due after the warm-up."""
    attempts, warm_up_s = rows.attempts, rows.record.warm_up_s
    last_s = float(np.fmax.reduce(attempts.done_s, initial=-np.inf))
    over_s = max(last_s if np.isfinite(last_s) else rows.end_s, warm_up_s) - warm_up_s
    if over_s <= 0 or not len(attempts.page):
        return Rates(
            over_s=over_s, offered_per_s=None, goodput_per_s=None, throughput_per_s=None, sent_bytes_per_s=None
        )
    counted = attempts.due_s >= warm_up_s
    fell_due = (rows.station_due_s >= warm_up_s) & (rows.station_due_s < rows.stop_s)
    in_time = fell_due & (rows.acknowledged_s <= rows.record.deadline_s)
    return Rates(
        over_s=over_s,
        offered_per_s=int(fell_due.sum()) / over_s,
        goodput_per_s=int(in_time.sum()) / over_s,
        throughput_per_s=int((counted & attempts.ended_as(ANSWERED)).sum()) / over_s,
        sent_bytes_per_s=int(attempts.sent_bytes.sum(where=counted)) / over_s,
    )


def count_kelurahan(rows: Rows) -> list[KelurahanFigures]:
    """Completion of each kelurahan, in the order of their codes."""
    villages = np.array([code[:10] for code in rows.stations.code], dtype="U10")
    codes, number = np.unique(villages, return_inverse=True)
    stations = np.bincount(number, minlength=len(codes))
    in_time = np.bincount(number[rows.completed_s <= rows.record.deadline_s], minlength=len(codes))
    names = kelurahan_names(rows)
    return [
        KelurahanFigures(code=code, name=names.get(code, code), stations=planned, completed_by_deadline=completed)
        for code, planned, completed in zip(codes.tolist(), stations.tolist(), in_time.tolist(), strict=True)
    ]


def kelurahan_names(rows: Rows) -> dict[str, str]:
    """Names by code, from a shipped region or the run folder's own copy; empty where neither is there."""
    region = (rows.record.scenario.get("stations") or {}).get("region")
    copy = None if rows.region is None or not rows.region.is_file() else str(rows.region)
    name = region if region in REGIONS else copy
    if name is None:
        return {}
    try:
        return load_kelurahan_names(name)
    except (OSError, ConfigurationError):
        return {}
