"""What an assertion may say: every label, window and aggregation, and what is said of a wrong one."""

from __future__ import annotations

import pytest

from harness.analysis.selection import ROW_LABELS, LabelMatcher
from harness.base.errors import ConfigurationError
from harness.judge.thresholds.condition import AGGREGATIONS, FaultSpan, parse_condition
from harness.judge.thresholds.evaluate import check_assertions
from harness.judge.thresholds.parser import InvalidAssertionError
from harness.judge.thresholds.planned_run import PlannedRun
from harness.run_folder.layout import FaultRecord
from harness.scenario.stations import PLACE_LABELS

BROWNOUT = FaultRecord(name="brownout", kind="capacity", start_s=10.0, end_s=20.0)


def test_labels_windows_and_units_are_understood_together():
    found = parse_condition(
        'p(99.9)(delivery_seconds{phase="brownout", form!~"pd.*"}) <= 1.5m during "brownout" over 10s'
    )
    assert (found.source, found.metric, found.aggregation, found.quantile) == ("rows", "delivery_seconds", "p", 0.999)
    assert found.matchers == (LabelMatcher("phase", "=", "brownout"), LabelMatcher("form", "!~", "pd.*"))
    assert (found.operator, found.limit, found.unit) == ("<=", 90.0, "s")
    assert (found.fault_span, found.over_s) == (FaultSpan("during", "brownout"), 10.0)


@pytest.mark.parametrize(
    ("window", "span", "over_s"),
    [
        ('during "a b"', FaultSpan("during", "a b"), None),
        ("after 'brownout'", FaultSpan("after", "brownout"), None),
        ("over 1m", None, 60.0),
        ('within 30s of end of "brownout"', FaultSpan("within", "brownout", 30.0), None),
        ('within 500ms of end of "brownout" over 2 s', FaultSpan("within", "brownout", 0.5), 2.0),
        ('over 2s within 30 s of  end of"brownout"', FaultSpan("within", "brownout", 30.0), 2.0),
    ],
)
def test_every_window_is_understood(window, span, over_s):
    found = parse_condition(f"max(response_seconds) < 1s {window}")
    assert (found.fault_span, found.over_s) == (span, over_s)


@pytest.mark.parametrize(
    ("subject", "unit"),
    [
        ("count(attempts)", ""), ("rate(attempts)", "per_s"), ('ratio(attempts{outcome="reset"})', "ratio"),
        ("count(deliveries)", ""), ("rate(deliveries)", "per_s"), ("ratio(delivery_seconds)", "ratio"),
        ("last(response_seconds)", "s"), ("max(mock_server_queue_depth)", ""), ("count(mock_server_queue_depth)", ""),
        ("rate(mock_server_wasted_work_total)", "per_s"), ("rate(harness_sent_bytes_total)", "B/s"),
        ("count(mock_server_stored_bytes_total)", "B"), ("rate(process_cpu_seconds_total)", "ratio"),
        ("max(process_resident_memory_bytes)", "B"), ("max(harness_loop_lag_seconds)", "s"),
        ("avg(mock_server_service_seconds)", "s"), ("rate(mock_server_service_seconds)", "per_s"),
        ("count(mock_server_service_seconds_sum)", "s"), ("count(harness_response_seconds_bucket)", ""),
        ('ratio(harness_response_seconds_bucket{le="1"})', "ratio"), ("rate(mock_server_stored_bytes_total)", "B/s"),
        ('last(node_load_seconds_bucket{target="node"})', ""), ('last(x_bytes_count{target="node"})', ""),
    ],
)  # fmt: skip
def test_the_unit_follows_from_the_metric_and_the_aggregation(subject, unit):
    assert parse_condition(f"{subject} < 1").unit == unit


def test_a_group_of_the_users_own_is_a_label_of_rows_only():
    (matcher,) = parse_condition('count(deliveries{"district"="North"}) > 1').matchers
    assert (matcher.label, matcher.value) == ("district", "North")
    with pytest.raises(InvalidAssertionError, match='has no label "district"'):
        parse_condition('count(mock_server_shed_total{"district"="North"}) > 1')


@pytest.mark.parametrize(
    ("subject", "source"),
    [
        ('max(nginx_connections_active{target="nginx"})', "gauge"),
        ('rate(nginx_http_requests_total{outcome="any", target=~"ngin."})', "counter"),
        ('ratio(s3_seconds_bucket{le="1", target="s3"})', "counter"),
    ],
)
def test_any_series_of_a_server_that_is_not_ours_can_be_named_with_its_target(subject, source):
    assert parse_condition(f"{subject} < 1").source == source
    without = subject.replace("target", "tarket")
    with pytest.raises(InvalidAssertionError, match="there is no metric"):
        parse_condition(f"{without} < 1")


