"""Whether and when a page is tried again: each strategy by its source's own numbers."""

import random
from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from harness.base.model import Outcome
from harness.run_folder.journal import GiveUpReason
from harness.scenario.retry import Retry, RetryConfig
from harness.station.retry import STRATEGIES, RetryPolicy
from harness.station.retry.strategy import FailedAttempt

BUSY, OK = Outcome.UNAVAILABLE, Outcome.ACCEPTED
AWS = {"base": "5ms", "cap": "2s"}  # the simulator's own: backoff_cls(5, 2000), in milliseconds


def config(strategy, **options):
    return TypeAdapter(Retry).validate_python({"strategy": strategy, **options})


def strategy(name, seed=1, **options):
    return RetryPolicy(config(name, **options), seed, "3509191001001")


def bare(name, seed=1, **options):
    """The strategy itself, without the rules that hold for all."""
    table = config(name, **options)
    return STRATEGIES[type(table)](table, random.Random(seed))


def fail(tried, attempts=1, now_s=0.0, outcome=BUSY):
    """An attempt was sent and failed: what the strategy makes of it."""
    tried.after_attempt(outcome, now_s)
    return tried.next_pause(FailedAttempt(attempts, outcome))


def test_every_strategy_of_a_scenario_has_its_decider():
    assert set(STRATEGIES) == set(get_args(RetryConfig))


def test_none_gives_up_after_one_attempt():
    assert fail(strategy("none")) is GiveUpReason.ATTEMPTS_USED_UP


def test_immediate_tries_again_after_20_ms_for_ever_and_never_sooner():
    assert [fail(strategy("immediate"), n) for n in (1, 2, 1000)] == [0.02] * 3
    with pytest.raises(ValidationError, match=r"0\.02"):
        config("immediate", pause="19ms")


def test_fixed_waits_the_same_each_time_for_ever():
    assert [fail(strategy("fixed", base="2s"), n) for n in (1, 2, 3, 1000)] == [2.0] * 4


def test_exponential_doubles_from_its_base_to_its_cap():
    tried = strategy("exponential", **AWS)
    assert [fail(tried, n) for n in (1, 2, 3, 9, 10, 5000)] == [0.005, 0.01, 0.02, 1.28, 2.0, 2.0]


def drawn(name, attempts, draws=4000):
    tried = bare(name, **AWS)
    return [fail(tried, attempts) for _ in range(draws)]


def test_full_jitter_is_uniform_between_nothing_and_the_exponential_wait():
    pauses = drawn("full_jitter", 4)  # v = 40 ms
    assert 0 <= min(pauses) < 0.0002
    assert 0.0398 < max(pauses) <= 0.04
    assert sum(pauses) / 4000 == pytest.approx(0.02, abs=0.0006)  # three standard errors


def test_equal_jitter_is_uniform_between_half_and_all_of_the_exponential_wait():
    pauses = drawn("equal_jitter", 4)
    assert 0.02 <= min(pauses) < 0.0201
    assert 0.0399 < max(pauses) <= 0.04
    assert sum(pauses) / 4000 == pytest.approx(0.03, abs=0.0003)


def test_decorrelated_jitter_draws_between_base_and_three_times_the_pause_before():
    tried = bare("decorrelated_jitter", **AWS)
    before = 0.005
    for attempts in range(1, 400):
        pause = fail(tried, attempts)
        assert 0.005 <= pause <= min(2.0, 3 * before)
        before = pause
    assert before > 0.015  # has left the first draw's reach


def test_decorrelated_jitter_begins_anew_with_each_page():
    tried = bare("decorrelated_jitter", **AWS)
    firsts = []
    for _ in range(2000):
        firsts.append(fail(tried, 1))
        fail(tried, 2)
    assert max(firsts) <= 0.015
    assert sum(firsts) / 2000 == pytest.approx(0.01, abs=0.0002)


