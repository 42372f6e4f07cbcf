"""Whatever the journal says, and wherever it is torn, every planned page is counted once."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.rows import load_rows
from harness.analysis.summarise import compute_summary
from harness.base.model import Outcome
from harness.run_folder.journal import GiveUpReason, journal_file_name
from tests.support.run_builder import RunBuilder

STATIONS, EACH = 3, 2
outcomes = st.sampled_from([*Outcome, None])
"""None: an attempt that began and never ended."""
attempts = st.tuples(
    st.integers(0, STATIONS * EACH - 1), st.integers(1, 4), outcomes, st.floats(0, 80), st.floats(0, 15)
)
endings = st.sampled_from(["completed", "deadline", "interrupted", "terminated", "aborted", "crashed", "killed", None])


def played(path, events, how, torn):
    run = RunBuilder(path, stations=STATIONS, pages_each=EACH, workers=2, warm_up_s=3.0)
    for page, attempt, outcome, due_s, took_s in events:
        rest = {"attempt": attempt, "due_s": due_s, "worker": page % 2}
        if outcome is None:
            run.begin(page, sent_s=due_s, **rest)
        elif outcome is Outcome.WITHHELD:
            run.withhold(page, **rest)
        else:
            run.attempt(page, outcome=outcome, done_s=due_s + took_s, **rest)
        if attempt == 4:
            run.gave_up(page, attempts=4, at_s=due_s + took_s, reason=GiveUpReason.ATTEMPTS_USED_UP, worker=page % 2)
    folder = run.break_off() if how is None else run.finish(how, at_s=90.0)
    journal = folder.journal / journal_file_name(0)
    content = journal.read_bytes()
    journal.write_bytes(content[: len(content) - min(torn, len(content))])
    return folder


@settings(max_examples=60, deadline=None)
@given(st.lists(attempts, max_size=25), endings, st.integers(0, 1_000))
def test_every_planned_page_and_every_attempt_is_counted_once(events, how, torn):
    with tempfile.TemporaryDirectory() as place:
        folder = played(Path(place) / "run", events, how, torn)
        rows = load_rows(folder)
        found = compute_summary(folder, rows)
    pages = found.pages
    assert pages.planned == STATIONS * EACH
    assert pages.planned == pages.delivered + pages.undelivered + pages.censored + pages.unattempted
    assert min(pages.delivered, pages.undelivered, pages.censored, pages.unattempted) >= 0
    assert pages.attempted == pages.planned - pages.unattempted
    assert pages.delivered_by_deadline <= pages.delivered
    assert found.attempts.total == sum(found.attempts.by_outcome.values()) == len(rows.attempts.page)
    assert sum(phase.attempts for phase in found.phases) == found.attempts.total
    assert found.stations.completed_by_deadline <= found.stations.completed <= found.stations.begun
    assert found.delivery_seconds.never <= found.delivery_seconds.count <= pages.planned
    assert found.completion_seconds.count <= found.stations.planned
    assert found.response_seconds.count <= found.attempts.total
