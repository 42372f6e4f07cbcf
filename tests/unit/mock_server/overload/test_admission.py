"""When uploads are refused, and what pause they are asked to make."""

import pytest

from mock_server.overload.admission import Admission, Gradient2Limit, VegasLimit
from mock_server.overload.worker_pool import Job, WorkerPool
from mock_server.profile.server_profile import ServerProfile
from tests.support.simulated_clock import SimulatedClock


class Desk:
    """An admission with its pool; uploads arrive and are refused or submitted."""

    def __init__(self, **keys: object) -> None:
        self.clock = SimulatedClock()
        profile = ServerProfile.model_validate({"workers": 1, "service_time": "1s", **keys})
        self.pool = WorkerPool(profile, self.clock)
        self.admission = Admission(profile, self.pool)

    def arrive(self, service_s: float = 1.0, timeout_s: float | None = None) -> str | None:
        reason = self.admission.refusal(timeout_s)
        if reason is None:
            self.pool.submit(Job(lambda: service_s, lambda _job, _end: None))
        return reason


def test_none_lets_everything_wait():
    desk = Desk(shed="none", queue_capacity=1)
    assert [desk.arrive() for _ in range(500)] == [None] * 500
    assert desk.pool.depth == 499


def test_queue_full_refuses_when_the_queue_is_full():
    desk = Desk(shed="queue_full", queue_capacity=2)
    assert [desk.arrive() for _ in range(5)] == [None, None, None, "queue_full", "queue_full"]
    desk.clock.run(1.0)
    assert desk.arrive() is None


def test_deadline_refuses_what_could_not_be_answered_in_time():
    desk = Desk(shed="deadline", queue_capacity=100)
    assert [desk.arrive(timeout_s=3.5) for _ in range(5)] == [None, None, None, "deadline", "deadline"]
    assert desk.arrive(timeout_s=60.0) is None
    assert desk.arrive(timeout_s=None) is None, "who says nothing can wait"


def test_codel_refuses_while_even_the_luckiest_waits_longer_than_the_target():
    desk = Desk(shed="codel", codel_target="2s", codel_interval="10s", queue_capacity=1000)
    refused_at = []
    while desk.clock.now() < 80:
        rate = 2 if desk.clock.now() < 40 else 0  # twice the capacity at first, nothing later
        refused_at += [desk.clock.now() for _ in range(rate) if desk.arrive() == "codel"]
        desk.clock.run(desk.clock.now() + 1.0)
    assert 10 <= min(refused_at) <= 25, "a whole interval must be bad first"
    assert desk.arrive() is None, "the queue is gone"


def test_codel_lets_a_burst_pass_that_is_worked_off_within_the_interval():
    desk = Desk(shed="codel", codel_target="2s", codel_interval="10s", queue_capacity=1000)
    refusals: list[str | None] = []
    for second in range(100):
        refusals += [desk.arrive() for _ in range(6 if second % 10 == 0 else 0)]
        desk.clock.run(second + 1.0)
    assert set(refusals) == {None}


@pytest.mark.parametrize(("target", "refused"), [("2s", False), ("1999ms", True)])
def test_codel_lets_a_queue_stand_whose_waits_are_as_long_as_the_target(target, refused):
    desk = Desk(shed="codel", codel_target=target, codel_interval="10s", queue_capacity=1000)
    desk.arrive()
    desk.arrive()
    reasons = []
    for second in range(100):  # two are always there when the next one comes: each waits 2 s
        reasons.append(desk.arrive())
        desk.clock.run(second + 1.0)
    assert ("codel" in reasons) is refused


def test_codel_takes_workers_that_finish_nothing_for_a_standing_queue():
    desk = Desk(shed="codel", codel_target="2s", codel_interval="10s", queue_capacity=1000)
    assert [desk.arrive(3600.0), desk.arrive(3600.0)] == [None, None]
    for moment, reason in ((9.0, None), (10.0, None), (20.0, "codel"), (25.0, "codel")):
        desk.clock.run(moment)  # the first job's wait of 0 s belongs to the first interval
        assert desk.arrive() == reason


def test_deadline_gives_up_work_that_begins_too_late_to_be_answered():
    assert Desk(shed="deadline").admission.latest_start_s(3.5) == pytest.approx(2.5), "a service takes 1 s"
    assert Desk(shed="deadline").admission.latest_start_s(None) is None
    assert Desk(shed="queue_full").admission.latest_start_s(3.5) is None


@pytest.mark.parametrize("shed", ["vegas", "gradient2"])
def test_an_adaptive_limit_grows_by_what_is_served_in_time(shed):
    desk = Desk(shed=shed, workers=100, queue_capacity=1000)
    for second in range(3):
        for _ in range(20):
            desk.arrive()
        desk.clock.run(second + 1.5)
    assert [desk.arrive() for _ in range(22)] == [None] * 22, "the first limit is 20"


def test_the_adaptive_policies_refuse_above_their_limit():
    for shed in ("vegas", "gradient2"):
        desk = Desk(shed=shed, queue_capacity=1000)
        reasons = [desk.arrive() for _ in range(40)]
        assert reasons[:20] == [None] * 20, "the first limit"
        assert set(reasons[20:]) == {shed}


