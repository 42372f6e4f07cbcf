"""The kinds of faults that there are: adding one is its module and a line here."""

from __future__ import annotations

from mock_server.faults.abort import Abort
from mock_server.faults.base import Fault
from mock_server.faults.capacity import Capacity
from mock_server.faults.latency import Latency

KINDS: tuple[type[Fault], ...] = (
    Abort,
    Capacity,
    Latency,
)