def test_ten_deliveries_earn_one_retry():
    tried = bare("token_bucket", capacity=10.0)
    assert [isinstance(fail(tried), float) for _ in range(11)] == [True] * 10 + [False]
    for _ in range(9):
        tried.after_attempt(OK, 0.0)
    assert fail(tried) is GiveUpReason.WITHHELD
    tried.after_attempt(OK, 0.0)
    assert isinstance(fail(tried), float)
    assert fail(tried) is GiveUpReason.WITHHELD


def test_when_half_fail_the_token_bucket_retries_a_tenth_of_what_is_delivered():
    """Brooker: with a tenth of a token a success it behaves like "0.1 retries" where much fails."""
    tried = bare("token_bucket", capacity=10.0)
    retries = 0
    for _ in range(10_000):
        tried.after_attempt(OK, 0.0)
        retries += isinstance(fail(tried), float)
    assert retries == 10 + (10_000 - 1) // 10  # the first delivery found the bucket full


def test_a_token_bucket_never_holds_more_than_its_capacity():
    tried = bare("token_bucket", capacity=2.0)
    for _ in range(1000):
        tried.after_attempt(OK, 0.0)
    assert tried.tokens == 2.0


@pytest.mark.heavy
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.25, 0.75, 0.99, 0.01, 0.2])
@pytest.mark.parametrize("reserve", [0, 10])
def test_a_retry_budget_allows_its_share_of_requests_and_its_reserve(ratio, reserve):
    """Finagle's RetryBudgetTest: time stands still, each of 1,000 requests asks for one retry."""
    tried = bare("retry_budget", ratio=ratio, window="60s", reserve_per_s=reserve / 60)
    assert tried.balance(0.0) == pytest.approx(reserve)
    retried = 0
    for _ in range(1000):
        assert tried.before_attempt(0.0, 0) is None
        retried += tried.before_attempt(0.0, 1) is None
    assert retried == pytest.approx(1000 * ratio + reserve, abs=1)


def test_a_budget_that_is_spent_withholds_the_retry_until_an_earlier_one_is_forgotten():
    tried = bare("retry_budget", ratio=0.2, window="10s", reserve_per_s=0.1)
    assert tried.before_attempt(0.0, 0) is None
    assert tried.before_attempt(1.0, 1) is None  # 1 + 0.2 allowed
    assert tried.before_attempt(3.0, 2) == 11.0
    assert tried.before_attempt(10.5, 2) == 11.0
    assert tried.before_attempt(11.0, 2) is None
    assert tried.before_attempt(11.0, 3) == 21.0


@pytest.mark.parametrize("retried_s", [0.15056396382022555, 0.1, 0.3, 1.1, 123.456])
def test_a_retry_that_waits_for_the_end_of_a_window_is_allowed_then_whatever_the_rounding(retried_s):
    tried = bare("retry_budget", ratio=0.2, window="10s", reserve_per_s=0.1)
    assert tried.before_attempt(retried_s - 0.05, 0) is None
    assert tried.before_attempt(retried_s, 1) is None
    until_s = tried.before_attempt(retried_s + 1.0, 2)
    assert until_s == retried_s + 10.0
    assert tried.before_attempt(until_s, 2) is None


def test_a_budget_that_can_never_allow_a_retry_gives_the_page_up():
    tried = bare("retry_budget", ratio=0.2, reserve_per_s=0.0)
    assert tried.before_attempt(0.0, 0) is None
    assert tried.before_attempt(1.0, 1) is GiveUpReason.WITHHELD


def test_nothing_is_throttled_while_the_server_takes_at_least_one_of_k():
    tried = bare("adaptive_throttle")
    for second in range(100):
        assert tried.probability(second) == 0.0
        assert tried.before_attempt(float(second), 0) is None
        tried.after_attempt(OK if second % 2 == 0 else BUSY, float(second))


