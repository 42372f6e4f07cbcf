"""Thresholds that make no sense for the scenario that they belong to are refused before the run."""

from __future__ import annotations

import pytest

from harness.base.errors import ConfigurationError
from harness.cli.options import assertions_of
from harness.judge.thresholds.evaluate import check_assertions
from harness.judge.thresholds.parser import format_assertion, parse_assertion
from harness.judge.thresholds.planned_run import PlannedRun, planned_run, recorded_run
from harness.run_folder.layout import FaultRecord
from harness.scenario.experiment import load_experiment, shipped_experiments
from harness.scenario.loader import load_scenario, shipped_scenarios
from tests.support.made_up_verdicts import record

CODES = [f"350919100{village}{number:03d}" for village in (1, 2) for number in (1, 2, 3)]
RUN = PlannedRun(
    faults=[
        FaultRecord(name="early", kind="abort", start_s=0.0, end_s=4.0),
        FaultRecord(name="brownout", kind="capacity", start_s=20.0, end_s=30.0),
        FaultRecord(name="lossy", kind="reset_peer", start_s=40.0, end_s=80.0),
        FaultRecord(name="last", kind="abort", start_s=59.0, end_s=60.0),
        FaultRecord(name="slow", kind="latency", start_s=41.0, end_s=None),
    ],
    deadline_s=60.0,
    warm_up_s=5.0,
    forms=("ppwp",),
    resources=("nation", "kelurahan"),
    make_codes=lambda: CODES,
)


def refusal(assertion):
    with pytest.raises(ConfigurationError) as caught:
        check_assertions([assertion], "mine.toml", RUN)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("assertion", "message"),
    [
        ("p95(delivery_seconds) < 10", '"10" has no unit: did you mean "10s" or "10ms"?'),
        ("delivery_seconds.p95 < 0.5", '"0.5" has no unit: did you mean "0.5s" or "0.5ms"?'),
        ("max(process_resident_memory_bytes) < 500", '"500" has no unit: did you mean "500B" or "500MB"?'),
        ("rates.sent_bytes_per_s > 9", '"9" has no unit: did you mean "9B/s" or "9MB/s"?'),
    ],
)
def test_a_limit_without_its_unit_is_refused_with_the_units_to_choose_from(assertion, message):
    assert message in refusal(assertion)


@pytest.mark.parametrize(
    "assertion", ["rates.goodput_per_s > 9", "stations.completed_ratio >= 0.95", "count(attempts) > 9"]
)
def test_a_number_that_can_be_read_in_one_way_only_needs_no_unit(assertion):
    check_assertions([assertion], "mine.toml", RUN)


@pytest.mark.parametrize(
    ("assertion", "message"),
    [
        ("audit.lost < 0", "can't pass: no value meets it"),
        ("attempts.total >= 0", "can't fail: every value meets it"),
        ('count(attempts) > 1 during "early"', "can't pass, it has no window"),
        ('count(attempts) > 1 after "lossy"', "it has no window: the deadline is at 60 s, before lossy was over"),
        ('count(attempts) > 1 after "slow"', "the deadline is at 60 s, before slow was over"),
        ('max(mock_server_queue_depth) < 9 within 5s of end of "lossy"', "before lossy was over"),
        ("count(attempts) > 1 over 56s", "a window of 56 s does not fit into 55 s"),
        ('count(attempts) > 1 over 11s during "brownout"', "a window of 11 s does not fit into 10 s"),
        ("recovery.lossy.recovered_after_s < 5s", 'can\'t pass: "lossy" is not over before the deadline (60 s)'),
        ("recovery.last.recovered_after_s < 5s", 'can\'t pass: "last" is not over before the deadline (60 s)'),
        ("recovery.slow.metastable == false", 'can\'t pass: "slow" is not over before the deadline (60 s)'),
        ("recovery.brownot.metastable == false", 'the scenario has no fault "brownot"; did you mean "brownout"?'),
        ("server.faults_injected.brownot == 0", 'the scenario has no fault "brownot"; did you mean "brownout"?'),
        ("kelurahan.3509191009.completed_by_deadline > 0", "no station of the plan lies in kelurahan 3509191009"),
    ],
)
def test_what_a_run_can_not_decide_is_refused(assertion, message):
    assert message in refusal(assertion)


@pytest.mark.parametrize(
    ("assertion", "message"),
    [
        ('count(attempts{form="zzz"}) == 0', "the scenario sends no such form; available: ppwp"),
        ('count(attempts{form!="ppwp"}) == 0', "the scenario sends no such form; available: ppwp"),
        ('p50(delivery_seconds{phase="brownot"}) < 1s', 'the run has no such phase; did you mean "brownout"?'),
        ('p50(delivery_seconds{phase="warm_up"}) < 1s', "the run has no such phase"),
        ('p50(delivery_seconds{kelurahan="3509191009"}) < 1s', "no station of the plan lies in such a kelurahan"),
        (
            'p50(delivery_seconds{province=~"1.*"}) < 1s',
            "no station of the plan lies in such a province; available: 35",
        ),
        (
            'p50(delivery_seconds{kelurahan="3509191001", station=~".*2003"}) < 1s',
            "together contain no station of the plan",
        ),
        (
            'count(mock_server_faults_injected_total{fault="zzz"}) == 0',
            "the scenario has no such fault; available: early",
        ),
        (
            'count(mock_server_shed_total{reason="queue_ful"}) == 0',
            'there is no such reason; did you mean "queue_full"?',
        ),
        (
            'count(harness_retries_total{reason="unavailible"}) == 0',
            'there is no such reason; did you mean "unavailable"?',
        ),
        (
            'count(reads{resource="kelurahn"}) > 0',
            'no reader reads such a resource; did you mean "kelurahan"?',
        ),
    ],
)
def test_labels_that_choose_nothing_of_the_plan_are_refused_with_what_there_is(assertion, message):
    assert message in refusal(assertion)


