"""A small run folder of which every row is known: two stations with two pages each, one page lost, one never delivered."""

from __future__ import annotations

from pathlib import Path

from harness.base.model import Outcome
from harness.run_folder.layout import RunFolder
from tests.support.run_builder import RunBuilder

QUEUE = "mock_server_queue_depth"


def small_run(path: Path) -> RunFolder:
    """Station 1 completes at 3 s (its first page is not stored); station 2 delivers one page of two."""
    run = RunBuilder(path, stations=2, pages_each=2, due_s=[0.0, 1.0])
    run.attempt(0, outcome=Outcome.ACCEPTED, due_s=0.0, sent_s=0.001, done_s=0.5)
    run.attempt(1, outcome=Outcome.UNAVAILABLE, due_s=0.5, sent_s=0.501, done_s=0.6)
    run.attempt(1, attempt=2, outcome=Outcome.ACCEPTED, due_s=2.0, sent_s=2.001, done_s=3.0)
    run.attempt(2, outcome=Outcome.ACCEPTED, due_s=1.0, sent_s=1.001, done_s=1.25)
    run.attempt(3, outcome=Outcome.UNAVAILABLE, due_s=1.25, sent_s=1.251, done_s=1.5)
    run.withhold(3, attempt=2, due_s=2.5)
    run.store_all(but=[0, 3])
    run.scrape_idle_generator(4)
    for second, depth in enumerate([0.0, 3.0, 1.0]):
        run.scrape("server", float(second), {(QUEUE, ()): depth})
    return run.finish("deadline", at_s=72.0)