WRONG = [
    ('max(response_seconds{phase="x}) < 1', 27, "the closing quote is missing"),
    ("max(response_seconds{phase=x}) < 1", 27, "expected a text in quotes"),
    ('max(response_seconds{phase ? "x"}) < 1', 27, "expected one of != !~ = =~"),
    ('max(response_seconds{="x"}) < 1', 21, "expected the name of a label"),
    ('max(response_seconds{phase="x" form="y"}) < 1', 31, 'expected "," or "}"'),
    (r'max(response_seconds{phase="\d"}) < 1', 28, "unknown escape"),
    ('max(response_seconds{fase="x"}) < 1', 21, 'response_seconds has no label "fase"; did you mean "phase"?'),
    ('max(completion_seconds{form="x"}) < 1', 23, 'completion_seconds has no label "form"'),
    ('count(attempts{outcome="acepted"}) < 1', 23, 'this matches no outcome; did you mean "accepted"?'),
    ('count(attempts{outcome!="acepted"}) < 1', 24, 'there is no outcome "acepted"'),
    ('count(attempts{outcome=~"4.."}) < 1', 24, "this matches no outcome; available: accepted"),
    ('count(attempts{station=~"("}) < 1', 24, "invalid regular expression"),
    ('pages.delivered{form="ppwp"} > 1', 15, "labels need an aggregation"),
    ("ratio(attempts) > 1%", 6, "a ratio needs a label that selects a share"),
    ('ratio(mock_server_shed_total{target="server"}) > 1%', 6, "a ratio needs a label that selects a share"),
    ("rate(response_seconds) > 1", 0, "rate does not apply to response_seconds: use one of pN, avg, min, max, last, count"),
    ("max(attempts) > 1", 0, "max does not apply to attempts, which has no value: use one of count, rate, ratio"),
    ("max(harness_attempts_total) > 1", 0, "a counter, which only rises: use one of rate, count, ratio, last"),
    ("p95(mock_server_service_seconds) > 1", 0, "a histogram, whose buckets are too coarse"),
    ("ratio(deliveries) > 1", 0, "ratio does not apply to deliveries"),
    ("max(mock_server_queue_dept) < 1", 4, 'there is no metric "mock_server_queue_dept"; did you mean "mock_server_queue_depth"?'),
    ('max(mock_server_queue_depth{reason="x"}) < 1', 28, 'mock_server_queue_depth has no label "reason"'),
    ("max(pages.delivered) < 1", 4, "a key of the summary is written without an aggregation"),
    ("mock_server_queue_depth < 1", 0, "it needs an aggregation"),
    ("max(response_seconds) < 1s by 10s", 24, '"1s by 10s" is not a duration'),
    ('max(response_seconds) < 1s during "a" by 10s', 38, "expected a window (during, after, over, within) or the end of the assertion"),
    ("max(response_seconds) < 1s during brownout", 34, "expected a text in quotes"),
    ("max(response_seconds) < 1s over ten", 32, "expected a duration"),
    ("max(response_seconds) < 1s over 10", 32, '"10" is not a duration'),
    ("max(response_seconds) < 1s over 500ms", 27, "a window must be at least 1 s long"),
    ("max(response_seconds) < 1s over 2s over 3s", 35, 'duplicate "over"'),
    ('max(response_seconds) < 1s during "a" after "b"', 38, "\"after\" can't be combined with \"during\""),
    ('max(response_seconds) < 1s within 5s of "a"', 40, 'expected "end", as in: within 5s of end of "fault"'),
    ("max(response_seconds) < during 5s", 24, "expected a value"),
    ('pages.delivered > 1 during "a"', 20, "pages.delivered is a figure of the whole run and can't have a window"),
]  # fmt: skip


@pytest.mark.parametrize(("assertion", "place", "message"), WRONG)
def test_what_is_wrong_is_said_with_a_caret_under_the_place(assertion, place, message):
    with pytest.raises(InvalidAssertionError) as caught:
        parse_condition(assertion, places=PLACE_LABELS)
    assert message in str(caught.value)
    assert caught.value.position == place
    assert str(caught.value).splitlines()[-2:] == [f"    {assertion}", f"    {' ' * place}^"]


def test_a_window_can_name_the_scenarios_faults_only():
    assertion = 'max(response_seconds) < 1s after "brownou"'
    parse_condition(assertion)  # a finished run is asked when it is judged
    with pytest.raises(ConfigurationError, match='no fault "brownou"; did you mean "brownout"'):
        check_assertions([assertion], "mine.toml", PlannedRun([BROWNOUT], deadline_s=60.0))
    with pytest.raises(ConfigurationError, match='no fault "brownou"; it has none'):
        check_assertions([assertion], "mine.toml", PlannedRun([], deadline_s=60.0))


def test_every_aggregation_can_be_taken_of_some_rows():
    possible = set()
    for metric in ROW_LABELS:
        for name in ("p50", *AGGREGATIONS[1:]):
            label = '{outcome="accepted"}' if metric == "attempts" else ""
            try:
                parse_condition(f"{name}({metric}{label}) < 1")
            except InvalidAssertionError:
                continue
            possible.add(name)
    assert possible == {"p50", *AGGREGATIONS[1:]}
