"""When a soak objects: something grew, a page was lost, or its run is invalid."""

from __future__ import annotations

import json
import random

import pytest

from benchmarks.soak import find_growth, fit_slope, read_samples, verdict_problems
from harness.measure.process_monitor import COLUMNS
from harness.run_folder.layout import RunFolder


def run_of(path, *, verdict="pass", reasons=(), safety=True, delivered=10, breached=False):
    threshold = {"assert": "a < 1", "passed": not breached, "reason": "1 above"}
    told = {"verdict": verdict, "safety": safety, "validity": {"reasons": list(reasons)}, "thresholds": [threshold]}
    (path / "verdict.json").write_text(json.dumps(told), "utf-8")
    (path / "summary.json").write_text(json.dumps({"pages": {"planned": 10, "delivered": delivered}}), "utf-8")
    return path


def test_a_run_that_passed_with_every_page_has_nothing_against_it(tmp_path):
    assert verdict_problems(run_of(tmp_path), 0) == []


@pytest.mark.parametrize(
    ("code", "run", "told"),
    [
        (3, {"verdict": "invalid", "reasons": ["the clock stepped"]}, ["the run did not pass: invalid, exit code 3", "the clock stepped"]),
        (99, {"verdict": "fail", "breached": True}, ["the run did not pass: fail, exit code 99", "breached: a < 1: 1 above"]),
        (99, {"verdict": "fail", "safety": False}, ["the run did not pass: fail, exit code 99", "safety is False"]),
        (0, {"delivered": 9}, ["1 pages were not delivered"]),
        (-9, {}, ["the run did not pass: pass, exit code -9"]),
    ],
)  # fmt: skip
def test_whatever_the_run_itself_says_against_it_fails_the_soak(tmp_path, code, run, told):
    assert verdict_problems(run_of(tmp_path, **run), code) == told


def test_a_run_without_a_verdict_fails_it_in_words(tmp_path):
    (said,) = verdict_problems(tmp_path, 1)
    assert said.startswith("the run ended with exit code 1 and without a verdict: ")


def test_what_is_judged_is_what_the_run_saw_of_each_process(tmp_path):
    folder = RunFolder(tmp_path)
    rows = ["0.5,harness,7,0.1,1000,20,0.0", "0.5,worker 0,8,0.1,2000,30,", "1.5,harness,7,0.2,1100,21,0.0"]
    folder.processes.parent.mkdir(parents=True, exist_ok=True)
    folder.processes.write_text("\n".join([",".join(COLUMNS), *rows, ""]))
    assert read_samples(folder) == {
        "harness": [(0.5, 1000.0, 20.0), (1.5, 1100.0, 21.0)],
        "worker 0": [(0.5, 2000.0, 30.0)],
    }


def sampled(per_s, level=60e6, seconds=180):
    return [(float(t), level + per_s * t, 20.0) for t in range(seconds)]


@pytest.mark.parametrize(("name", "per_s"), [("server", 13_600), ("worker 0", 5_000), ("harness", 0)])
def test_what_a_process_is_there_to_keep_is_no_growth(name, per_s):
    assert find_growth({name: sampled(per_s)}, 900) == []


@pytest.mark.parametrize(("name", "per_s"), [("server", 40_000), ("worker 0", 10_000), ("harness", 10_000)])
def test_more_than_that_is(name, per_s):
    (problem,) = find_growth({name: sampled(per_s)}, 900)
    assert problem.startswith(f"grows: {name} memory")


def test_a_process_that_was_hardly_seen_is_not_called_flat():
    assert find_growth({"worker 1": sampled(0, seconds=5)}, 900) == [
        "worker 1 was sampled 5 times: too few to tell whether it grows"
    ]
    assert find_growth({}, 900) == ["no process was sampled"]


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
    with pytest.raises(ValueError, match="at least 10"):
        fit_slope(range(12), [1.0] * 12, 1.0)
