"""The verdict and the key figures as text with units: the same on the HTML page, in Markdown and on the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.summary import Distribution, RecapitulationFigures, Summary
from harness.base.model import Outcome
from harness.judge.results import ThresholdResult, Verdict
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


_INTERRUPTED = {"interrupted", "terminated"}


def verdict_label(verdict: Verdict | None) -> str:
    """The verdict in capitals; "NOT JUDGED" for a run without one."""
    return VERDICT_LABELS[verdict.verdict if verdict else None]


def describe_verdict(verdict: Verdict | None) -> str:
    """The verdict as a sentence: what was breached or lost, or that nothing was."""
    if verdict is None:
        return "The run stopped before it was judged."
    total = len(verdict.thresholds)
    breached = sum(threshold.judged and not threshold.passed for threshold in verdict.thresholds)
    # INVALID wins over breaches, except those that stand on their own: the judge has decided that already
    if verdict.verdict == "invalid":
        cause = "The run was interrupted" if verdict.ended in _INTERRUPTED else "The measurement cannot be trusted"
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
    """Stations, pages, durations, attempts, rates, the recovery from each fault and the recapitulation, in this order."""
    return [
        *_counts(summary),
        *_waits(summary),
        *_effort(summary),
        *_recoveries(summary),
        *_recapitulation(summary.recapitulation),
    ]


def _counts(summary: Summary) -> list[KeyFigure]:
    stations, pages = summary.stations, summary.pages
    rest = [
        f"{format_count(number)} {name}"
        for name, number in (
            ("undelivered", pages.undelivered),
            ("in flight at the end", pages.censored),
            ("never attempted", pages.unattempted),
        )
        if number
    ]
    figures = [
        KeyFigure(
            "Stations by the deadline",
            f"{format_count(stations.completed_by_deadline)} of {format_count(stations.planned)}",
            format_quantity(stations.completed_by_deadline_ratio, "ratio"),
        ),
        KeyFigure(
            "Pages delivered", f"{format_count(pages.delivered)} of {format_count(pages.planned)}", ", ".join(rest)
        ),
    ]
    unsafe = summary.audit.unsafe
    found = (
        describe_unsafe(summary.audit) or "lost, corrupted, misfiled, altered, duplicated, resurrected or unexpected"
    )
    # None means unknown, not 0
    note = "the server's store could not be read" if unsafe is None else found
    return [*figures, KeyFigure("Pages not safe", format_quantity(unsafe, ""), note)]


def _waits(summary: Summary) -> list[KeyFigure]:
    empty = Distribution(count=0, mean=None, p50=None, p90=None, p95=None, p99=None, p99_9=None, max=None)
    # refusals are quick: a percentile over all answers flatters an overloaded server, so accepted comes first
    accepted = summary.response_seconds.by_outcome.get(Outcome.ACCEPTED, empty)
    return [
        _median_and_tail("Delivery of a page", summary.delivery_seconds, "from due to acknowledged"),
        _median_and_tail("Completion of a station", summary.completion_seconds, "from its arrival to its last page"),
        _median_and_tail("Response, accepted", accepted, f"of all answers: {_percentiles(summary.response_seconds)}"),
    ]


def _median_and_tail(name: str, distribution: Distribution, note: str) -> KeyFigure:
    """p50 and p95; the note gives the number that never arrived, if any."""
    missing = (
        f"{format_count(distribution.never)} of {format_count(distribution.count)} never arrived"
        if distribution.never
        else ""
    )
    return KeyFigure(name, _percentiles(distribution), missing or note)


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
    again = f"{format_ratio(attempts.resent_ratio)} of it resent" if attempts.resent_ratio else ""
    pages_per_s = f"{format_quantity(rates.goodput_per_s, 'per_s')} of {format_quantity(rates.offered_per_s, 'per_s')}"
    return [
        KeyFigure(
            "Attempts", format_count(attempts.total - withheld), f"{amplification} for each page attempted{held_back}"
        ),
        KeyFigure("Sent", sent, again),
        KeyFigure("Goodput of offered", pages_per_s, f"mean over {number_format.format_duration(rates.over_s)}"),
    ]


def _recoveries(summary: Summary) -> list[KeyFigure]:
    figures = []
    for recovery in summary.recovery:
        back = recovery.recovered_after_s
        note = _METASTABLE[recovery.metastable] if back is None else ""
        value = "never" if back is None else f"{number_format.format_duration(back)} after its end"
        figures.append(KeyFigure(f"Recovery from {recovery.fault}", value, note))
    return figures


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
