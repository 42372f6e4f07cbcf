"""What to try first after a failed run: one change, why the figures point at it, and the overrides that make it.

A rule of thumb from what a run shows, not a search: `harness experiment` compares many changes. The rules follow what was
measured in docs/explanation/experiments.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.analysis.summary import Summary
from harness.base.model import TIMED_OUT, Outcome
from harness.judge.results import Verdict
from harness.run_folder.layout import RunRecord

WASTED_RATIO = 0.2
"""Work for clients that have left beyond this part of all work: more workers would mostly waste more."""
STORM_AMPLIFICATION = 2.0
"""From so many attempts per page on, retries are a load of their own."""
GIVEN_UP_RATIO = 0.5
"""If clients gave up at least this part of the missing pages, their patience comes first."""
MAX_FACTOR = 8
"""A first step goes no further than this many times the workers."""
QUEUE_PER_WORKER = 16


@dataclass(frozen=True, slots=True)
class Remedy:
    """One change to try."""

    title: str
    evidence: str
    """Which figures point at it, as a sentence."""
    settings: tuple[str, ...]
    """KEY=VALUE as `--set` takes it; empty if no key of the scenario makes the change."""
    predicted: str = ""
    """What a model expects of the change, as a sentence; empty if none was asked."""


def first_remedy(record: RunRecord, summary: Summary, verdict: Verdict | None) -> Remedy | None:
    """The change to try first; None for a run that did not fail, or whose figures can't be trusted."""
    if verdict is None or verdict.verdict != "fail":
        return None
    if verdict.safety is False:
        return _repair_store(summary)
    return next(_candidates(record, summary), None)


def _repair_store(summary: Summary) -> Remedy:
    evidence = f"{summary.audit.unsafe or 0:,} pages are not safe: no change of load, workers or clients helps as long as the server loses what it acknowledges"
    return Remedy("Repair what the server stores", evidence, ())


def _candidates(record: RunRecord, summary: Summary) -> Iterator[Remedy]:
    """Every change that the figures point at, the most specific first."""
    retry = _table(_table(record.scenario, "client"), "retry")
    patient = retry.get("strategy") == "outbox"
    waste = _waste(summary)
    amplification = summary.attempts.amplification or 1.0
    # refusals are quick: however often they are repeated, they take little of the server's time
    storm = amplification >= STORM_AMPLIFICATION and _timeouts(summary) > (summary.server.shed or 0)
    if (waste or storm) and not patient:
        yield _end_the_storm(record, amplification, waste)
    missing = summary.pages.planned - summary.pages.delivered
    given_up = sum(number for why, number in summary.pages.gave_up_by_reason.items() if why != "deadline")
    if missing and given_up >= GIVEN_UP_RATIO * missing and not patient:
        evidence = f"stations gave up {given_up:,} of the {missing:,} pages that are missing; an outbox keeps them and tries until the deadline"
        yield Remedy("Let stations keep their photos", evidence, ("client.retry.strategy=outbox",))
    if _sending_times_out(summary) and _table(record.scenario, "client").get("protocol", "multipart") in {
        "multipart",
        "put",
    }:
        evidence = "most failures are timeouts while sending: a resumed upload does not begin again from its first byte"
        yield Remedy("Resume uploads instead of repeating them", evidence, ("client.protocol=tus",))
    if record.own_server:
        yield from _more_workers(record, summary)
    if not patient:
        evidence = (
            "the scenario says nothing of the server that could be changed, but patient clients spread their load"
        )
        yield Remedy("Let stations keep their photos", evidence, ("client.retry.strategy=outbox",))


def _timeouts(summary: Summary) -> int:
    return sum(number for name, number in summary.attempts.by_outcome.items() if name in TIMED_OUT)


def _waste(summary: Summary) -> int:
    """Jobs that ran for clients that had left, if they are a large part of the work; else 0."""
    wasted, answered = summary.server.wasted_work or 0, summary.server.answered or 0
    return wasted if wasted > WASTED_RATIO * max(wasted + answered, 1) else 0


def _end_the_storm(record: RunRecord, amplification: float, waste: int) -> Remedy:
    parts = (
        [f"every page was sent {amplification:.1f} times on average"] if amplification >= STORM_AMPLIFICATION else []
    )
    if waste:
        parts.append(f"{waste:,} jobs ran for clients that had already left")
    settings = ["client.retry.strategy=outbox", "client.retry.honour_retry_after=true"]
    title = "Let stations keep their photos and retry later"
    server = _table(record.scenario, "server")
    if record.own_server:
        workers = server.get("workers")
        if server.get("shed") == "none" and isinstance(workers, int):
            title = "Bound the server's queue, and let stations retry later"
            settings += ["server.shed=queue_full", f"server.queue_capacity={QUEUE_PER_WORKER * workers}"]
        if server.get("retry_after") == "none":
            settings.append("server.retry_after=queue_estimate")
    return Remedy(
        title, f"{' and '.join(parts)}: retries keep the server busy with work that nobody waits for", tuple(settings)
    )


def _more_workers(record: RunRecord, summary: Summary) -> Iterator[Remedy]:
    workers, busy = _table(record.scenario, "server").get("workers"), summary.server.workers_busy_max
    if not isinstance(workers, int) or busy is None or busy < workers:
        return
    delivered = summary.pages.delivered_by_deadline
    # as many times the workers as there were more pages than deliveries: each worker does what it did in this run
    factor = summary.pages.planned / delivered if delivered else MAX_FACTOR
    wanted = max(workers + 1, min(math.ceil(workers * factor), MAX_FACTOR * workers))
    who = "its only worker was busy" if workers == 1 else f"all {workers} workers were busy at once"
    evidence = f"{who}, and {delivered:,} of {summary.pages.planned:,} pages were delivered by the deadline"
    yield Remedy(f"Give the server {wanted} workers", evidence, (f"server.workers={wanted}",))


def _sending_times_out(summary: Summary) -> bool:
    by_outcome = summary.attempts.by_outcome
    failures = {
        name: number
        for name, number in by_outcome.items()
        if name in TIMED_OUT or name in {Outcome.UNAVAILABLE, Outcome.THROTTLED, Outcome.RESET, Outcome.REFUSED}
    }
    return (
        bool(failures)
        and max(failures, key=lambda name: failures[name]) == Outcome.TIMEOUT_SEND
        and failures[Outcome.TIMEOUT_SEND] > 0
    )


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    found = tables.get(name)
    return found if isinstance(found, dict) else {}
