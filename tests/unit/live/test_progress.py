"""Pages, stations and groups on their way, from journals as they grow."""

import numpy as np
import pytest

from harness.analysis.page_status import load_page_statuses
from harness.analysis.places import Places
from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import compute_summary
from harness.base.model import Outcome
from harness.live.journal_tail import JournalTail
from harness.live.progress import GroupProgress, PlanProgress
from harness.plan import make_plan
from harness.run_folder.journal import RECORD, AttemptRecord, GiveUpReason, JournalWriter
from harness.scenario.loader import load_scenario
from tests.support.run_builder import RunBuilder

SMOKE = make_plan(load_scenario("smoke"))


@pytest.fixture
def journal(tmp_path):
    writer = JournalWriter(tmp_path, 0)
    yield writer
    writer.close()


def attempt(writer, page, outcome=Outcome.ACCEPTED, *, number=1, due_s=0.0, done_s=1.0):
    writer.begin(page, number, due_s, due_s)
    writer.end(AttemptRecord(outcome, page=page, attempt=number, due_s=due_s, sent_s=due_s, done_s=done_s))
    writer.flush()


def places():
    codes = np.array([station.code for station in SMOKE.stations], dtype=object)
    return Places(codes, names={codes[0][:10]: "Mangli"})


def test_the_tail_gives_each_record_once_and_only_whole_ones(tmp_path, journal):
    tail = JournalTail(tmp_path)
    assert len(tail.read()) == 0
    attempt(journal, 7)
    path = tmp_path / "worker-0000.journal"
    with path.open("ab") as file:
        file.write(b"\x01" * (RECORD.itemsize - 1))
    assert tail.read()["page"].tolist() == [7, 7]
    assert len(tail.read()) == 0
    with path.open("ab") as file:
        file.write(b"\x01")
    assert len(tail.read()) == 1


def test_the_tail_catches_up_in_steps(tmp_path, journal):
    for page in range(5):
        attempt(journal, page)
    tail = JournalTail(tmp_path, most=4)
    assert [len(tail.read()) for _ in range(4)] == [4, 4, 2, 0]


def test_a_station_is_complete_with_its_last_page(tmp_path, journal):
    progress, tail = PlanProgress(SMOKE, places()), JournalTail(tmp_path)
    due = float(SMOKE.due_s[0])
    for page in range(len(SMOKE.slots)):
        assert progress.so_far(0.0).keys["stations.completed"].value == 0
        attempt(journal, page, due_s=due + page, done_s=due + page + 1)
        progress.add(tail.read())
    found = progress.so_far(due + 10)
    assert found.keys["stations.completed"].value == 1
    assert found.durations["delivery_seconds"].arrived.tolist() == pytest.approx([1.0] * len(SMOKE.slots), abs=1e-5)
    assert found.durations["completion_seconds"].arrived.tolist() == pytest.approx([float(len(SMOKE.slots))], abs=1e-5)
    first = progress.groups(due)[0]
    assert isinstance(first, GroupProgress)
    assert (first.name, first.completed) == ("Mangli", 1)
    assert first.stations >= first.arrived >= 1


def test_a_page_counts_from_its_first_due_time_and_once(tmp_path, journal):
    progress = PlanProgress(SMOKE, places())
    attempt(journal, 0, Outcome.UNAVAILABLE, due_s=1.0, done_s=1.5)
    attempt(journal, 0, number=2, due_s=3.0, done_s=4.0)
    tail = JournalTail(tmp_path)
    progress.add(tail.read())
    attempt(journal, 0, Outcome.REPLAYED, number=3, due_s=5.0, done_s=6.0)
    progress.add(tail.read())
    found = progress.so_far(10.0)
    assert found.durations["delivery_seconds"].arrived.tolist() == [3.0]
    assert found.keys["pages.delivered"].value == 1
    assert found.keys["attempts.amplification"].value == 3.0
    assert found.outcomes["unavailable"] == 1


def test_what_waits_has_waited_and_what_was_given_up_never_comes(tmp_path, journal):
    progress = PlanProgress(SMOKE, places())
    attempt(journal, 0, Outcome.UNAVAILABLE, due_s=1.0, done_s=1.5)
    attempt(journal, 3, Outcome.REJECTED, due_s=2.0, done_s=2.5)
    journal.gave_up(3, 1, 2.5, GiveUpReason.REJECTED_FOR_GOOD)
    journal.flush()
    progress.add(JournalTail(tmp_path).read())
    found = progress.so_far(5.0)
    pages = found.durations["delivery_seconds"]
    assert (pages.waiting.tolist(), pages.never, pages.planned) == ([4.0], 1, SMOKE.pages)
    assert found.durations["completion_seconds"].never == 1
    assert found.keys["stations.completed"].most == len(SMOKE.stations) - 1


def test_the_figures_are_those_of_the_summary_in_the_end(tmp_path):

    run = RunBuilder(tmp_path / "run", pages=[SMOKE.page(index) for index in range(SMOKE.pages)])
    generator = np.random.default_rng(5)
    for page in range(SMOKE.pages):
        due_s = float(SMOKE.due_s[page // len(SMOKE.slots)])
        for number in range(1, 1 + int(generator.integers(1, 4))):
            last = number == 3 or generator.random() < 0.6
            run.attempt(
                page,
                attempt=number,
                outcome=Outcome.ACCEPTED if last else Outcome.UNAVAILABLE,
                due_s=due_s + number - 1,
                done_s=due_s + number,
            )
            if last:
                break
    folder = run.finish("completed", at_s=10.0)
    rows = load_rows(folder)
    summary = compute_summary(folder, rows, load_page_statuses(folder, rows), RunData(folder, rows))
    progress = PlanProgress(SMOKE, places())
    progress.add(JournalTail(folder.journal).read())
    found = progress.so_far(10.0)
    assert found.keys["stations.completed"].value == summary.stations.completed
    assert found.keys["pages.delivered"].value == summary.pages.delivered
    assert found.keys["attempts.amplification"].value == pytest.approx(summary.attempts.amplification)
    arrived = np.sort(found.durations["delivery_seconds"].arrived)
    assert float(arrived[-1]) == pytest.approx(summary.delivery_seconds.max or float(arrived[-1]), abs=1e-4)
    for name, count in summary.attempts.by_outcome.items():
        assert found.outcomes[name] == count