def test_the_throttling_probability_is_google_s():
    tried = bare("adaptive_throttle", window="120s")
    for _ in range(10):
        tried._requests.append(0.0)
    assert tried.probability(1.0) == pytest.approx(10 / 11)
    tried._accepts.extend([0.0] * 2)
    assert tried.probability(1.0) == pytest.approx((10 - 2 * 2) / 11)
    tried._accepts.extend([0.0] * 3)
    assert tried.probability(1.0) == 0.0
    assert tried.probability(120.0) == 0.0
    assert len(tried._requests) == 0  # two minutes are over


def test_a_throttled_client_sends_twice_what_the_server_takes():
    """With K = 2 about as many requests reach the server and are refused as are accepted."""
    tried, sent, taken = bare("adaptive_throttle", window="20s"), [0] * 200, [0] * 200
    for number in range(20_000):  # 100 a second ask, the server takes the first 10 of each second
        second = number // 100
        if tried.before_attempt(number / 100, 0) is None:
            sent[second] += 1
            served = taken[second] < 10
            taken[second] += served
            tried.after_attempt(OK if served else BUSY, number / 100)
    assert set(taken[40:]) == {10}
    assert sum(sent[40:]) / sum(taken[40:]) == pytest.approx(2.0, abs=0.1)


def test_requests_count_before_they_are_sent_those_withheld_too():
    tried = bare("adaptive_throttle")
    for number in range(50):
        tried.before_attempt(number / 1000, 0)
    assert tried.probability(0.05) == pytest.approx(50 / 51)


def test_a_throttled_attempt_is_asked_for_again_after_a_pause():
    tried = bare("adaptive_throttle", base="1s", cap="8s")
    answers = [tried.before_attempt(0.0, 0) for _ in range(200)]
    pauses = [answer for answer in answers if answer is not None]
    assert len(pauses) > 150
    assert min(pauses) >= 0.02
    assert 4 < max(pauses) <= 8


def test_a_breaker_opens_at_half_of_at_least_five_failures_for_thirty_seconds():
    tried = bare("circuit_breaker")
    for outcome in (OK, OK, BUSY, BUSY):
        tried.after_attempt(outcome, 1.0)
        assert tried.before_attempt(1.0, 0) is None
    tried.after_attempt(BUSY, 2.0)  # three of five
    assert tried.before_attempt(2.0, 0) == 32.0
    assert tried.before_attempt(31.9, 0) == 32.0
    assert tried.before_attempt(32.0, 0) is None


def test_less_than_half_leaves_the_breaker_closed():
    tried = bare("circuit_breaker")
    for _ in range(10):
        for outcome in (OK, OK, OK, BUSY, BUSY):
            tried.after_attempt(outcome, 1.0)
            assert tried.before_attempt(1.0, 0) is None


def test_the_breaker_s_one_trial_closes_it_or_opens_it_again():
    tried = bare("circuit_breaker", open_for="10s")
    for _ in range(5):
        tried.after_attempt(BUSY, 0.0)
    assert tried.before_attempt(10.0, 1) is None
    tried.after_attempt(Outcome.TIMEOUT_RESPONSE, 12.0)
    assert tried.before_attempt(12.0, 2) == 22.0
    assert tried.before_attempt(22.0, 2) is None
    tried.after_attempt(OK, 23.0)
    for _ in range(4):  # closed, and the counting begins anew
        tried.after_attempt(BUSY, 24.0)
        assert tried.before_attempt(24.0, 0) is None
    tried.after_attempt(BUSY, 24.0)
    assert tried.before_attempt(24.0, 0) == 34.0


def test_a_rejection_is_no_failure_for_breaker_and_throttle():
    breaker, throttle = bare("circuit_breaker"), bare("adaptive_throttle")
    for _ in range(20):
        breaker.after_attempt(Outcome.UNREADABLE, 0.0)
        throttle.before_attempt(0.0, 0)
        throttle.after_attempt(Outcome.REJECTED, 0.0)
    assert breaker.before_attempt(0.0, 0) is None
    assert throttle.probability(0.0) == 0.0


def test_a_breaker_that_could_never_open_is_refused():
    with pytest.raises(ValidationError, match="must not be above window_calls"):
        config("circuit_breaker", minimum_calls=11, window_calls=10)


