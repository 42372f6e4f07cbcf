"""A run whose generator could not make attempts is INVALID, and says what ran out."""

import pytest

from harness.base.model import Shortage
from harness.judge.validity import shortage_reasons
from harness.run_folder.layout import WorkerRecord
from tests.support.run_builder import RunBuilder


@pytest.fixture
def record(tmp_path):
    made = RunBuilder(tmp_path / "run").finish(at_s=1.0).read_run()

    def of(*shortages):
        workers = [WorkerRecord(rank=rank, shortages=each) for rank, each in enumerate(shortages)]
        host = {"descriptors": 1024, "ports": 28_232}
        return made.model_copy(update={"workers": workers, "host": host, "scenario": {"client": {"max_in_flight": 50}}})

    return of


def test_no_failure_no_reason(record):
    assert shortage_reasons(0, record({})) == []


@pytest.mark.parametrize(
    ("shortage", "said"),
    [
        ("descriptors", ("descriptors (limit: 1,024 per process)", "ulimit -Hn")),
        ("ports", ("ports (28,232 per source address", "client.source_addresses")),
        ("memory", ("memory for sockets", "lighter plan")),
        ("max_in_flight", ("client.max_in_flight allows per worker (50)", "more workers")),
    ],
)
def test_each_shortage_is_named_with_its_count_over_all_workers_and_its_remedy(record, shortage, said):
    (reason,) = shortage_reasons(5, record({shortage: 2}, {shortage: 3}))
    assert reason.startswith("5 attempts could not be made (generator_error)")
    for words in said:
        assert words in reason


def test_several_shortages_are_several_reasons(record):
    assert len(shortage_reasons(3, record({name.value: 1 for name in list(Shortage)[:3]}))) == 3


def test_what_a_lost_worker_had_too_little_of_is_told_without_its_cause(record):
    first, second = shortage_reasons(5, record({"ports": 2}))
    assert first.startswith("2 attempts")
    assert second.startswith("3 attempts failed in the generator")
