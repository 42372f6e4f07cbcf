"""The queue and the workers, in simulated time."""

import math

import numpy as np
import pytest

from mock_server.overload.worker_pool import Job, JobEnd, WorkerPool
from mock_server.profile.server_profile import ServerProfile
from tests.support.counted_work import count_lines
from tests.support.simulated_clock import SimulatedClock


class Bench:
    """A pool and what became of its jobs, by name."""

    def __init__(self, **keys: object) -> None:
        self.clock = SimulatedClock()
        self.pool = WorkerPool(ServerProfile.model_validate({"shed": "none", **keys}), self.clock)
        self.ends: dict[str, tuple[JobEnd, float]] = {}
        self.order: list[str] = []
        self.jobs: dict[str, Job] = {}

    def submit(
        self,
        name: str,
        service_s: float = 1.0,
        *,
        gone: bool = False,
        latest: float | None = None,
        kind: type[Job] = Job,
    ) -> None:
        def on_end(job: Job, end: JobEnd) -> None:
            self.ends[name] = (end, self.clock.now())
            if end is JobEnd.SERVED:
                self.order.append(name)

        job = kind(lambda: service_s, on_end, lambda: gone, latest_start_s=latest)
        self.jobs[name] = job
        self.pool.submit(job)


def test_workers_serve_side_by_side_and_the_rest_waits():
    bench = Bench(workers=2)
    for name in "abc":
        bench.submit(name)
    assert (bench.pool.busy, bench.pool.depth) == (2, 1)
    bench.clock.run()
    assert bench.ends == {"a": (JobEnd.SERVED, 1.0), "b": (JobEnd.SERVED, 1.0), "c": (JobEnd.SERVED, 2.0)}
    assert bench.jobs["c"].wait_s == 1.0


def test_work_that_takes_no_time_is_done_at_once():
    bench = Bench(workers=1)
    bench.submit("a", 0.0)
    assert bench.ends == {"a": (JobEnd.SERVED, 0.0)}
    assert (bench.pool.busy, bench.pool.depth) == (0, 0)


@pytest.mark.parametrize(("discipline", "order"), [("fifo", "abcde"), ("lifo", "aedcb")])
def test_the_discipline_says_who_is_next(discipline, order):
    bench = Bench(workers=1, discipline=discipline)
    for name in "abcde":
        bench.submit(name)
    bench.clock.run()
    assert "".join(bench.order) == order


def test_adaptive_lifo_takes_the_latest_only_while_the_queue_is_more_than_half_full():
    bench = Bench(workers=1, discipline="adaptive_lifo", queue_capacity=4)
    for name in "abcde":
        bench.submit(name)
    bench.clock.run()
    assert "".join(bench.order) == "aedbc", "with 4 and 3 waiting the latest, with 2 the first"


def test_a_job_that_waits_too_long_leaves_the_queue():
    bench = Bench(workers=1, queue_timeout="1500ms")
    for name in "abc":
        bench.submit(name)
    bench.clock.run()
    assert bench.ends == {"a": (JobEnd.SERVED, 1.0), "b": (JobEnd.SERVED, 2.0), "c": (JobEnd.TIMED_OUT, 1.5)}


def test_a_job_whose_latest_start_has_passed_is_not_begun():
    bench = Bench(workers=1)
    bench.submit("a", 3.0)
    bench.submit("b", latest=2.0)
    bench.submit("c", latest=3.5)
    bench.clock.run()
    assert bench.ends == {"a": (JobEnd.SERVED, 3.0), "b": (JobEnd.EXPIRED, 3.0), "c": (JobEnd.SERVED, 4.0)}


def test_cancelling_a_job_frees_its_worker_at_once():
    bench = Bench(workers=1)
    for name in "abc":
        bench.submit(name)
    bench.clock.run(0.5)
    bench.pool.cancel(bench.jobs["a"])
    bench.pool.cancel(bench.jobs["c"])
    bench.clock.run()
    assert bench.ends == {"a": (JobEnd.CANCELLED, 0.5), "c": (JobEnd.CANCELLED, 0.5), "b": (JobEnd.SERVED, 1.5)}


def test_only_waiting_jobs_whose_client_has_gone_are_dropped():
    bench = Bench(workers=1)
    bench.submit("served", gone=True)
    bench.submit("gone", gone=True)
    bench.submit("there")
    assert bench.pool.drop_disconnected() == 1
    bench.clock.run()
    assert {name: end for name, (end, _) in bench.ends.items()} == {
        "served": JobEnd.SERVED, "gone": JobEnd.DROPPED, "there": JobEnd.SERVED,
    }  # fmt: skip