def test_every_policy_but_none_has_a_bounded_queue():
    for shed in ("codel", "deadline", "vegas", "gradient2"):
        desk = Desk(shed=shed, queue_capacity=3)
        assert [desk.arrive() for _ in range(6)][4:] == ["queue_full", "queue_full"]


def test_vegas_follows_its_formula():
    vegas = VegasLimit(1000)
    vegas.sample(0.1, 20)
    assert vegas.value == 20, "the first sample only tells the shortest time"
    vegas.sample(0.1, 20)  # q = 0 <= log10 L: L + beta = 20 + 6 * 1.301
    assert vegas.value == 27
    before = vegas._limit
    vegas.sample(0.2, 27)  # q = ceil(L / 2) = 14 > beta: L - log10 L
    assert vegas._limit == pytest.approx(before - 1.444, abs=0.01)


def test_vegas_grows_by_one_step_while_a_short_queue_stands():
    vegas = VegasLimit(1000)
    vegas.sample(0.1, 20)
    vegas.sample(0.1 / 0.86, 20)  # q = ceil(20 * 0.14) = 3, between log10 L and alpha
    assert vegas._limit == pytest.approx(20 + 1.301, abs=0.001)
    vegas.sample(0.1 / 0.8, 20)  # q = ceil(21.3 * 0.2) = 5, between alpha and beta
    assert vegas._limit == pytest.approx(20 + 1.301, abs=0.001)


def test_vegas_leaves_a_queue_of_just_alpha_as_it_is():
    vegas = VegasLimit(10)
    vegas.sample(0.1, 10)
    vegas.sample(0.1 / 0.75, 10)  # q = ceil(10 * 0.25) = 3 = alpha
    assert vegas._limit == 10.0
    vegas._limit = 9.0
    vegas.sample(0.1 / 0.7, 10)  # q = ceil(9 * 0.3) = 3, and the step is at least 1
    assert vegas._limit == 9.0


def test_vegas_measures_the_shortest_time_again_after_thirty_samples_for_each_of_its_limit():
    vegas = VegasLimit(20)  # and no greater
    vegas.sample(0.1, 20)
    for _ in range(30 * 20 - 2):
        vegas.sample(0.1, 20)
    vegas.sample(0.5, 20)  # the 600th: taken for the new shortest, not for a queue
    assert vegas._limit == 20
    vegas.sample(0.5, 20)
    assert vegas._limit == 20
    vegas.sample(1.0, 20)  # q = 10 > beta
    assert vegas._limit < 20


def test_gradient2_forgets_a_load_that_has_gone_faster():
    gradient = Gradient2Limit(1000)
    gradient._long_s, gradient._samples = 1.0, 10_000
    gradient.sample(0.4, 0)
    assert gradient._long_s == pytest.approx((1.0 - 0.6 / 600) * 0.95)
    second = Gradient2Limit(1000)
    second._long_s, second._samples = 1.5, 1
    second.sample(0.5, 0)
    assert second._long_s == 1.0, "just twice as long"
    gradient._long_s = 1.0
    gradient.sample(0.51, 0)
    assert gradient._long_s == pytest.approx(1.0 - 0.49 / 600), "not yet more than twice as long"


def test_vegas_shrinks_under_queueing_and_grows_without():
    vegas = VegasLimit(1000)
    vegas.sample(0.1, 20)
    for _ in range(100):
        vegas.sample(1.0, 1000)
    assert vegas.value <= 10
    for _ in range(5):
        vegas.sample(0.1, 1000)
    assert vegas.value > 15


def test_vegas_does_not_learn_from_an_idle_server():
    vegas = VegasLimit(1000)
    vegas.sample(0.1, 20)
    vegas.sample(0.1, 9)
    assert vegas.value == 20


def test_gradient2_follows_its_formula():
    gradient = Gradient2Limit(1000)
    gradient.sample(0.1, 20)  # long = short: g = 1: L = .8 * 20 + .2 * (20 + 4)
    assert gradient._limit == pytest.approx(20.8)
    gradient.sample(0.1, 20)
    gradient._long_s, gradient._samples = 0.1, 10_000
    gradient.sample(0.4, 30)  # long / short = .25, clamped to .5
    assert gradient._limit == pytest.approx(0.8 * 21.6 + 0.2 * (0.5 * 21.6 + 4), rel=0.01)


def test_limits_stay_between_one_and_the_greatest():
    for limit in (VegasLimit(50), Gradient2Limit(50)):
        limit.sample(0.1, 20)
        for _ in range(1000):
            limit.sample(0.1, 1000)
        assert 45 <= limit.value <= 50
        for factor in range(1, 300):
            limit.sample(0.2 * 1.05**factor, 1000)
            assert 1 <= limit.value <= 50


@pytest.mark.parametrize(
    ("policy", "draw", "seconds"),
    [("none", 0.5, None), ("fixed", 0.5, 8.0), ("jittered", 0.25, 10.0), ("jittered", 0.75, 14.0)],
)
def test_the_pause_that_is_asked_for(policy, draw, seconds):
    assert Desk(retry_after=policy, retry_after_time="8s").admission.retry_after_s(lambda: draw) == seconds


def test_the_queue_estimate_is_the_wait_of_somebody_who_came_now():
    desk = Desk(retry_after="queue_estimate", shed="none")
    for _ in range(7):
        desk.arrive()
    assert desk.admission.retry_after_s(lambda: 0.5) == pytest.approx(7.0)
