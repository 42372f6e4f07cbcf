"""These tests run the server on the event loop that it has in production, but for those of times: they have virtual time."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
import uvloop

from tests.support import mock_process
from tests.support.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual_time"):
        return {"virtual time": VirtualTimeLoop}
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def _no_server_is_left() -> Iterator[None]:
    """Ends the servers of a test that failed: they are nothing for the tests after it."""
    before = set(mock_process.STARTED)
    yield
    for left in mock_process.STARTED - before:
        left.popen.kill()
        left.end()
