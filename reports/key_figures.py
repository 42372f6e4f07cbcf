"""The verdict and the key figures as text with units: the same on the HTML page, in Markdown and on the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.summary import NOTHING_MEASURED, Distribution, RecapitulationFigures, Summary
from harness.base.model import Outcome
from harness.judge.results import ThresholdResult, Verdict
from harness.run_folder.layout import STOPPED_BY_SIGNAL
from reports import number_format
from reports.audit import describe_unsafe
from reports.number_format import format_count, format_quantity, format_ratio


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One line of the table: the name, the value with its unit, and a note that may be empty."""

    name: str
    value: str
    note: str = ""


VERDICT_LABELS = {"pass": "PASS", "fail": "FAIL", "invalid": "INVALID", None: "NOT JUDGED"}


_METASTABLE = {
    True: "metastable: the load was sustainable again, but goodput stayed low",
    False: "",
    None: "not enough data to tell whether it is metastable",
}


def verdict_label(verdict: Verdict | None) -> str:
    """The verdict in capitals; "NOT JUDGED" for a run without one."""
    return VERDICT_LABELS[verdict.verdict if verdict else None]


SIMULATED = "SIMULATED"
"""Stands beside the verdict of a run that was played in virtual time."""


def verdict_label_with_mark(verdict: Verdict | None) -> str:
    """The verdict in capitals, with `SIMULATED` in brackets if nothing was measured.

    >>> verdict_label_with_mark(None)
    'NOT JUDGED'
    """
    label = verdict_label(verdict)
    return f"{label} ({SIMULATED})" if verdict and verdict.simulated else label


def describe_verdict(verdict: Verdict | None) -> str:
    """The verdict as a sentence: what was breached or lost, or that nothing was."""
    if verdict is None:
        return "The run stopped before it was judged."
    total = len(verdict.thresholds)
    breached = sum(threshold.judged and not threshold.passed for threshold in verdict.thresholds)
    # INVALID wins over breaches, except those that stand on their own: the judge has decided that already
    if verdict.verdict == "invalid":
        cause = "The run was interrupted" if verdict.ended in STOPPED_BY_SIGNAL else "The measurement cannot be trusted"
        return f"{cause}, so it is neither a pass nor a fail.{_as_sentence(verdict.gone)}"
    if verdict.verdict == "pass":
        kept = "Nothing is lost" if verdict.safety is True else "It is not known whether anything is lost"
        return f"{kept}; {_hold(total)}."
    unsafe = ["the server is not safe: see the audit"] if verdict.safety is False else []
    unresponsive = [verdict.gone] if verdict.gone else []
    causes = "; ".join([*unsafe, *unresponsive, *_breached(breached, total)])
    # a lost acknowledgement is a failure however late the generator was
    also = "" if verdict.validity.valid else " The measurement is also invalid, but this breach does not depend on it."
    return f"{causes[:1].upper()}{causes[1:]}.{also}"


def _as_sentence(clause: str) -> str:
    return f" {clause[:1].upper()}{clause[1:]}." if clause else ""


def _hold(total: int) -> str:
    known = {0: "no thresholds were set", 1: "the threshold holds", 2: "both thresholds hold"}
    return known.get(total, f"all {total} thresholds hold")


def _breached(number: int, total: int) -> list[str]:
    """How many thresholds were breached, as a clause; empty if none was.

    >>> _breached(3, 3), _breached(1, 3), _breached(2, 2), _breached(0, 2)
    (['all 3 thresholds were breached'], ['1 of 3 thresholds was breached'], ['both thresholds were breached'], [])
    """
    if not number:
        return []
    if number < total:
        return [f"{number} of {total} thresholds {'was' if number == 1 else 'were'} breached"]
    known = {1: "the threshold was breached", 2: "both thresholds were breached"}
    return [known.get(total, f"all {total} thresholds were breached")]


def order_thresholds(verdict: Verdict) -> list[ThresholdResult]:
    """The thresholds as they are shown: those that were breached first, otherwise as the scenario has them."""
    return sorted(verdict.thresholds, key=lambda threshold: threshold.passed or not threshold.judged)