@pytest.mark.heavy
def test_an_outbox_spreads_its_first_attempt_and_never_gives_up():
    starts = [strategy("outbox", seed, spread="8s").before_attempt(100.0, 0) for seed in range(400)]
    assert 100 < min(starts) < 100.1
    assert 107.9 < max(starts) < 108
    assert sum(starts) / 400 == pytest.approx(104, abs=0.35)
    tried = strategy("outbox", cap="8s")
    tried.before_attempt(0.0, 0)
    assert tried.before_attempt(8.0, 0) is None
    assert all(0 <= fail(tried, attempts) <= 8 for attempts in range(1, 3000))


@pytest.mark.parametrize("option", [{"max_attempts": 3}, {"honour_retry_after": False}])
def test_an_outbox_can_t_be_made_to_give_up_or_to_ignore_retry_after(option):
    with pytest.raises(ValidationError):
        config("outbox", **option)


@pytest.mark.parametrize("name", ["fixed", "full_jitter", "circuit_breaker", "immediate"])
def test_any_strategy_can_be_spread_and_only_the_first_attempt_is(name):
    tried = strategy(name, spread="10s")
    until = tried.before_attempt(5.0, 0)
    assert 5 < until < 15
    assert tried.before_attempt(until, 0) is None
    assert tried.before_attempt(20.0, 0) is None


def test_the_spread_does_not_shift_the_luck_of_the_pauses():
    apart, together = strategy("full_jitter", spread="10s"), strategy("full_jitter")
    apart.before_attempt(0.0, 0)
    assert [fail(apart, n) for n in (1, 2, 3)] == [fail(together, n) for n in (1, 2, 3)]


def test_stations_do_not_share_their_luck():
    table = config("full_jitter")
    codes = [f"35091910010{number:02d}" for number in range(20)]
    assert len({fail(RetryPolicy(table, 1, code)) for code in codes}) == 20
    assert fail(RetryPolicy(table, 1, codes[0])) == fail(RetryPolicy(table, 1, codes[0]))


def test_max_attempts_ends_the_trying():
    assert fail(strategy("fixed", max_attempts=3), 2) == 1.0
    assert fail(strategy("fixed", max_attempts=3), 3) is GiveUpReason.ATTEMPTS_USED_UP


def test_a_rejection_is_final_but_a_lost_login_is_not():
    tried = strategy("fixed")
    assert tried.next_pause(FailedAttempt(1, Outcome.REJECTED, 409)) is GiveUpReason.REJECTED_FOR_GOOD
    for status in (401, 408, 423, 425):
        assert tried.next_pause(FailedAttempt(1, Outcome.REJECTED, status)) == 1.0
    assert tried.next_pause(FailedAttempt(1, Outcome.UNREADABLE, 422)) == 1.0


def test_a_rejection_for_good_costs_no_token():
    tried = strategy("token_bucket", capacity=1.0)
    assert tried.next_pause(FailedAttempt(1, Outcome.REJECTED, 409)) is GiveUpReason.REJECTED_FOR_GOOD
    assert isinstance(fail(tried), float)
    assert fail(tried) is GiveUpReason.WITHHELD


@pytest.mark.heavy
def test_retry_after_is_honoured_with_a_spread_of_as_much_again():
    waits = [strategy("fixed", seed, base="1s").next_pause(FailedAttempt(1, BUSY, 503, 5.0)) for seed in range(300)]
    assert 5.0 <= min(waits) < 5.1
    assert 9.9 < max(waits) <= 10.0


def test_a_backoff_longer_than_retry_after_counts():
    assert 60.0 <= strategy("fixed", base="60s").next_pause(FailedAttempt(1, BUSY, 503, 1.0)) <= 61.0


def test_retry_after_can_be_ignored():
    assert strategy("fixed", base="1s", honour_retry_after=False).next_pause(FailedAttempt(1, BUSY, 503, 500.0)) == 1.0
