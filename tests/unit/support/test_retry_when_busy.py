"""A test of times is made again where the machine was busy meanwhile, and only there, and not for ever."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import retry_when_busy


@pytest.fixture
def made(monkeypatch):
    """Makes a test that fails so many times on a machine that is busy so many times: how it ended, how often it was made."""

    def make(failures, busy):
        times: list[None] = []
        machine = iter([True] * busy + [False] * 10)

        def run(_item, log, nextitem):
            times.append(None)
            crash = SimpleNamespace(message="assert 2.0 < 1.0\n  where 2.0 is what it took")
            return [SimpleNamespace(failed=len(times) <= failures, longrepr=SimpleNamespace(reprcrash=crash))]

        class Watched(retry_when_busy.BusyMonitor):
            @property
            def was_busy(self):
                return next(machine)

        monkeypatch.setattr(retry_when_busy, "runtestprotocol", run)
        monkeypatch.setattr(retry_when_busy, "BusyMonitor", Watched)
        item: Any = SimpleNamespace(user_properties=[])
        (report,) = retry_when_busy.make(item, None)
        assert all(told.endswith("ms late: assert 2.0 < 1.0") for _, told in item.user_properties)
        return report.failed, len(times), len(item.user_properties)

    return make


@pytest.mark.parametrize(
    ("failures", "busy", "failed", "times"),
    [(0, 9, False, 1), (1, 9, False, 2), (2, 9, False, 3), (3, 9, True, 3), (1, 0, True, 1), (9, 1, True, 2)],
)
def test_only_a_failure_on_a_busy_machine_is_made_again_and_the_third_stands(made, failures, busy, failed, times):
    assert made(failures, busy) == (failed, times, times - 1)


def test_the_machine_is_watched_while_the_block_lasts():
    with retry_when_busy.BusyMonitor() as machine:
        sum(range(100_000))
    assert 0.0 <= machine.busy_ratio <= 1.0
    assert machine.latest_s >= 0.0
