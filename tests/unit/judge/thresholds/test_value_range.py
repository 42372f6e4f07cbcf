"""Thresholds that no value, or every value, of their figure meets."""

from __future__ import annotations

import pytest

from harness.judge.thresholds.condition import parse_condition
from harness.judge.thresholds.value_range import why_foregone

WHOLE = "is always a whole number of at least 0"
SHARE = "is always from 0 % to 100 %"


@pytest.mark.parametrize(
    ("assertion", "why"),
    [
        ("audit.lost < 0", f"audit.lost {WHOLE}"),
        ("audit.lost == 0.5", f"audit.lost {WHOLE}"),
        ("pages.delivered <= -1", f"pages.delivered {WHOLE}"),
        ("stations.completed_ratio > 100%", f"stations.completed_ratio {SHARE}"),
        ("stations.completed_by_deadline_ratio >= 120%", f"stations.completed_by_deadline_ratio {SHARE}"),
        ("ratio(attempts{outcome='accepted'}) > 120%", f"this figure {SHARE}"),
        ("ratio(delivery_seconds) >= 101%", f"this figure {SHARE}"),
        ("attempts.amplification < 1", "attempts.amplification is always at least 1"),
        ("p95(delivery_seconds) < 0s", "this figure is always at least 0 s"),
        ("max(mock_server_queue_depth) < 0", "this figure is always at least 0"),
        ("rate(deliveries) < 0", "this figure is always at least 0/s"),
        ("recovery.brownout.metastable == 2", "recovery.brownout.metastable is always true or false"),
    ],
)
def test_a_threshold_that_no_value_meets_can_not_pass(assertion, why):
    assert why_foregone(parse_condition(assertion)) == f"can't pass: no value meets it, because {why}"


@pytest.mark.parametrize(
    ("assertion", "why"),
    [
        ("attempts.total >= 0", f"attempts.total {WHOLE}"),
        ("audit.lost != -1", f"audit.lost {WHOLE}"),
        ("stations.completed_ratio <= 150%", f"stations.completed_ratio {SHARE}"),
        ("ratio(attempts{outcome='reset'}) <= 100%", f"this figure {SHARE}"),
        ("attempts.amplification >= 1", "attempts.amplification is always at least 1"),
        ("avg(response_seconds) >= 0s", "this figure is always at least 0 s"),
        ("recovery.brownout.metastable >= 0", "recovery.brownout.metastable is always true or false"),
        ("max(mock_server_fault_active) <= 1", "this figure is always from 0 to 1"),
    ],
)
def test_a_threshold_that_every_value_meets_can_not_fail(assertion, why):
    assert why_foregone(parse_condition(assertion)) == f"can't fail: every value meets it, because {why}"


@pytest.mark.parametrize(
    "assertion",
    [
        "audit.lost == 0",
        "audit.lost < 1",
        "stations.completed_by_deadline_ratio >= 100%",
        "attempts.amplification <= 1",
        "lateness_seconds.p95 < 0s",
        "lateness_seconds.mean >= 0s",
        "recovery.brownout.metastable == false",
        "recovery.brownout.metastable != true",
        "max(lateness_seconds) > 0s",  # a timer may fire early: lateness can be negative
        "min(lateness_seconds) >= 0s",
        "generator.cpu_max_ratio < 150%",  # of one core: threads may use more
        "rate(process_cpu_seconds_total) < 120%",
        'min(temperature{target="nginx"}) > -1',  # what an external server publishes may have any value
        'last(balance_sum{target="nginx"}) >= 0',
        "max(mock_server_fault_active) == 0.5",  # of full strength, while a ramp lasts
        "rates.goodput_per_s > 0",
        "recapitulation.spare_s >= 0s",  # below 0 if the deadline was missed
    ],
)
def test_a_threshold_that_can_pass_and_can_fail_is_left_alone(assertion):
    assert why_foregone(parse_condition(assertion)) == ""
