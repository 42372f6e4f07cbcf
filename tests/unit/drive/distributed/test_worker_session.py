"""A journal on its way to the leader: in order, few chunks at a time, and never silently lost."""

import errno

import gevent
import pytest

from harness.drive.distributed import worker_session
from harness.drive.distributed.worker_session import MAX_UNCONFIRMED_CHUNKS, JournalSender
from tests.support import leak_check


class Leader:
    """Takes chunks down, or doesn't answer."""

    def __init__(self, *, answers=True):
        self.chunks, self.answers, self.most = [], answers, 0
        self.sender = JournalSender(3, self.take)
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
        self.sender.confirm(why_not)


@pytest.fixture(autouse=True)
def _its_greenlets_end():
    """Else they would go on in other tests: a sender lives as long as its process."""
    yield
    leak_check.end_greenlets()


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(worker_session, "CHUNK_BYTES", 10)
    monkeypatch.setattr(worker_session, "MAX_BUFFERED_BYTES", 500)


@pytest.mark.usefixtures("small_chunks")
def test_everything_is_sent_in_order_each_chunk_with_its_offset():
    leader = Leader()
    rows = bytes(range(250))
    for begin in range(0, 250, 25):
        assert leader.sender.write(memoryview(rows[begin : begin + 25])) == 25
        gevent.sleep(0)
    assert leader.sender.drain(5)
    assert b"".join(chunk["rows"] for chunk in leader.chunks) == rows
    assert [chunk["at"] for chunk in leader.chunks] == [
        sum(len(before["rows"]) for before in leader.chunks[:number]) for number in range(len(leader.chunks))
    ]
    assert {chunk["rank"] for chunk in leader.chunks} == {3}
    assert leader.sender.accepted_bytes == 250


@pytest.mark.usefixtures("small_chunks")
def test_no_more_chunks_are_under_way_than_agreed():
    leader = Leader(answers=False)
    leader.sender.write(memoryview(bytes(10 * (MAX_UNCONFIRMED_CHUNKS + 5))))
    gevent.sleep(0.01)
    assert len(leader.chunks) == MAX_UNCONFIRMED_CHUNKS
    leader.answer()
    gevent.sleep(0.01)
    assert len(leader.chunks) == MAX_UNCONFIRMED_CHUNKS + 1
    assert not leader.sender.drain(0.01)
    assert leader.sender.accepted_bytes == 10 * (MAX_UNCONFIRMED_CHUNKS + 5), (
        "the leader must know what it has not received"
    )


@pytest.mark.usefixtures("small_chunks")
def test_rows_that_the_leader_does_not_accept_are_refused_before_memory_runs_out():
    leader = Leader(answers=False)
    gevent.sleep(0)
    for _ in range(2):
        leader.sender.write(memoryview(bytes(250)))
    gevent.sleep(0.01)  # the first ones are under way
    leader.sender.write(memoryview(bytes(10 * MAX_UNCONFIRMED_CHUNKS)))
    with pytest.raises(OSError, match="the leader does not accept its rows: 500 bytes are waiting") as caught:
        leader.sender.write(memoryview(b"x"))
    assert caught.value.errno == errno.ENOBUFS


def test_why_the_leader_could_not_write_is_what_the_worker_is_told():
    leader = Leader(answers=False)
    leader.sender.write(memoryview(b"rows"))
    gevent.sleep(0.01)
    leader.answer("No space left on device")
    assert not leader.sender.drain(1)
    with pytest.raises(OSError, match="No space left on device"):
        leader.sender.write(memoryview(b"more"))
