import gevent
import pytest

from harness.drive.greenlet_pool import GreenletPool


class Seen:
    def __init__(self):
        self.broken = 0
        self.begun: list[object] = []
        self.ended: list[object] = []
        self.greenlets: set[int] = set()

    def note_broken(self):
        self.broken += 1

    def job(self, name, seconds=0.0):
        def work():
            self.begun.append(name)
            self.greenlets.add(id(gevent.getcurrent()))
            gevent.sleep(seconds)
            self.ended.append(name)

        return work


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def hands(seen):
    made = GreenletPool(seen.note_broken)
    yield made
    made.kill()


def test_jobs_are_done_side_by_side_and_waited_for(seen, hands):
    for number in range(50):
        hands.begin(seen.job(number, 0.01))
    assert len(hands) == 50
    hands.join()
    assert sorted(seen.ended) == list(range(50))
    assert len(seen.greenlets) == 50
    assert not len(hands)


def test_a_job_after_another_is_done_by_the_same_greenlet(seen, hands):
    for number in range(20):
        hands.begin(seen.job(number))
        hands.join()
        gevent.sleep(0)
    assert seen.ended == list(range(20))
    assert len(seen.greenlets) == 1


def test_a_crowds_greenlets_end_but_for_some(seen, hands):
    for number in range(1000):
        hands.begin(seen.job(number))
    hands.join()
    assert len(seen.ended) == 1000
    assert len(hands._idle) == 256


def test_an_error_that_nobody_thought_of_is_told_and_the_greenlet_goes_on(seen, hands, monkeypatch):
    logged = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda _, kind, *_rest: logged.append(kind))

    def broken():
        raise ZeroDivisionError

    hands.begin(broken)
    hands.begin(seen.job("after"))
    hands.join()
    assert (seen.broken, logged, seen.ended) == (1, [ZeroDivisionError], ["after"])


def test_to_kill_ends_what_waits_and_what_has_not_begun_and_is_no_error(seen, hands):
    hands.begin(seen.job("long", 60))
    gevent.sleep(0)
    hands.begin(seen.job("never", 60))
    hands.kill()
    assert (seen.begun, seen.ended, seen.broken, len(hands)) == (["long"], [], 0, 0)
    hands.begin(seen.job("again"))
    hands.join()
    assert seen.ended == ["again"]


def test_a_job_that_is_over_before_it_is_killed_does_not_harm_the_next_one(seen, hands):
    """Its greenlet may have another job by then: only what was under way is ended."""
    hands.begin(seen.job("first"))
    gevent.spawn(hands.kill)
    hands.join()
    hands.begin(seen.job("second", 0.01))
    hands.join()
    assert seen.ended[-1] == "second"


def test_nothing_to_wait_for_is_not_waited_for(hands):
    with gevent.Timeout(5):
        hands.join()
        hands.kill()
