"""Rules for all tests: nothing is left behind, and timed ones are repeated on a busy machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import leak_check, quick_collection, retry_when_busy

settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # how long an example takes depends on the machine's other users
settings.load_profile("shared machine")


def pytest_configure(config: pytest.Config) -> None:
    """Collect quickly, and hear signals also where the tests were started in the background or under nohup: ignoring one is inherited."""
    config.pluginmanager.register(quick_collection)  # here for the packages' files, too, which no conftest is above
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """Fails a test that leaves something in its process that could disturb the tests after it."""
    before = leak_check.Before()
    yield
    left = before.left()
    if left:
        pytest.fail(f"left behind: {', '.join(left)}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Repeat a test that asserts times if the machine was busy."""
    if item.get_closest_marker("timed") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in retry_when_busy.make(item, nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the tests that were repeated, so that one which always needs it is noticed."""
    for word in ("passed", "failed"):
        for report in terminalreporter.stats.get(word, []):
            for name, circumstances in getattr(report, "user_properties", ()) if report.when == "call" else ():
                if name == retry_when_busy.REPEATED:
                    terminalreporter.write_line(f"{name}: {report.nodeid}: {circumstances}")