def describe_margin(threshold: ThresholdResult) -> str:
    """How far a threshold is from its limit: the judge's reason if breached, else the headroom that is left."""
    if not threshold.judged:
        # the column before says "not judged"; why there is no figure is still worth knowing
        return threshold.reason.partition(": ")[2]
    if not threshold.passed:
        return threshold.reason or "breached"
    # no ratio to a limit of 0, and nothing "to spare" at the limit itself
    if threshold.observed is None or threshold.limit in {0, threshold.observed}:
        return ""
    return f"{format_ratio(min(abs(threshold.observed - threshold.limit) / abs(threshold.limit), 9.99))} to spare"


def format_window(threshold: ThresholdResult) -> str:
    """The part of the run in which a threshold's value was observed; of several windows the worst.

    >>> format_window(ThresholdResult(assertion="", observed=1, limit=2, unit="", passed=True, reason=""))
    'the whole run'
    """
    window = threshold.window
    return "the whole run" if window is None else f"{window.from_s:,.4g} s to {window.to_s:,.4g} s"


def list_key_figures(summary: Summary) -> list[KeyFigure]:
    """Stations, pages, durations, attempts, rates, recoveries, what readers got, the lines' use, the recapitulation, in this order."""
    return [
        *_counts(summary),
        *_waits(summary),
        *_effort(summary),
        *_recoveries(summary),
        *_reads(summary),
        *_lines(summary),
        *_recapitulation(summary.recapitulation),
    ]


def _counts(summary: Summary) -> list[KeyFigure]:
    stations, pages = summary.stations, summary.pages
    figures = [
        KeyFigure(
            "Stations by the deadline",
            f"{format_count(stations.completed_by_deadline)} of {format_count(stations.planned)}",
            format_quantity(stations.completed_by_deadline_ratio, "ratio"),
        ),
        KeyFigure(
            "Pages delivered",
            f"{format_count(pages.delivered)} of {format_count(pages.planned)}",
            _describe_rest(summary),
        ),
    ]
    unsafe = summary.audit.unsafe
    found = (
        describe_unsafe(summary.audit) or "lost, corrupted, misfiled, altered, duplicated, resurrected or unexpected"
    )
    # None means unknown, not 0
    note = "the server's store could not be read" if unsafe is None else found
    return [*figures, KeyFigure("Pages not safe", format_quantity(unsafe, ""), note)]


def _describe_rest(summary: Summary) -> str:
    """What became of the pages that were not delivered; those that the server stored all the same are named.

    "Undelivered" is a word of the audit, for a page that is not on the server either.
    """
    pages = summary.pages
    unacknowledged = pages.undelivered + pages.censored
    parts = []
    if unacknowledged:
        stored, flying = summary.audit.recovered or 0, pages.censored
        among = [f"{format_count(flying)} in flight at the end"] if flying else []
        among += [f"{format_count(stored)} on the server"] if stored else []
        of_which = "all of them on the server" if stored == unacknowledged else f"of which {' and '.join(among)}"
        parts.append(f"{format_count(unacknowledged)} not acknowledged{f' ({of_which})' if among else ''}")
    if pages.unattempted:
        parts.append(f"{format_count(pages.unattempted)} not attempted")
    return ", ".join(parts)


def _waits(summary: Summary) -> list[KeyFigure]:
    # refusals are quick: a percentile over all answers flatters an overloaded server, so accepted comes first
    accepted = summary.response_seconds.by_outcome.get(Outcome.ACCEPTED, NOTHING_MEASURED)
    delivery, completion = summary.delivery_seconds, summary.completion_seconds
    unacknowledged = (
        f"{format_count(delivery.never)} of {number_format.plural(delivery.count, 'page')} never acknowledged"
        if delivery.never
        else ""
    )
    unfinished = f"{number_format.plural(completion.never, 'station')} never finished" if completion.never else ""
    return [
        KeyFigure("Delivery of a page", _percentiles(delivery), unacknowledged or "from due to acknowledged"),
        KeyFigure(
            "Completion of a station", _percentiles(completion), unfinished or "from its arrival to its last page"
        ),
        KeyFigure(
            "Response, accepted",
            _percentiles(accepted),
            f"with refusals and timeouts: {_percentiles(summary.response_seconds)}",
        ),
    ]


def _percentiles(distribution: Distribution) -> str:
    # a percentile may come with its reason in brackets, "n/a (needs 200)": split it off
    known = [number_format.format_percentile(distribution, percentile).partition(" (") for percentile in ("p50", "p95")]
    return ", ".join(
        f"{percentile} {value}{f' ({why}' if why and value != 'never' else ''}"
        for percentile, (value, _, why) in zip(("p50", "p95"), known, strict=True)
    )