def test_a_resource_is_refused_where_the_scenario_has_no_readers():
    with pytest.raises(ConfigurationError, match="no reader reads such a resource; it has none"):
        check_assertions(['count(reads{resource="nation"}) > 0'], "smoke.toml", planned_run(load_scenario("smoke")))


def test_a_refusal_points_to_the_place_and_counts_thresholds_from_one():
    with pytest.raises(ConfigurationError) as caught:
        check_assertions(["audit.lost == 0", "audit.lost < 0"], "mine.toml", RUN)
    lines = str(caught.value).splitlines()
    assert lines[:2] == [
        "mine.toml:",
        "  thresholds #2: can't pass: no value meets it, because audit.lost is always a whole number of at least 0",
    ]
    assert lines[2].index("audit.lost < 0") + len("audit.lost < ") == lines[3].index("^")


@pytest.mark.parametrize(
    "assertion",
    [
        'p50(delivery_seconds{kelurahan=~".*1001|.*1002", phase="brownout", form="ppwp"}) < 1s',
        'count(attempts{phase!="brownout"}) > 1',
        'count(attempts{phase=~"lossy.slow"}) > 1',
        'count(attempts) > 1 during "slow"',
        "count(attempts) > 1 over 55s",
        'rate(deliveries) > 1 within 5s of end of "brownout"',
        "recovery.brownout.recovered_after_s < 5s",
        "kelurahan.3509191002.completed_by_deadline == 3",
        'count(mock_server_faults_injected_total{fault="brownout"}) > 0',
        'count(mock_server_shed_total{reason="handler_timeout"}) == 0',
        'count(mock_server_shed_total{reason=~"codel|vegas"}) == 0',
        'count(harness_retries_total{reason="timeout_response"}) == 0',
        'p95(reader_seconds{resource="nation"}) < 1s',
        'max(nginx_connections{target="nginx", fault="any"}) < 5',
    ],
)
def test_what_the_run_has_is_accepted(assertion):
    check_assertions([assertion], "mine.toml", RUN)


def test_a_finished_run_is_judged_by_what_it_was():
    run = recorded_run(record())
    check_assertions(['p50(delivery_seconds{form="zzz"}) < 1s after "brownout"'], "strict.toml", run)
    with pytest.raises(ConfigurationError, match="does not fit into 72 s"):
        check_assertions(["count(attempts) > 1 over 2m"], "strict.toml", run)


def test_without_a_run_whatever_can_be_evaluated_is_accepted_so_that_old_folders_can_be_judged_again():
    check_assertions(["p95(delivery_seconds) < 10", "audit.lost < 0", 'count(attempts{form="zzz"}) == 0'])


def test_every_scenario_and_every_cell_that_ships_can_be_judged():
    for name in shipped_scenarios():
        scenario = load_scenario(name)
        check_assertions(assertions_of(scenario), name, planned_run(scenario))
    for name in shipped_experiments():
        _, cells = load_experiment(name)
        for cell in cells:
            check_assertions(assertions_of(cell.scenario), name, planned_run(cell.scenario))


OWN = PlannedRun(
    [], deadline_s=60.0, forms=("intake",), make_codes=lambda: ["A", "B"], place_labels=("health zone", "district", "station"),
    make_groups=lambda: {"A": {"health zone": "N", "district": "القدس"}, "B": {"health zone": "S", "district": "Ñ"}},
)  # fmt: skip


@pytest.mark.parametrize(
    "assertion",
    [
        'p50(delivery_seconds{"health zone"="N", form="intake"}) < 1s',
        'p50(delivery_seconds{district=~"الق.*"}) < 1s',
        "p50(delivery_seconds{station!='A'}) < 1s",
        "groups.N.completed_by_deadline > 0",
    ],
)
def test_own_groups_are_labels_in_quotes_if_they_are_no_words(assertion):
    check_assertions([assertion], "own.toml", OWN)
    check_assertions([format_assertion(parse_assertion(assertion))], "own.toml", OWN)


@pytest.mark.parametrize(
    ("assertion", "message"),
    [
        (
            'p50(delivery_seconds{"health zone"="M"}) < 1s',
            "no station of the plan lies in such a health zone; available: N, S",
        ),
        ('p50(delivery_seconds{kelurahan="35"}) < 1s', 'has no label "kelurahan"'),
        ('p50(delivery_seconds{distrct="Ñ"}) < 1s', 'did you mean "district"'),
        ('p50(delivery_seconds{"health zone"="N", district="Ñ"}) < 1s', "these places together contain no station"),
        ("kelurahan.3509191001.completed_by_deadline > 0", "a list of your own, which has no kelurahan"),
    ],
)
def test_what_own_stations_do_not_have_is_refused(assertion, message):
    with pytest.raises(ConfigurationError) as caught:
        check_assertions([assertion], "own.toml", OWN)
    assert message in str(caught.value)


def test_a_region_has_no_groups_of_the_users_own():
    assert "groups are those of a list of your own" in refusal("groups.N.completed_by_deadline > 0")
