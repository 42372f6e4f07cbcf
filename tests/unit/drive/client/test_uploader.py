"""Attempt timeouts: one timer for all of them, and each ends only the attempt that it belongs to."""

import time

import gevent
import pytest

from harness.drive.client.outcomes import AttemptTimeoutError
from harness.drive.client.uploader import TimeoutQueue


def attempt(timeouts, seconds, ended):
    """A greenlet's attempt that waits for an answer; notes how it ended and after how long."""
    begun_s = time.monotonic()
    timeout = timeouts.start()
    try:
        gevent.sleep(seconds)
        ended.append(("answered", time.monotonic() - begun_s))
    except AttemptTimeoutError:
        ended.append(("late", time.monotonic() - begun_s))
    finally:
        timeout.cancel()


def test_an_attempt_that_waits_too_long_is_ended_and_one_that_does_not_is_left_alone():
    ended: list[tuple[str, float]] = []
    timeouts = TimeoutQueue(0.2)
    gevent.joinall([gevent.spawn(attempt, timeouts, seconds, ended) for seconds in (0.01, 30.0, 30.0)], timeout=29)
    assert sorted(how for how, _ in ended) == ["answered", "late", "late"]
    assert all(0.2 <= took_s < 29 for how, took_s in ended if how == "late")


def test_an_attempt_that_timed_out_may_start_the_next_at_once_and_times_out_again():
    ended: list[tuple[str, float]] = []
    timeouts = TimeoutQueue(0.05)

    def again_and_again():
        for _ in range(4):
            attempt(timeouts, 5.0, ended)

    gevent.joinall([gevent.spawn(again_and_again) for _ in range(3)], timeout=10)
    assert [how for how, _ in ended] == ["late"] * 12


def test_a_timeout_that_was_cancelled_in_time_never_fires():
    ended: list[str] = []
    timeouts = TimeoutQueue(0.05)

    def cancel_and_stay():
        timeouts.start().cancel()
        gevent.sleep(0.2)
        ended.append("undisturbed")

    gevent.joinall([gevent.spawn(cancel_and_stay) for _ in range(3)], timeout=10)
    assert ended == ["undisturbed"] * 3


def test_one_timer_serves_many_attempts(monkeypatch):
    waits: list[float] = []
    timeouts = TimeoutQueue(30.0)
    start_timer = timeouts._start_timer

    def counted(seconds):
        waits.append(seconds)
        start_timer(seconds)

    monkeypatch.setattr(timeouts, "_start_timer", counted)
    cancelled = [timeouts.start() for _ in range(1000)]
    for timeout in cancelled:
        timeout.cancel()
    assert waits == [30.0]
    assert len(timeouts._queue) == 1000
    last = timeouts.start()
    last.cancel()  # else it would fire in whatever this process does in 30 s
    assert len(timeouts._queue) == 1, "cancelled timeouts are dropped when the next one starts"


@pytest.fixture(autouse=True)
def quiet_hub(monkeypatch):
    """An error in the timer's callback would only be printed: let it fail the test."""
    errors = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *error: errors.append(error))
    yield
    gevent.sleep(0.1)
    assert not errors
