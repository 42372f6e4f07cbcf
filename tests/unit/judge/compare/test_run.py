import pytest

from harness.judge.compare.compare import list_differences
from harness.judge.compare.run import find_differences
from harness.run_folder.layout import WorkerRecord
from tests.support.compared_runs import record

SCENARIO = record().scenario


def test_runs_of_one_scenario_on_one_machine_are_alike_whatever_they_are_called():
    other = {**SCENARIO, "name": "other", "title": "Another", "thresholds": [{"assert": "pages.undelivered == 0"}]}
    assert (
        find_differences(record(), record(scenario=other, name="other", command=["harness", "run"], id="other")) == []
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"scenario": {**SCENARIO, "server": {"workers": 4}}}, "scenario.server.workers: 8 against 4"),
        ({"scenario": {**SCENARIO, "faults": [{"kind": "down"}]}}, 'scenario.faults #1: kind: nothing against "down"'),
        ({"versions": {"harness": "0.2.0"}}, 'versions.harness: "0.1.0" against "0.2.0"'),
        ({"host": {**record().host, "cpu": "other"}}, 'host.cpu: "made" against "other"'),
        ({"host": {**record().host, "memory_bytes": 2**33}}, "host.memory_bytes: 17179869184 against 8589934592"),
        ({"workers": [WorkerRecord(rank=0), WorkerRecord(rank=1)]}, "workers: 1 against 2"),
        ({"workers": [WorkerRecord(rank=0, host="b")]}, 'workers.hosts: [] against ["b"]'),
        ({"own_server": False}, 'target: "the harness\'s own mock server" against "an external server"'),
    ],
)
def test_what_could_make_a_difference_is_told_with_both_values(changes, line):
    assert find_differences(record(), record(**changes)) == [line]


def test_a_host_is_known_by_what_it_is_not_by_its_name_or_a_few_pages_of_memory():
    host = record().host
    assert find_differences(record(), record(host={**host, "name": "two", "memory_bytes": 2**34 - 70_000})) == []


def test_how_the_mock_would_behave_does_not_matter_where_neither_run_used_it():
    other = {**SCENARIO, "server": {"workers": 4}}
    assert (
        find_differences(record(own_server=False), record(own_server=False, scenario=other, target="http://[::1]:2"))
        == []
    )


def test_sides_need_the_same_seeds_in_any_order():
    one, two = record(seed=1), record(seed=2)
    assert list_differences([one, two], [two, one]) == []
    assert list_differences([one], [two]) == ["seed: 1 against 2"]


def test_runs_of_one_side_are_held_against_each_other_too():
    other = record(versions={"harness": "0.2.0"})
    assert list_differences([record(), other], [record()]) == ['versions.harness: "0.1.0" against "0.2.0"']
