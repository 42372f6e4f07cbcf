"""What a soak says against its own run: flat memory is worth nothing if a page was lost or the run is invalid."""

from __future__ import annotations

import json

import pytest

from bench.soak import objections


def run_of(path, *, verdict="pass", reasons=(), safety=True, delivered=10, breached=False):
    threshold = {"assert": "a < 1", "passed": not breached, "reason": "1 above"}
    told = {"verdict": verdict, "safety": safety, "validity": {"reasons": list(reasons)}, "thresholds": [threshold]}
    (path / "verdict.json").write_text(json.dumps(told), "utf-8")
    (path / "summary.json").write_text(json.dumps({"pages": {"planned": 10, "delivered": delivered}}), "utf-8")
    return path


def test_a_run_that_passed_with_every_page_has_nothing_against_it(tmp_path):
    assert objections(run_of(tmp_path), 0) == []


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
    assert objections(run_of(tmp_path, **run), code) == told


def test_a_run_without_a_verdict_fails_it_in_words(tmp_path):
    (said,) = objections(tmp_path, 1)
    assert said.startswith("the run ended with exit code 1 and without a verdict: ")
