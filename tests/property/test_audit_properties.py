"""Random histories and random stores against a checker as plain as it can be: the same category for every page."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.base.model import ALL_STATUSES, UNSAFE_STATUSES, Outcome, PageStatus
from harness.judge.audit import audit_run
from tests.support.run_builder import RunBuilder, make_pages

STATIONS, EACH = 3, 2
PAGES = make_pages([0.0] * STATIONS, EACH)
KEYS = [(page.station, page.form, page.page) for page in PAGES]
NOWHERE = ("3509191001000", "ppwp", 1)
DIGESTS = [page.sha256 for page in PAGES]

attempts = st.tuples(st.integers(0, len(PAGES) - 1), st.sampled_from([*Outcome, None]))
"""A page and how an attempt at it ended; None: it began and never ended."""
places = st.sampled_from([*KEYS, NOWHERE])
digests = st.sampled_from([*DIGESTS, "00" * 32])
as_planned = st.sampled_from(PAGES).map(lambda page: ((page.station, page.form, page.page), page.sha256, page.reading))
foreign = st.tuples(places, digests, st.sampled_from(['{"100025":1,"100026":2,"100027":3}', '{"100025":7}', "", None]))
stored = st.lists(st.one_of(as_planned, foreign), max_size=8)


def naive(history, copies):
    """Category of every page by its index, and the number of copies that belong to no page; straight from the definitions."""
    mine: dict[int, list[tuple[str, str | None]]] = {index: [] for index in range(len(PAGES))}
    unexpected = 0
    for key, digest, reading in copies:
        if key in KEYS and DIGESTS[KEYS.index(key)] == digest:
            mine[KEYS.index(key)].append(("own", reading))
        elif digest in DIGESTS:
            mine[DIGESTS.index(digest)].append(("foreign", reading))
        elif key in KEYS:
            mine[KEYS.index(key)].append(("damaged", reading))
        else:
            unexpected += 1
    return {
        page.index: one(page, [o for i, o in history if i == page.index], mine[page.index]) for page in PAGES
    }, unexpected


def one(page, outcomes, copies):
    sent = [outcome for outcome in outcomes if outcome is not Outcome.WITHHELD]
    acknowledged = Outcome.ACCEPTED in sent or Outcome.REPLAYED in sent
    reached = [outcome for outcome in sent if outcome not in {Outcome.REFUSED, Outcome.TIMEOUT_CONNECT}]
    no = {Outcome.REJECTED, Outcome.UNREADABLE, Outcome.THROTTLED}
    refused = bool(reached) and all(outcome in no for outcome in reached)
    kinds = [kind for kind, _ in copies]
    altered = any(kind == "own" and reading is not None and reading != page.reading for kind, reading in copies)
    for fits, category in (
        ("foreign" in kinds, PageStatus.MISFILED), ("damaged" in kinds, PageStatus.CORRUPTED), (altered, PageStatus.ALTERED),
        (len(copies) > 1, PageStatus.DUPLICATED), (copies and refused, PageStatus.RESURRECTED),
        (acknowledged and not copies, PageStatus.LOST), (acknowledged, PageStatus.OK), (copies, PageStatus.RECOVERED),
        (sent, PageStatus.UNDELIVERED),
    ):  # fmt: skip
        if fits:
            return category
    return PageStatus.UNATTEMPTED


def recorded(path, history, copies):
    run = RunBuilder(path, pages=PAGES)
    for number, (page, outcome) in enumerate(history, 1):
        if outcome is None:
            run.begin(page, attempt=number)
        elif outcome is Outcome.WITHHELD:
            run.withhold(page, attempt=number)
        else:
            run.attempt(page, attempt=number, outcome=outcome)
    rows = [
        {"station": key[0], "form": key[1], "page": key[2], "sha256": digest, "size_bytes": 9, "reading": reading}
        for key, digest, reading in copies
    ]
    run.store([{**row, "stored_at": 1.0} for row in rows])
    return run.finish("deadline", at_s=72.0)


@settings(max_examples=80, deadline=None)
@given(st.lists(attempts, max_size=14), stored)
@example([(0, Outcome.ACCEPTED)], [(KEYS[1], DIGESTS[0], ""), (KEYS[0], "00" * 32, "")])
@example([(0, Outcome.RESET), (0, Outcome.REJECTED)], [(KEYS[0], DIGESTS[0], "")])
@example([(0, Outcome.REFUSED), (0, Outcome.THROTTLED)], [(KEYS[0], DIGESTS[0], "")])
@example([(0, Outcome.PENDING)], [(KEYS[0], DIGESTS[0], "")])
@example([(1, Outcome.ACCEPTED)], [(KEYS[1], DIGESTS[1], '{"100025":7}'), (KEYS[1], DIGESTS[1], '{"100025":7}')])
def test_every_page_has_the_category_that_a_plain_checker_gives_it(history, copies):
    with tempfile.TemporaryDirectory() as place:
        folder = recorded(Path(place) / "run", history, copies)
        rows = load_rows(folder)
        fates = load_page_statuses(folder, rows)
        audit = audit_run(folder, rows, fates)
    expected, unexpected = naive(history, copies)
    assert {index: ALL_STATUSES[number] for index, number in enumerate(fates.status_number.tolist())} == expected
    assert len(fates.unexpected) == unexpected
    counts = audit.counts.model_dump()
    intact = [(PAGES[KEYS.index(key)], digest, reading) for key, digest, reading in copies if key in KEYS]
    told = [reading for page, digest, reading in intact if digest == page.sha256 and page.reading]
    if told and not any(reading is not None for reading in told):  # the store tells no readings
        assert counts["altered"] is None
        counts["altered"] = 0
    assert {name: counts[name] for name in ALL_STATUSES} == {
        name: Counter(expected.values())[name] + (unexpected if name == "unexpected" else 0) for name in ALL_STATUSES
    }
    assert sum(counts[name] for name in ALL_STATUSES) == len(PAGES) + unexpected
    assert counts["unsafe"] == sum(counts[name] for name in UNSAFE_STATUSES)
    assert_verdicts(audit, expected, copies)
    assert_listed(audit, expected)


def assert_verdicts(audit, expected, copies):
    unsafe = audit.counts.unsafe > 0
    assert (audit.safety is False) is unsafe
    if not unsafe:
        acknowledged = PageStatus.OK in expected.values()
        assert audit.safety == (True if acknowledged else "unknown")
    held = {
        DIGESTS.index(digest) for key, digest, _ in copies if digest in DIGESTS and KEYS[DIGESTS.index(digest)] == key
    }
    assert audit.missed == len(PAGES) - len(held) == sum(audit.missed_by.values())
    assert audit.liveness is (audit.missed == 0)


def assert_listed(audit, expected):
    """Every unsafe page is listed once, under its category, with all copies that are its."""
    for category in UNSAFE_STATUSES:
        listed = [(page.station, page.form, page.page) for page in audit.pages[category]]
        if category is PageStatus.UNEXPECTED:
            assert len(listed) == audit.counts.unexpected
        else:
            assert listed == [KEYS[index] for index, found in expected.items() if found is category]
