"""Thresholds that no run of a plan could pass because data would be missing are reported before it starts."""

import pytest

from harness.judge.thresholds.evaluate import find_undersized
from harness.plan import make_plan
from harness.scenario.loader import load_scenario

DEADLINE_S = 72.0


@pytest.fixture(scope="module")
def plan():
    return make_plan(load_scenario("kaliwates", ["photos.size=40KB", "photos.bank=1"]))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("assertion", "said"),
    [
        ("p99.9(delivery_seconds) < 10s", "will fail for lack of data: it needs 10,000 pages, the plan has 1,086"),
        ("p(0.5)(delivery_seconds) < 10s", "will fail for lack of data: it needs 2,000 pages, the plan has 1,086"),
        ("delivery_seconds.p99_9 < 10s", "it needs 10,000 pages, the plan has 1,086"),
        ("p99(completion_seconds) < 10s", "it needs 1,000 stations, the plan has 362"),
        ('p95(delivery_seconds{kelurahan="3509191001"}) < 10s', "it needs 200 pages, the plan has 150"),
        ('p95(delivery_seconds{kelurahan="9999999999"}) < 10s', "it needs 200 pages, the plan has 0"),
        ("p99.9(response_seconds) < 10s", "unless retries add to them: it needs 10,000 pages, the plan has 1,086"),
        ("response_seconds.by_outcome.accepted.p99_9 < 1s", "unless retries add to them: it needs 10,000"),
    ],
)
def test_a_percentile_that_the_plan_can_not_bear_is_told_with_the_size_it_needs(plan, assertion, said):
    (line,) = find_undersized([assertion, assertion], plan, 0.0, DEADLINE_S)
    assert line.startswith(assertion)
    assert said in line


@pytest.mark.parametrize(
    "assertion",
    [
        "p99(delivery_seconds) < 10s",
        'p95(delivery_seconds{kelurahan=~"350919100[17]", form="ppwp"}) < 10s',
        "p95(completion_seconds) < 10s",
        "avg(delivery_seconds) < 10s",
        "delivery_seconds.max < 10s",
        "p99.9(mock_server_queue_depth) < 10",
        "p99.9(delivery_seconds) < 10s over 10s",
        'p99.9(delivery_seconds) < 10s after "brownout"',
        "stations.completed_ratio >= 95%",
    ],
)
def test_what_the_plan_can_bear_or_does_not_know_is_not_warned_of(plan, assertion):
    assert find_undersized([assertion], plan, 0.0, DEADLINE_S) == []


def test_stations_of_the_warm_up_and_beyond_the_deadline_are_in_no_sample(plan):
    assertion = "p99(delivery_seconds) < 10s"
    for warm_up_s, deadline_s in ((8.0, DEADLINE_S), (0.0, 8.0)):
        (line,) = find_undersized([assertion], plan, warm_up_s, deadline_s)
        assert "it needs 1,000 pages, the plan has 5" in line  # about half of them turn up in the first 8 s
