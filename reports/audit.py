"""The audit in words: the same on the page, in Markdown, in JUnit and on the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from harness.analysis.page_status import ALL_STATUSES, UNSAFE_STATUSES, PageStatus
from harness.analysis.summary import AuditCounts
from harness.judge.results import Audit, AuditedPage, StoredCopy
from reports import number_format
from reports.number_format import format_count

TITLE = "Is anything lost?"
MAX_PAGES_SHOWN = 5
"""How many pages of each unsafe category are shown; audit.json has the others."""
MEANINGS = {
    PageStatus.MISFILED: "its bytes are held under another key",
    PageStatus.CORRUPTED: "other bytes are held than were sent",
    PageStatus.ALTERED: "another reading is held than was sent",
    PageStatus.DUPLICATED: "held more than once",
    PageStatus.RESURRECTED: "held, although every answer was a refusal",
    PageStatus.LOST: "acknowledged, and not held",
    PageStatus.UNEXPECTED: "held, and no planned page",
    PageStatus.OK: "acknowledged, and held as it was sent",
    PageStatus.RECOVERED: "held as it was sent, never acknowledged",
    PageStatus.UNDELIVERED: "attempted, neither acknowledged nor held",
    PageStatus.UNATTEMPTED: "never attempted, and not held",
}
_UNKNOWN_CATEGORIES = {
    **{category: f"what is {category}" for category in UNSAFE_STATUSES},
    PageStatus.UNEXPECTED: "what stands under other names",
    PageStatus.ALTERED: "the readings",
    PageStatus.MISFILED: "under which names the photos stand",
}
HEADERS = ("Category", "Pages", "Counts against", "What it means")
UNSAFE_HEADERS = ("Category", "Page", "Acknowledged", "Expected", "Found")
SAFETY, LIVENESS = "safety", "liveness"


def describe_safety(audit: Audit) -> str:
    """Whether the server kept what it acknowledged, in a sentence."""
    if audit.safety is False:
        return f"Not safe: {describe_unsafe(audit.counts)}."
    if audit.safety == "unknown":
        return f"Safety is unknown: {'; '.join(audit.doubts)}."
    more = audit.counts.recovered or 0
    also = f"; {format_count(more)} more whose acknowledgement never arrived" if more else ""
    unseen = [_UNKNOWN_CATEGORIES[category] for category in UNSAFE_STATUSES if getattr(audit.counts, category) is None]
    but = f"; not known, as the way to the store doesn't show it: {', '.join(unseen)}" if unseen else ""
    return f"Safe: what was acknowledged ({number_format.plural(audit.sets.acknowledged, 'page')}) is held once, as sent{also}{but}."


def describe_liveness(audit: Audit) -> str:
    """Whether everything was held by the deadline, in a sentence."""
    if audit.liveness is True:
        return f"Live: all {format_count(audit.sets.planned)} pages were held by the deadline."
    if audit.liveness == "unknown":
        return "Liveness is unknown: it can't be told whether every page was held by the deadline."
    if audit.missed is None:
        return f"Not live: {format_count(audit.counts.unattempted or 0)} unattempted."
    missed = f"{format_count(audit.missed)} of {number_format.plural(audit.sets.planned, 'page')}"
    parts = sorted(audit.missed_by.items(), key=lambda part: -part[1])
    named = ", ".join(f"{format_count(number)} {word}" for word, number in parts)
    return f"Not live: {missed} not held as planned by the deadline{f' ({named})' if named else ''}."


def describe_unsafe(counts: AuditCounts) -> str:
    """The unsafe categories that occurred: "3 lost, 1 corrupted"."""
    found = [(getattr(counts, category) or 0, category) for category in UNSAFE_STATUSES]
    return ", ".join(f"{format_count(number)} {category}" for number, category in found if number)


def category_rows(audit: Audit) -> Iterator[tuple[str, int | None, str, str]]:
    """Category, number of pages (None if not known), which verdict it counts against, and what it means."""
    against = dict.fromkeys(UNSAFE_STATUSES, SAFETY) | dict.fromkeys(
        (PageStatus.UNDELIVERED, PageStatus.UNATTEMPTED), LIVENESS
    )
    for category in ALL_STATUSES:
        yield category, getattr(audit.counts, category), against.get(category, ""), MEANINGS[category]


def unsafe_rows(audit: Audit, each: int = MAX_PAGES_SHOWN) -> tuple[list[Sequence[str]], str]:
    """The first pages of each unsafe category, a row each as `UNSAFE_HEADERS`, and a note on those left out (if any)."""
    rows: list[Sequence[str]] = [
        (category, *_describe_page(page, readings=category == PageStatus.ALTERED))
        for category, pages in audit.pages.items()
        for page in pages[:each]
    ]
    left = (audit.counts.unsafe or 0) - len(rows)
    return rows, f"{format_count(left)} more in audit.json." if left > 0 else ""


def _describe_page(page: AuditedPage, *, readings: bool) -> tuple[str, str, str, str]:
    when = "never" if page.acknowledged_s is None else f"at {number_format.format_duration(page.acknowledged_s)}"
    name = f"{page.station} {page.form} {page.page}"
    if readings and page.expected is not None:
        expected, found = _differences(page.expected.reading, page.found[0].reading or "")
    else:
        expected = "nothing" if page.expected is None else _digest(page.expected.sha256)
        found = "; ".join(_describe_copy(copy, page) for copy in page.found) or "nothing"
    return name, when, expected, found


def _describe_copy(copy: StoredCopy, page: AuditedPage) -> str:
    """What is held, and where if not under the page's key."""
    elsewhere = (copy.station, copy.form, copy.page) != (page.station, page.form, page.page)
    return f"{copy.station} {copy.form} {copy.page}: {_digest(copy.sha256)}" if elsewhere else _digest(copy.sha256)


def _digest(sha256: str) -> str:
    return f"{sha256[:12]}…"


def _differences(sent: str, held: str) -> tuple[str, str]:
    """The figures of two readings that are not the same, on either side.

    >>> _differences('{"chart":{"100025":105,"100026":7}}', '{"chart":{"100025":705,"100026":7}}')
    ('chart.100025 105', 'chart.100025 705')
    """
    sides = [dict(_leaves(_parsed(text))) for text in (sent, held)]
    names = [name for name in sides[0] | sides[1] if sides[0].get(name) != sides[1].get(name)]
    one, other = (", ".join(f"{name} {side[name]}".strip() for name in names if name in side) for side in sides)
    return one or "nothing", other or "nothing"


def _parsed(text: str) -> object:
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text


def _leaves(content: object, name: str = "") -> Iterator[tuple[str, str]]:
    """The single values of a reading by their dotted names."""
    if isinstance(content, dict | list):
        entries = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in entries:
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.dumps(content, ensure_ascii=False)
