"""The work on an upload at the simulated server: admission, pool, commit, as mock_server/upload/pipeline.py has it.

Admission, pool, service times, faults and the rules for duplicates are the mock server's own modules. What is added for
the work that is left out (parsing, committing, answering) comes from the scenario's table [simulate].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

from harness.scenario.scenario import Scenario
from harness.simulate.clock import VirtualTimer
from harness.simulate.costs import Costs
from harness.simulate.page_store import PageStore, StoredRow
from harness.simulate.request import SimulatedRequest
from harness.simulate.response import SimulatedResponse
from mock_server.faults.base import RequestKey
from mock_server.faults.faulted_request import ConnectionEnded, Refusal
from mock_server.faults.matching import Hit, Injection
from mock_server.overload.service_time import ServiceTimes, page_label
from mock_server.overload.worker_pool import Job, JobEnd
from mock_server.profile.keyed_random import keyed_uniform

if TYPE_CHECKING:
    from harness.simulate.server import SimulatedServer

_STORED, _ALREADY_STORED = 201, 200


class Keyed(Protocol):
    """A request that knows what it is about."""

    @property
    def key(self) -> RequestKey:
        """Its page and attempt."""


class UploadWork:
    """What the simulated server does with the uploads of pages."""

    def __init__(
        self, server: SimulatedServer, scenario: Scenario, costs: Costs, store: PageStore, size_of_page: Sequence[int],
        log: Callable[[Injection], None],
    ) -> None:  # fmt: skip
        """Pool, counters and faults are those that `server` has at the time: a crash replaces them."""
        self._server = server
        self._clock = server.clock
        self._profile = scenario.server
        self._seed = scenario.seed
        self.costs = costs
        self.store = store
        self.sizes = size_of_page
        self._log = log
        self.service_times = ServiceTimes(scenario.server, scenario.seed)
        self._deletes: dict[int, tuple[VirtualTimer, SimulatedRequest, float]] = {}
        """Scheduled deletions by number: their timer, whose copies, and the moment of their commit."""
        self._deletions = 0

    # --- the path of a page

    async def upload(self, request: SimulatedRequest) -> SimulatedResponse:
        """Take a whole page. Raises Refusal, ConnectionEnded or ProcessKilled, as all of these methods do."""
        if self._server.faults.has("request"):
            await request.meet_faults()
        authorise(request)
        self.check_load(request)
        await request.read_body(self._profile.body_timeout)
        return await self.process(request)

    async def process(self, request: SimulatedRequest, *, resumable: bool = False) -> SimulatedResponse:
        """Process an upload that has been read: a resumable one is always waited for."""
        self.check_load(request)  # again: others may have filled the queue while the body came
        if self._profile.reading == "asynchronous" and not resumable:
            self._process_later(request)
            response = SimulatedResponse(202)
        else:
            response = await self._work_and_commit(request, waits=True)
        if self._server.faults.has("acknowledgement"):
            request.match("acknowledgement")
        return response

    def check_load(self, request: SimulatedRequest) -> None:
        """Raise Refusal if the upload is to be shed now."""
        reason = self._server.admission.refusal(request.timeout_s)
        if reason is not None:
            raise Refusal(503, "Overloaded", self.shed(request.key, reason))

    def shed(self, key: RequestKey, reason: str) -> float | None:
        """Count a refusal for overload; the pause that it asks for, None without one."""
        self._server.counters.shed[reason] += 1
        return self._server.admission.retry_after_s(partial(keyed_uniform, self._seed, "retry_after", *key[:4]))

    def service_s(self, request: Keyed, label: str, size_bytes: int) -> float:
        """How long a worker needs for a page, asked when its work begins: a fault may have begun since it was queued.

        `label` names the upload as `ServiceTimes.seconds_of` wants it.
        """
        seconds, faults = self.service_times.seconds_of(label, size_bytes), self._server.faults
        return seconds / faults.capacity_factor(request.key) if faults.has("work") else seconds

    def _service_s_of(self, request: SimulatedRequest) -> float:
        key = request.key
        label = f"{key.station}{page_label(key.form, key.page)}{key.attempt}"
        return self.service_s(request, label, self.sizes[request.page])

    def _process_later(self, request: SimulatedRequest) -> None:
        """Process an upload that is answered before: by a request of its own, which has no client."""
        later = SimulatedRequest(self._clock, request.client, request.key, self._server.faults)
        later.page, later.timeout_s = request.page, request.timeout_s
        later.is_answered = True
        self._server.in_progress[later] = None
        later.start(self._finish_later(later))

    async def _finish_later(self, request: SimulatedRequest) -> None:
        # A refusal has no one to go to: the client learns of it when it sends the page again.
        with suppress(Refusal, ConnectionEnded):
            await self._work_and_commit(request, waits=False)
        self._server.in_progress.pop(request, None)
        request.release_hits()

    async def _work_and_commit(self, request: SimulatedRequest, *, waits: bool) -> SimulatedResponse:
        began_s = self._clock.now_s
        pool = self._server.pool
        job = Job(
            partial(self._service_s_of, request),
            request.end_job,
            request.is_gone,
            self._server.admission.latest_start_s(request.timeout_s),
        )
        if waits and self._profile.cancel_on_disconnect:
            request.cancel_job = pool.cancel
        pool.submit(job)
        request.job = job
        end = await request.await_job()
        request.job = None  # the two refer to each other, and while a simulation plays, nothing collects cycles
        if end is JobEnd.CANCELLED:
            raise ConnectionEnded
        if end is JobEnd.DROPPED:
            raise Refusal(503, "The server dropped the upload")
        if end is not JobEnd.SERVED:
            raise Refusal(503, "Overloaded", self.shed(request.key, end.value))
        self._server.counters.served(job.expected_s, is_wasted=waits and request.is_disconnected)
        queue_s, worked_s = job.wait_s, self._clock.now_s
        status = await self._commit(request)
        service_s = worked_s - began_s - queue_s
        return SimulatedResponse(status, None, queue_s, service_s + self._clock.now_s - worked_s)

    async def _commit(self, request: SimulatedRequest) -> int:
        """Store the page as the faults would have it; the status that says so."""
        page, store = request.page, self.store
        rows: tuple[StoredRow, ...] | None = None
        acting: tuple[Hit, ...] = ()
        if self._server.faults.has("rows"):
            sent = (store.row(page),)
            changed, acting = request.hit_rows(sent)
            rows = None if changed == sent else changed
        await request.sleep_until(self._clock.now_s + self.costs.commit_s(request.key))
        status = self.store_page(page, rows)
        if status == _ALREADY_STORED:
            return status
        for hit in acting:
            hit.act()
        if request.deleting_hit is not None and request.delete_after_s is not None:
            request.deleting_hit.act(is_logged=True)
            self._deletions += 1
            timer = self._clock.call_later(request.delete_after_s, self._delete, self._deletions)
            self._deletes[self._deletions] = (timer, request, self._clock.now_s)
        return status

    def store_page(self, page: int, rows: tuple[StoredRow, ...] | None = None) -> int:
        """Store a page as it was sent, or these copies of it: 201, or 200 if it was stored already."""
        store, counters, copies = self.store, self._server.counters, 1
        if rows is None:
            if not store.store(page, self._clock.now_s):
                return _ALREADY_STORED
        elif store.is_duplicate(page):
            return _ALREADY_STORED
        else:
            store.put_rows(page, rows, self._clock.now_s)
            copies = len(rows)
        counters.stored += copies
        counters.stored_bytes += copies * self.sizes[page]
        return _STORED

    # --- what faults have scheduled for deletion

    def _delete(self, number: int) -> None:
        timer, request, at_s = self._deletes.pop(number)
        timer.cancel()
        hit = request.deleting_hit
        if hit is not None and self.store.delete(request.page, at_s):
            self._log(hit.injection)

    def delete_scheduled(self) -> None:
        """Delete at once what faults have scheduled for later."""
        for number in tuple(self._deletes):
            self._delete(number)

    def forget_deletions(self) -> None:
        """The process has died: what it would have deleted stays."""
        for timer, *_ in self._deletes.values():
            timer.cancel()
        self._deletes.clear()


def authorise(request: SimulatedRequest) -> None:
    """Raise Refusal if the request's token is not valid."""
    if not request.is_authorised:
        raise Refusal(401, "The token has expired")
