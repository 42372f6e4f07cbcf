"""What the phones of a simulation share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.measure.metrics import WorkerMetrics
from harness.plan import Plan
from harness.run_folder.journal import AttemptRecord, JournalWriter
from harness.scenario.client import ClientOptions
from harness.simulate.clock import VirtualClock
from harness.simulate.connection import Network
from harness.simulate.direct_requests import DirectUploads

if TYPE_CHECKING:
    from harness.simulate.phone import Phone


@dataclass(slots=True)
class PhoneContext:
    """What all phones of one simulation share."""

    plan: Plan
    client: ClientOptions
    clock: VirtualClock
    network: Network
    journal: JournalWriter
    metrics: WorkerMetrics
    seed: int
    deadline_s: float
    size_of_page: Sequence[int]
    on_done: Callable[[], None]
    """Called when a phone has nothing left to do."""
    closes_each: bool
    """Whether a connection is closed after each attempt."""
    page_method: str
    page_head_bytes: int
    """Of a request with a page, about: headers, and of a form its parts' headers."""
    uploads: DirectUploads
    """What direct requests share."""
    direct_from_s: float
    """From this moment on requests are sent directly (harness/simulate/direct_requests.py)."""
    in_flight: dict[Phone, AttemptRecord] = field(default_factory=dict)
    attempts: int = 0
    stations_begun: int = 0
    is_stopped: bool = False
    """Set it to keep all phones from doing anything further."""
