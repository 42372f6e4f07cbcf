"""What failed at a server of the user's own, as sentences: which request, which status, how often, and what was wrong with answers."""

from __future__ import annotations

from http import HTTPStatus

from harness.analysis.summary import EndpointFailures, FailureCount, Summary
from harness.base.model import MalformedReason
from harness.run_folder.scrape_log import CORRECT_ENDPOINT, describe_failed_scrape
from reports.number_format import format_count
from reports.palette import outcome_label

# Python before 3.13 has older names for four of them; these are RFC 9110's.
_STATUS_NAMES = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content",
}  # fmt: skip
TIMES = "\N{MULTIPLICATION SIGN}"
MAX_LINES = 6


def format_status(status: int | None) -> str:
    """An HTTP status with its name.

    >>> format_status(413), format_status(599), format_status(None)
    ('413 Content Too Large', '599', 'no answer')
    """
    return "no answer" if status is None else f"{status} {_STATUS_NAMES.get(status, '')}".rstrip()


def describe_failures(summary: Summary) -> list[str]:
    """A line for each way in which attempts failed, most frequent first, and for each kind of unusable answer.

    Empty for the mock server, whose faults are known: a failure there has no `request`.
    """
    failures = [failure for failure in summary.attempts.failures if failure.request or not failure.step]
    if not any(failure.request for failure in failures):
        return []
    unusable = [f"{text} {TIMES} {format_count(count)}" for text, count in summary.attempts.unusable.items()]
    # Those that the sentences on unusable answers describe better are left out.
    remaining = [failure for failure in failures if failure.reason in {"", MalformedReason.STATUS} or not unusable]
    lines = [*unusable, *(_describe(failure, summary) for failure in remaining)]
    more = len(lines) - MAX_LINES
    return [*lines[:MAX_LINES], f"and {more} other kinds of failures"] if more > 1 else lines


def describe_endpoints(summary: Summary) -> list[str]:
    """A line for each metrics endpoint of the user's own server that could not be scraped, or not always."""
    return [_describe_endpoint(endpoint) for endpoint in summary.endpoints]


def _describe_endpoint(endpoint: EndpointFailures) -> str:
    why = f"metrics endpoint {endpoint.name}: {describe_failed_scrape(endpoint.url, endpoint.error)}"
    if endpoint.failed < endpoint.scrapes:
        missed = f"{format_count(endpoint.failed)} of {format_count(endpoint.scrapes)} scrapes"
        return f"{why}; {missed} failed, and its figures have gaps"
    return f"{why}, all {format_count(endpoint.scrapes)} times; {CORRECT_ENDPOINT}"


def _describe(failure: FailureCount, summary: Summary) -> str:
    if failure.status is None:
        step = f"{failure.step}: " if failure.step else ""
        return f"{step}{outcome_label(failure.outcome)} {TIMES} {format_count(failure.attempts)}"
    answered = f"{failure.step}: {failure.request} answered {format_status(failure.status)}"
    if failure.reason == MalformedReason.STATUS:
        answered += ", which no key of [target.statuses] lists"
    if failure.stations == summary.stations.begun:
        return f"{answered} to all {format_count(failure.stations)} stations {TIMES} {format_count(failure.attempts)}"
    return f"{answered} {TIMES} {format_count(failure.attempts)}"