def _effort(summary: Summary) -> list[KeyFigure]:
    attempts, rates = summary.attempts, summary.rates
    # withheld attempts were never sent, but stand in the totals of the journal
    withheld = attempts.by_outcome.get(Outcome.WITHHELD, 0)
    held_back = f"; {format_count(withheld)} more the strategy withheld" if withheld else ""
    amplification = "n/a" if attempts.amplification is None else f"{attempts.amplification:.2f}"
    sent = number_format.format_bytes(attempts.sent_bytes)
    again = f"{format_ratio(attempts.resent_ratio)} of it was re-sent" if attempts.resent_ratio else ""
    goodput, offered = (
        format_quantity(value, "per_s").removesuffix("/s") for value in (rates.goodput_per_s, rates.offered_per_s)
    )
    return [
        KeyFigure(
            "Attempts", format_count(attempts.total - withheld), f"{amplification} for each page attempted{held_back}"
        ),
        KeyFigure("Sent", sent, again),
        KeyFigure(
            "Delivered",
            f"{goodput} of {offered} pages/s due",
            f"by the deadline; mean over {number_format.format_duration(rates.over_s)}",
        ),
        *_while_arriving(summary),
    ]


def _while_arriving(summary: Summary) -> list[KeyFigure]:
    found = summary.arrivals
    if found is None:
        return []
    goodput = format_quantity(found.goodput_per_s, "per_s").removesuffix("/s")
    planned = format_quantity(found.planned_per_s, "per_s").removesuffix("/s")
    backlog = f"{number_format.plural(found.backlog, 'page')} behind" if found.backlog else "nothing behind"
    note = f"planned; {backlog} when the last had arrived, after {number_format.format_duration(found.over_s)}"
    return [KeyFigure("While stations arrived", f"{goodput} of {planned} pages/s", note)]


def _recoveries(summary: Summary) -> list[KeyFigure]:
    figures = []
    for recovery in summary.recovery:
        back = recovery.recovered_after_s
        note = _METASTABLE[recovery.metastable] if back is None else ""
        value = "never" if back is None else f"{number_format.format_duration(back)} after its end"
        figures.append(KeyFigure(f"Recovery from {recovery.fault}", value, note))
    return figures


def _reads(summary: Summary) -> list[KeyFigure]:
    readers = summary.readers
    if readers is None:
        return []
    failures = {name: count for name, count in readers.by_outcome.items() if name != Outcome.ACCEPTED}
    parts = [f"{format_count(count)} {name}" for name, count in failures.items()]
    if readers.unfinished:
        parts.append(f"{format_count(readers.unfinished)} unfinished at the end")
    ratio = "" if readers.answered_ratio is None else f"{format_ratio(readers.answered_ratio)} of those due"
    return [
        KeyFigure(
            "Reads answered",
            f"{format_count(readers.answered)} of {format_count(readers.planned)}",
            "; ".join(filter(None, [ratio, *parts])),
        ),
        KeyFigure("Response to a reader", _percentiles(readers.reader_seconds), "from due to the end of the response"),
    ]


def _lines(summary: Summary) -> list[KeyFigure]:
    server = summary.server
    used = [("Ingress", server.ingress_utilisation_max_ratio), ("Egress", server.egress_utilisation_max_ratio)]
    return [
        KeyFigure(f"{name} in use", format_ratio(ratio), "in the busiest second")
        for name, ratio in used
        if ratio is not None
    ]


def _recapitulation(figures: RecapitulationFigures | None) -> list[KeyFigure]:
    if figures is None:
        return []
    notes = [describe_delay(figures), describe_spare(figures)]
    if figures.by_hand:
        notes.append(f"{number_format.plural(figures.by_hand, 'station')} entered by hand")
    ends = number_format.format_day_time(figures.ended_s + figures.t0_s)
    return [KeyFigure("Recapitulation ends", ends, "; ".join(notes))]


def describe_delay(figures: RecapitulationFigures) -> str:
    """How much later the recapitulation ends than if every upload had been there from the beginning."""
    if figures.late_s < 60:
        return "no later than with all uploads there at once"
    return f"{number_format.format_duration(figures.late_s)} later than with all uploads there at once"


def describe_spare(figures: RecapitulationFigures) -> str:
    """How long before or after its deadline the recapitulation ends."""
    side = "before" if figures.spare_s >= 0 else "after"
    return f"{number_format.format_duration(abs(figures.spare_s))} {side} its deadline"
