"""The audit as text: the same sentences and rows for the HTML page, Markdown, JUnit and the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from harness.analysis.summary import AuditCounts
from harness.base.model import ALL_STATUSES, UNSAFE_STATUSES, PageStatus
from harness.judge.results import Audit, AuditedPage, StoredCopy
from reports import number_format
from reports.number_format import format_count

TITLE = "Is anything lost?"
MAX_PAGES_SHOWN = 5
"""How many pages of each unsafe category are listed; audit.json has the rest."""
MEANINGS = {
    PageStatus.MISFILED: "stored under another page's key",
    PageStatus.CORRUPTED: "stored bytes differ from those sent",
    PageStatus.ALTERED: "stored reading differs from the one sent",
    PageStatus.DUPLICATED: "stored more than once",
    PageStatus.RESURRECTED: "stored although every answer was a refusal",
    PageStatus.LOST: "acknowledged but not stored",
    PageStatus.UNEXPECTED: "on the server, but not in the plan",
    PageStatus.OK: "acknowledged and stored as sent",
    PageStatus.RECOVERED: "not acknowledged, but stored as sent",
    PageStatus.UNDELIVERED: "attempted, neither acknowledged nor stored",
    PageStatus.UNATTEMPTED: "not attempted and not stored",
}
_UNKNOWN_CATEGORIES = {
    **{category: f"what is {category}" for category in UNSAFE_STATUSES},
    PageStatus.UNEXPECTED: "pages under unplanned keys",
    PageStatus.ALTERED: "the readings",
    PageStatus.MISFILED: "the keys of the stored photos",
}
_HIDDEN_BY_SIZE = frozenset({PageStatus.CORRUPTED, PageStatus.MISFILED})
_PROSE: dict[str, str] = {PageStatus.UNATTEMPTED: "not attempted"}
"""Categories that read better in a sentence in other words."""
HEADERS = ("Category", "Pages", "Counts against", "What it means")
UNSAFE_HEADERS = ("Category", "Page", "Acknowledged", "Expected", "Found")
SAFETY, LIVENESS = "safety", "liveness"


def describe_safety(audit: Audit) -> str:
    """A sentence: whether the server has stored every page it acknowledged, once and unchanged."""
    if audit.safety is False:
        return f"Not safe: {describe_unsafe(audit.counts)}."
    if audit.safety == "unknown":
        return f"Safety is unknown: {'; '.join(audit.doubts)}."
    more = audit.counts.recovered or 0
    also = f"; so are {format_count(more)} more that were not acknowledged" if more else ""
    # a category is None where the configured store check cannot see it: say so, or "safe" would promise too much
    hidden = [category for category in UNSAFE_STATUSES if getattr(audit.counts, category) is None]
    # what the sentences below say in other words
    explained = (
        _HIDDEN_BY_SIZE if audit.sets.by_size else {PageStatus.MISFILED} if audit.sets.same_bytes else frozenset()
    )
    unknown = [_UNKNOWN_CATEGORIES[one] for one in hidden if one not in explained]
    but = f"; unknown, because the store does not expose it: {', '.join(unknown)}" if unknown else ""
    acknowledged = number_format.plural(audit.sets.acknowledged, "page")
    how = "as sent" if not audit.sets.by_size else f"with the size that was sent ({_not_compared(audit)})"
    same = audit.sets.same_bytes
    alike = (
        f"; {number_format.plural(same, 'page')} share their bytes with another, so that only their keys distinguish them"
        if same
        else ""
    )
    return f"Safe: every acknowledged page ({acknowledged}) is stored once, {how}{also}{alike}{but}."


def _not_compared(audit: Audit) -> str:
    copies = "copy" if audit.sets.by_size == 1 else "copies"
    return f"{format_count(audit.sets.by_size)} {copies} without a digest, so their bytes were not compared: weaker evidence"


def describe_liveness(audit: Audit) -> str:
    """A sentence: whether every planned page was stored by the deadline."""
    if audit.liveness is True:
        return f"In time: all {format_count(audit.sets.planned)} pages were stored by the deadline."
    if audit.liveness == "unknown":
        return "Liveness is unknown: the store does not show whether every page was stored by the deadline."
    if audit.missed is None:
        return f"Missing at the deadline: {format_count(audit.counts.unattempted or 0)} pages that were not attempted."
    missed = f"{format_count(audit.missed)} of {number_format.plural(audit.sets.planned, 'page')}"
    # the most frequent cause first
    parts = sorted(audit.missed_by.items(), key=lambda part: -part[1])
    named = ", ".join(f"{format_count(number)} {_PROSE.get(word, word)}" for word, number in parts)
    return f"Late or missing at the deadline: {missed}{f' ({named})' if named else ''}."


def describe_unsafe(counts: AuditCounts) -> str:
    """The unsafe categories that occurred with their counts, as in "3 lost, 1 corrupted"; empty if there are none."""
    found = [(getattr(counts, category) or 0, category) for category in UNSAFE_STATUSES]
    return ", ".join(f"{format_count(number)} {category}" for number, category in found if number)


def category_rows(audit: Audit) -> Iterator[tuple[str, int | None, str, str]]:
    """Rows of `HEADERS`: category, number of pages (None if not known), the verdict it counts against, its meaning."""
    against = dict.fromkeys(UNSAFE_STATUSES, SAFETY) | dict.fromkeys(
        (PageStatus.UNDELIVERED, PageStatus.UNATTEMPTED), LIVENESS
    )
    for category in ALL_STATUSES:
        yield category, getattr(audit.counts, category), against.get(category, ""), MEANINGS[category]


def unsafe_rows(audit: Audit, each: int = MAX_PAGES_SHOWN) -> tuple[list[Sequence[str]], str]:
    """Rows of `UNSAFE_HEADERS` for the first `each` pages of each unsafe category, and a note on how many are left out."""
    rows: list[Sequence[str]] = [
        (category, *_describe_page(page, readings=category == PageStatus.ALTERED))
        for category, pages in audit.pages.items()
        for page in pages[:each]
    ]
    # audit.json may be cut as well; the counts never are
    left = (audit.counts.unsafe or 0) - len(rows)
    return rows, f"{format_count(left)} more in audit.json." if left > 0 else ""


def _describe_page(page: AuditedPage, *, readings: bool) -> tuple[str, str, str, str]:
    when = "never" if page.acknowledged_s is None else f"at {number_format.format_duration(page.acknowledged_s)}"
    name = f"{page.station} {page.form} {page.page}"
    # for an altered reading digests would only say "different": show the figures that differ
    if readings and page.expected is not None:
        expected, found = _differences(page.expected.reading, page.found[0].reading or "")
    else:
        expected = "nothing" if page.expected is None else _digest(page.expected.sha256)
        found = "; ".join(_describe_copy(copy, page) for copy in page.found) or "nothing"
    # The last attempt is the acknowledged one, if any was: after it a station goes on to its next page.
    trace = f" (trace {page.trace_ids[-1]})" if page.trace_ids else ""
    return name, when, expected, found + trace


def _describe_copy(copy: StoredCopy, page: AuditedPage) -> str:
    """The digest of a stored copy, with its key if that is not the page's own."""
    elsewhere = (copy.station, copy.form, copy.page) != (page.station, page.form, page.page)
    return f"{copy.station} {copy.form} {copy.page}: {_digest(copy.sha256)}" if elsewhere else _digest(copy.sha256)


def _digest(sha256: str) -> str:
    return f"{sha256[:12]}…"


def _differences(sent: str, stored: str) -> tuple[str, str]:
    """The figures in which two readings (JSON) differ: as sent, as stored.

    >>> _differences('{"chart":{"100025":105,"100026":7}}', '{"chart":{"100025":705,"100026":7}}')
    ('chart.100025 105', 'chart.100025 705')
    """
    sides = [dict(_leaves(_parsed(text))) for text in (sent, stored)]
    names = [name for name in sides[0] | sides[1] if sides[0].get(name) != sides[1].get(name)]
    one, other = (", ".join(f"{name} {side[name]}".strip() for name in names if name in side) for side in sides)
    return one or "nothing", other or "nothing"


def _parsed(text: str) -> object:
    try:
        return json.loads(text or "{}")
    # the server may return anything as a reading: show it as text
    except (ValueError, RecursionError):
        return text


def _leaves(content: object, name: str = "") -> Iterator[tuple[str, str]]:
    """The values of a reading with their dotted names."""
    if isinstance(content, dict | list):
        entries = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in entries:
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.dumps(content, ensure_ascii=False)
