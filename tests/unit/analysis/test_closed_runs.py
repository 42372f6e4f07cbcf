"""Figures of a closed run: a station whose time the plan can't know turned up when its first attempt was due."""

import pytest

from harness.analysis.rows import load_rows
from harness.analysis.summarise import compute_summary
from harness.base.model import Outcome
from tests.support.run_builder import RunBuilder

LATER = float("inf")


@pytest.fixture
def figures(tmp_path):
    """One phone and four stations of two pages: two delivered, the third failed at, the fourth never reached."""
    made = RunBuilder(tmp_path / "run", pages_each=2, due_s=[1.0, LATER, LATER, LATER], deadline_s=10.0)
    for page, due_s in enumerate([1.0, 1.1, 3.0, 3.1]):
        made.attempt(page, due_s=due_s, done_s=due_s + 0.1)
    made.withhold(4, due_s=6.0)
    made.attempt(4, attempt=2, outcome=Outcome.TIMEOUT_RESPONSE, due_s=7.0, done_s=11.0)
    folder = made.finish("deadline", at_s=11.0)
    return compute_summary(folder, load_rows(folder))


def test_due_are_the_stations_that_the_phone_came_to_and_no_others(figures):
    assert (figures.stations.planned, figures.stations.due, figures.stations.begun) == (4, 3, 3)
    assert figures.generator.never_begun == 0
    pages = figures.pages
    assert (pages.planned, pages.delivered, pages.undelivered, pages.unattempted) == (8, 4, 1, 3)


def test_a_station_s_completion_runs_from_the_end_of_its_think_time(figures):
    """1.0 to 1.2 s and 3.0 to 3.2 s; the third, which turned up at 6 s, never; the fourth is in no sample."""
    assert (figures.completion_seconds.count, figures.completion_seconds.never) == (3, 1)


def test_a_page_s_delivery_counts_from_when_its_station_turned_up(figures):
    """The third station's second page, which waited behind the first, never arrived; the fourth's were never due."""
    assert (figures.delivery_seconds.count, figures.delivery_seconds.never) == (6, 2)