class CountedJob(Job):
    """A job that counts how often it is compared with another, as a search through a list does."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedJob.compared += 1
        return self is other

    __hash__ = object.__hash__


@pytest.mark.parametrize("leave", ["drop", "cancel"])
def test_a_job_leaves_a_long_queue_in_as_many_steps_as_a_short_one(leave):
    def steps(waiting: int) -> int:
        bench = Bench(workers=1)
        for number in range(2 * waiting):
            bench.submit(str(number), gone=number >= waiting, kind=CountedJob)
        gone = [bench.jobs[str(number)] for number in range(waiting, 2 * waiting)]

        def let_them_leave() -> None:
            if leave == "drop":
                bench.pool.drop_disconnected()
            else:
                for job in gone:
                    bench.pool.cancel(job)

        CountedJob.compared = 0
        lines = count_lines(let_them_leave)
        assert bench.pool.depth == waiting - 1
        return lines + CountedJob.compared

    assert 1000 < steps(1000) < 2.1 * steps(500)


def test_refusing_all_leaves_nothing_behind():
    bench = Bench(workers=1)
    for name in "abc":
        bench.submit(name)
    bench.pool.refuse_all()
    assert {end for end, _ in bench.ends.values()} == {JobEnd.DROPPED}
    assert (bench.pool.busy, bench.pool.depth) == (0, 0)


def test_contention_lengthens_services_above_the_knee():
    bench = Bench(workers=4, contention_knee=2, contention_slope=0.5)
    for name in "abcd":
        bench.submit(name)
    bench.clock.run()
    assert [bench.ends[name][1] for name in "abcd"] == [1.0, 1.0, 1.5, 2.0]


def test_the_pool_is_full_when_neither_worker_nor_place_is_free():
    bench = Bench(workers=1, queue_capacity=1)
    states = []
    for name in "abc":
        states.append(bench.pool.is_full)
        bench.submit(name)
    assert states == [False, False, True]


def test_the_expected_wait_follows_the_queue_and_the_recent_services():
    bench = Bench(workers=2, service_time="1s")
    assert bench.pool.expected_wait_s() == 0
    for name in "abcdef":
        bench.submit(name, 2.0)
    assert bench.pool.expected_wait_s() == pytest.approx(5 * 1.0 / 2)
    bench.clock.run()
    assert 1.4 < bench.pool.mean_service_s < 1.6, "six services of 2 s move the mean from 1 s"


def erlang_c(servers: int, load: float) -> float:
    """Probability that a customer waits in M/M/c; `load` is the arrival rate times the mean service."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


def batch_means(values: np.ndarray, batches: int = 25) -> tuple[float, float]:
    """The mean and its standard error, from means of batches long enough to be nearly independent."""
    means = values[: len(values) // batches * batches].reshape(batches, -1).mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(batches))


def waits_of(servers: int, utilisation: float, customers: int, seed: int) -> np.ndarray:
    """The waits that the pool gives to Poisson arrivals with exponential services of mean 1."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1 / (utilisation * servers), customers).tolist()
    services = iter(rng.exponential(1.0, customers).tolist())
    clock = SimulatedClock()
    pool = WorkerPool(ServerProfile.model_validate({"workers": servers, "shed": "none"}), clock)
    waits: list[float] = []

    def on_end(job: Job, _end: JobEnd) -> None:
        waits.append(job.wait_s)

    def arrive() -> None:
        pool.submit(Job(lambda: next(services), on_end))
        if gaps:
            clock.call_later(gaps.pop(), arrive)

    clock.call_later(gaps.pop(), arrive)
    clock.run()
    return np.array(waits[customers // 20 :])  # the beginning, when the queue was still empty, says nothing


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("servers", "utilisation", "customers", "precision"),
    [
        (1, 0.5, 300_000, 0.015),
        pytest.param(8, 0.5, 1_200_000, 0.015, marks=pytest.mark.slow),
        pytest.param(1, 0.8, 1_000_000, 0.015, marks=pytest.mark.slow),
        pytest.param(8, 0.8, 1_200_000, 0.015, marks=pytest.mark.slow),
        pytest.param(1, 0.95, 1_500_000, 0.05, marks=pytest.mark.slow),
        pytest.param(8, 0.95, 1_500_000, 0.05, marks=pytest.mark.slow),
    ],
)
def test_waits_match_the_theory_of_mmc(servers, utilisation, customers, precision):
    waits = waits_of(servers, utilisation, customers, seed=7)
    waiting = erlang_c(servers, utilisation * servers)
    expected_wait = waiting / (servers * (1 - utilisation))
    mean, error = batch_means(waits)
    assert error <= precision * expected_wait, "not enough customers to tell"
    assert abs(mean - expected_wait) <= 3 * error
    share, share_error = batch_means((waits > 0).astype(float))
    assert abs(share - waiting) <= 3 * share_error
