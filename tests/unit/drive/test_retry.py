"""Whether and when a page is tried again."""

import random

import pytest

from harness.drive.retry import Backoff, Failure, backoff_s
from harness.measure.journal import GaveUp
from harness.model import Outcome
from harness.scenario import ExponentialRetry, FixedRetry, FullJitterRetry, NoRetry

BUSY = Outcome.UNAVAILABLE


def strategy(config, seed=1):
    return Backoff(config, random.Random(seed))


def test_none_gives_up_after_one_attempt():
    assert strategy(NoRetry()).after(Failure(1, BUSY)) is GaveUp.ATTEMPTS_USED_UP


def test_fixed_waits_the_same_each_time_for_ever():
    config = FixedRetry.model_validate({"strategy": "fixed", "base": "2s"})
    assert [strategy(config).after(Failure(n, BUSY)) for n in (1, 2, 3, 1000)] == [2.0] * 4


def test_exponential_doubles_from_its_base_to_its_cap():
    config = ExponentialRetry.model_validate({"strategy": "exponential", "base": "1s", "cap": "8s"})
    assert [strategy(config).after(Failure(n, BUSY)) for n in (1, 2, 3, 4, 5, 5000)] == [1, 2, 4, 8, 8, 8]


def test_full_jitter_is_uniform_between_nothing_and_the_exponential_wait():
    config = FullJitterRetry.model_validate({"strategy": "full_jitter", "base": "1s", "cap": "8s"})
    rng = random.Random(3)
    waits = [backoff_s(config, 2, rng) for _ in range(4000)]
    assert 0 <= min(waits) < 0.02
    assert 3.98 < max(waits) <= 4
    assert sum(waits) / 4000 == pytest.approx(2.0, abs=0.06)  # three standard errors


def test_max_attempts_ends_the_trying():
    config = FixedRetry.model_validate({"strategy": "fixed", "max_attempts": 3})
    assert strategy(config).after(Failure(2, BUSY)) == 1.0
    assert strategy(config).after(Failure(3, BUSY)) is GaveUp.ATTEMPTS_USED_UP


def test_a_rejection_is_final_but_a_lost_login_is_not():
    config = FixedRetry.model_validate({"strategy": "fixed"})
    assert strategy(config).after(Failure(1, Outcome.REJECTED, 409)) is GaveUp.REJECTED_FOR_GOOD
    assert strategy(config).after(Failure(1, Outcome.REJECTED, 401)) == 1.0
    assert strategy(config).after(Failure(1, Outcome.UNREADABLE, 422)) == 1.0


def test_retry_after_is_honoured_with_a_spread_of_as_much_again():
    config = FixedRetry.model_validate({"strategy": "fixed", "base": "1s"})
    waits = [strategy(config, seed).after(Failure(1, BUSY, 503, 5.0)) for seed in range(300)]
    assert 5.0 <= min(waits) < 5.1
    assert 9.9 < max(waits) <= 10.0


def test_a_backoff_longer_than_retry_after_counts():
    config = FixedRetry.model_validate({"strategy": "fixed", "base": "60s"})
    assert 60.0 <= strategy(config).after(Failure(1, BUSY, 503, 1.0)) <= 61.0


def test_retry_after_can_be_ignored():
    config = FixedRetry.model_validate({"strategy": "fixed", "base": "1s", "honour_retry_after": False})
    assert strategy(config).after(Failure(1, BUSY, 503, 500.0)) == 1.0
