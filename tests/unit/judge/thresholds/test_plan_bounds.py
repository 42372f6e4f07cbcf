"""Thresholds that the plan has decided before the run."""

import pytest

from harness.judge.thresholds.plan_bounds import find_decided

CANT_PASS = ["pages.delivered >= 37", "pages.planned == 35", "stations.completed > 12", "audit.ok == 40", "p50(service_seconds) > 12s"]  # fmt: skip
CANT_FAIL = ["pages.undelivered <= 36", "pages.planned == 36", "stations.begun < 13", "p99(response_seconds) < 11001ms", "audit.lost != 37"]  # fmt: skip
OPEN = [
    "pages.delivered >= 36", "pages.undelivered == 0", "stations.completed == 12", "audit.unexpected < 100",
    "audit.unsafe < 100", "p95(service_seconds) < 11s", "p95(delivery_seconds) < 60s", "p95(lateness_seconds) < 60s", "attempts.total < 1000",
    "count(response_seconds) < 1000", "rate(attempts) < 1000", "pages.gave_up_by_reason.withheld < 3",
]  # fmt: skip


def decided(assertion):
    return find_decided([assertion], pages=36, stations=12, client_timeout_s=10.0)


@pytest.mark.parametrize("assertion", CANT_PASS)
def test_what_no_run_of_this_plan_can_pass(assertion):
    (line,) = decided(assertion)
    assert line.startswith(f"{assertion} can't pass: ")


@pytest.mark.parametrize("assertion", CANT_FAIL)
def test_what_no_run_of_this_plan_can_fail(assertion):
    (line,) = decided(assertion)
    assert line.startswith(f"{assertion} can't fail: ")


@pytest.mark.parametrize("assertion", OPEN)
def test_what_is_open_is_not_warned_of(assertion):
    assert decided(assertion) == []
