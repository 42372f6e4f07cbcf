import gevent
import pytest

from harness.drive.greenlet_pool import GreenletPool


class Jobs:
    def __init__(self):
        self.errors = 0
        self.started: list[object] = []
        self.ended: list[object] = []
        self.greenlets: set[int] = set()

    def count_error(self):
        self.errors += 1

    def job(self, name, seconds=0.0):
        def work():
            self.started.append(name)
            self.greenlets.add(id(gevent.getcurrent()))
            gevent.sleep(seconds)
            self.ended.append(name)

        return work


@pytest.fixture
def jobs():
    return Jobs()


@pytest.fixture
def pool(jobs):
    made = GreenletPool(jobs.count_error)
    yield made
    made.kill()


def test_jobs_are_done_side_by_side_and_waited_for(jobs, pool):
    for number in range(50):
        pool.start(jobs.job(number, 0.01))
    assert len(pool) == 50
    pool.join()
    assert sorted(jobs.ended) == list(range(50))
    assert len(jobs.greenlets) == 50
    assert not len(pool)


def test_a_job_after_another_is_done_by_the_same_greenlet(jobs, pool):
    for number in range(20):
        pool.start(jobs.job(number))
        pool.join()
        gevent.sleep(0)
    assert jobs.ended == list(range(20))
    assert len(jobs.greenlets) == 1


def test_after_a_peak_only_some_idle_greenlets_are_kept(jobs, pool):
    for number in range(1000):
        pool.start(jobs.job(number))
    pool.join()
    assert len(jobs.ended) == 1000
    assert len(pool._idle) == 256


def test_an_unexpected_error_is_reported_and_the_greenlet_goes_on(jobs, pool, monkeypatch):
    logged = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda _, kind, *_rest: logged.append(kind))

    def broken():
        raise ZeroDivisionError

    pool.start(broken)
    pool.start(jobs.job("after"))
    pool.join()
    assert (jobs.errors, logged, jobs.ended) == (1, [ZeroDivisionError], ["after"])


def test_kill_ends_jobs_that_wait_and_those_that_have_not_begun_and_is_not_an_error(jobs, pool):
    pool.start(jobs.job("long", 60))
    gevent.sleep(0)
    pool.start(jobs.job("never", 60))
    pool.kill()
    assert (jobs.started, jobs.ended, jobs.errors, len(pool)) == (["long"], [], 0, 0)
    pool.start(jobs.job("again"))
    pool.join()
    assert jobs.ended == ["again"]


def test_a_job_that_is_over_before_it_is_killed_does_not_harm_the_next_one(jobs, pool):
    """Its greenlet may have another job by then: only what was under way is ended."""
    pool.start(jobs.job("first"))
    gevent.spawn(pool.kill)
    pool.join()
    pool.start(jobs.job("second", 0.01))
    pool.join()
    assert jobs.ended[-1] == "second"


def test_nothing_to_wait_for_is_not_waited_for(pool):
    with gevent.Timeout(5):
        pool.join()
        pool.kill()
