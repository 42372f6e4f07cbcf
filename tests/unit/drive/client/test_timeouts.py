import time

import gevent
import pytest

from harness.drive.client.outcomes import AttemptTimeoutError
from harness.drive.client.timeouts import TimeoutQueue


def attempt(deadlines, seconds, ended):
    """A greenlet's attempt that waits for an answer; notes how it ended and after how long."""
    begun_s = time.monotonic()
    deadline = deadlines.begin()
    try:
        gevent.sleep(seconds)
        ended.append(("answered", time.monotonic() - begun_s))
    except AttemptTimeoutError:
        ended.append(("late", time.monotonic() - begun_s))
    finally:
        deadline.met()


@pytest.mark.timed
def test_an_attempt_that_waits_too_long_is_ended_and_one_that_does_not_is_left_alone():
    ended: list[tuple[str, float]] = []
    deadlines = TimeoutQueue(0.2)
    gevent.joinall([gevent.spawn(attempt, deadlines, seconds, ended) for seconds in (0.01, 5.0, 5.0)], timeout=4)
    assert sorted(how for how, _ in ended) == ["answered", "late", "late"]
    assert all(0.2 <= took_s < 3 for how, took_s in ended if how == "late")


def test_who_was_struck_may_begin_again_at_once_and_is_struck_again():
    ended: list[tuple[str, float]] = []
    deadlines = TimeoutQueue(0.05)

    def again_and_again():
        for _ in range(4):
            attempt(deadlines, 5.0, ended)

    gevent.joinall([gevent.spawn(again_and_again) for _ in range(3)], timeout=10)
    assert [how for how, _ in ended] == ["late"] * 12


def test_a_deadline_that_was_met_in_time_never_strikes():
    ended: list[str] = []
    deadlines = TimeoutQueue(0.05)

    def meet_and_stay():
        deadlines.begin().met()
        gevent.sleep(0.2)
        ended.append("undisturbed")

    gevent.joinall([gevent.spawn(meet_and_stay) for _ in range(3)], timeout=10)
    assert ended == ["undisturbed"] * 3


def test_one_timer_serves_many_attempts(monkeypatch):
    waits: list[float] = []
    deadlines = TimeoutQueue(30.0)
    wait = deadlines._wait

    def counted(seconds):
        waits.append(seconds)
        wait(seconds)

    monkeypatch.setattr(deadlines, "_wait", counted)
    met = [deadlines.begin() for _ in range(1000)]
    for deadline in met:
        deadline.met()
    assert waits == [30.0]
    assert len(deadlines._queue) == 1000
    last = deadlines.begin()
    last.met()  # else it would strike whatever waits in this process in 30 s
    assert len(deadlines._queue) == 1, "what was met is forgotten at the next beginning"


@pytest.fixture(autouse=True)
def quiet_hub(monkeypatch):
    """An error in the timer's callback would only be printed: let it fail the test."""
    errors = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *error: errors.append(error))
    yield
    gevent.sleep(0.1)
    assert not errors
