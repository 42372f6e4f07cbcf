"""Rows on their way home: in order, few at a time, and never silently lost."""

import errno

import gevent
import pytest

from harness.drive.distributed import journal_sender as homeward_module
from harness.drive.distributed.journal_sender import MAX_UNCONFIRMED_CHUNKS, JournalSender
from tests.support import leak_check


class Master:
    """Takes chunks down, or doesn't answer."""

    def __init__(self, *, answers=True):
        self.chunks, self.answers, self.most = [], answers, 0
        self.homeward = JournalSender(3, self.take)
        self.unanswered = 0

    def take(self, kind, content):
        assert kind == "rows"
        self.chunks.append(content)
        self.unanswered += 1
        self.most = max(self.most, self.unanswered)
        if self.answers:
            gevent.spawn(self.answer)

    def answer(self, why_not=""):
        self.unanswered -= 1
        self.homeward.taken(why_not)


@pytest.fixture(autouse=True)
def _its_greenlets_end():
    """Else they would go on in other tests: rows are carried as long as their process lives."""
    yield
    leak_check.end_greenlets()


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(homeward_module, "CHUNK_BYTES", 10)
    monkeypatch.setattr(homeward_module, "MOST_WAITING_BYTES", 500)


@pytest.mark.usefixtures("small_chunks")
def test_everything_comes_home_in_order_each_chunk_with_its_place():
    master = Master()
    rows = bytes(range(250))
    for begin in range(0, 250, 25):
        assert master.homeward.write(memoryview(rows[begin : begin + 25])) == 25
        gevent.sleep(0)
    assert master.homeward.settle(5)
    assert b"".join(chunk["rows"] for chunk in master.chunks) == rows
    assert [chunk["at"] for chunk in master.chunks] == [
        sum(len(before["rows"]) for before in master.chunks[:number]) for number in range(len(master.chunks))
    ]
    assert {chunk["rank"] for chunk in master.chunks} == {3}
    assert master.homeward.sent_bytes == 250


@pytest.mark.usefixtures("small_chunks")
def test_no_more_chunks_are_under_way_than_agreed():
    master = Master(answers=False)
    master.homeward.write(memoryview(bytes(10 * (MAX_UNCONFIRMED_CHUNKS + 5))))
    gevent.sleep(0.01)
    assert len(master.chunks) == MAX_UNCONFIRMED_CHUNKS
    master.answer()
    gevent.sleep(0.01)
    assert len(master.chunks) == MAX_UNCONFIRMED_CHUNKS + 1
    assert not master.homeward.settle(0.01)
    assert master.homeward.sent_bytes == 10 * (MAX_UNCONFIRMED_CHUNKS + 5), (
        "what waits is missing at the master, and it must know"
    )


@pytest.mark.usefixtures("small_chunks")
def test_rows_that_the_master_does_not_take_are_refused_before_memory_runs_out():
    master = Master(answers=False)
    gevent.sleep(0)
    for _ in range(2):
        master.homeward.write(memoryview(bytes(250)))
    gevent.sleep(0.01)  # the first ones are under way
    master.homeward.write(memoryview(bytes(10 * MAX_UNCONFIRMED_CHUNKS)))
    with pytest.raises(OSError, match="the master does not take its rows: 500 bytes wait") as caught:
        master.homeward.write(memoryview(b"x"))
    assert caught.value.errno == errno.ENOBUFS


def test_why_the_master_could_not_write_is_what_the_worker_is_told():
    master = Master(answers=False)
    master.homeward.write(memoryview(b"rows"))
    gevent.sleep(0.01)
    master.answer("No space left on device")
    assert not master.homeward.settle(1)
    with pytest.raises(OSError, match="No space left on device"):
        master.homeward.write(memoryview(b"more"))
