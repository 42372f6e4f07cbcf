"""Whether what was sampled is flat: the rule of `make soak`."""

import random

import pytest

from benchmarks.soak.slopes import fit_slope

SECONDS = range(600)


def noise(seed, size):
    rng = random.Random(seed)
    return [rng.gauss(0, size) for _ in SECONDS]


@pytest.mark.parametrize("seed", range(10))
def test_noise_around_a_level_is_flat(seed):
    assert fit_slope(SECONDS, [100 + value for value in noise(seed, 2)], 0.5).is_flat


@pytest.mark.parametrize("seed", range(10))
def test_a_leak_that_outgrows_the_noise_is_not(seed):
    leak = fit_slope(SECONDS, [100 + 0.02 * t + value for t, value in zip(SECONDS, noise(seed, 2), strict=True)], 0.5)
    assert not leak.is_flat
    assert leak.per_s == pytest.approx(0.02, rel=0.15)


def test_a_descriptor_lost_every_minute_is_no_noise():
    assert not fit_slope(SECONDS, [50 + t // 60 for t in SECONDS], 2.0).is_flat


def test_what_is_filled_once_at_the_start_and_what_is_freed_are_flat():
    assert fit_slope(SECONDS, [min(t, 100) for t in SECONDS], 1.0).is_flat
    assert fit_slope(SECONDS, [1000 - t for t in SECONDS], 1.0).is_flat


def test_a_tenth_of_the_samples_may_be_spikes():
    assert fit_slope(SECONDS, [5000.0 if t % 10 == 0 else 100.0 for t in SECONDS], 1.0).is_flat


def test_too_few_samples_are_no_verdict():
    with pytest.raises(ValueError, match="too few"):
        fit_slope(range(12), [1.0] * 12, 1.0)
