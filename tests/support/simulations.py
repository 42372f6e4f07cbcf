"""Scenarios played in virtual time within a test: rows and counters, without a run folder."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.base.model import OUTCOMES
from harness.measure.metrics import WorkerMetrics
from harness.plan import make_plan
from harness.plan.photos import make_nominal_bank
from harness.run_folder.journal import JournalWriter, RecordKind, read_journal
from harness.scenario.scenario import Scenario
from harness.simulate.simulation import Simulation
from mock_server.faults.matching import Injection

FREE = {
    "connect": "0s",
    "login": "0s",
    "send": "1000000GB/s",
    "receive": "unlimited",
    "parse": "0s",
    "commit": "0s",
    "answer": "0s",
    "restart": "0s",
}
"""Costs of nothing, so that times are those of the model alone."""


def scenario(**tables: Any) -> Scenario:
    """A small scenario: two stations of Kaliwates, one second apart, no costs, fixed service of 100 ms; `tables` override."""
    base: dict[str, Any] = {
        "name": "test",
        "deadline": "60s",
        "stations": {"region": "kaliwates", "count": 2},
        "photos": {"size": "4KB", "bank": 1},
        "arrivals": {"kind": "constant", "over": "2s"},
        "client": {"timeout": "5s", "retry": {"strategy": "fixed", "base": "1s"}},
        "server": {"workers": 4, "service_time": "100ms", "tokens_survive_restart": True},
        "simulate": FREE,
    }
    return Scenario.model_validate({**base, **tables})


class PlayedSimulation:
    """A simulation that has been played to its end."""

    def __init__(
        self, played: Scenario, abort_at_s: float = float("inf"), pages_each: int | None = None,
        direct_from_s: float | None = None,
    ) -> None:  # fmt: skip
        """`pages_each` leaves every station only its first pages: one makes the server a textbook queue.

        `direct_from_s` is when requests begin to be sent directly, if that is not for the scenario to decide.
        """
        self.scenario = played
        plan = make_plan(played, make_nominal_bank(played.photos.size, played.photos.bank, played.seed))
        slots = plan.slots[:pages_each]
        self.plan = replace(plan, slots=slots, body_of_page=plan.body_of_page[: len(plan.stations) * len(slots)])
        self.injections: list[Injection] = []
        self.seconds: list[float] = []
        with tempfile.TemporaryDirectory() as folder:
            journal = JournalWriter(Path(folder), 0)
            metrics = WorkerMetrics([], {"run": "", "scenario": "", "worker": "0"}, simulated=True)
            self.simulation = Simulation(played, self.plan, journal, metrics, self.injections.append)

            if direct_from_s is not None:
                self.simulation.phones.direct_from_s = direct_from_s

            def on_second(t_s: float) -> str:
                self.seconds.append(t_s)
                return "enough" if t_s >= abort_at_s else ""

            self.end = self.simulation.play(on_second)
            journal.close()
            records = read_journal(Path(folder) / "worker-0000.journal")
        self.rows = records[records["kind"] == RecordKind.END]
        """Records of attempts, dtype journal.RECORD."""
        self.reads = np.sort(records[records["kind"] == RecordKind.READ], order="due_s")
        """Records of the readers' reads, by due time."""
        self.given_up = records[records["kind"] == RecordKind.GAVE_UP]

    @property
    def counters(self) -> Any:
        """What the server has counted."""
        return self.simulation.server.counters

    @property
    def outcomes(self) -> dict[str, int]:
        """How many attempts ended in which way."""
        return self.outcomes_of(self.rows)

    def outcomes_of(self, records: np.ndarray) -> dict[str, int]:
        """How many of these records ended in which way."""
        return dict(Counter(OUTCOMES[number].value for number in records["outcome"].tolist()))

    def outcome(self, row: int) -> str:
        """How one attempt ended, by its place in the journal."""
        return OUTCOMES[int(self.rows["outcome"][row])].value

    @property
    def service_s(self) -> np.ndarray:
        """From sent to done, of each attempt."""
        return np.asarray(self.rows["done_s"] - self.rows["sent_s"])

    @property
    def stored(self) -> list[dict[str, Any]]:
        """Every copy that the server holds."""
        store, plan = self.simulation.server.store, self.plan
        as_planned = [
            {**store.row(page)._asdict(), "size_bytes": plan.page(page).size_bytes, "stored_at": at_s}
            for page, at_s in enumerate(store.stored_s.tolist())
            if at_s == at_s  # noqa: PLR0124 - not NaN
        ]
        return sorted([*as_planned, *store.other_rows()], key=lambda row: (row["station"], row["form"], row["page"]))


def play(
    abort_at_s: float = float("inf"), *, direct_from_s: float | None = None, **tables: Any
) -> PlayedSimulation:  # fmt: skip
    """`scenario`, played."""
    return PlayedSimulation(scenario(**tables), abort_at_s, direct_from_s=direct_from_s)


def one_station(**tables: Any) -> dict[str, Any]:
    """Tables for a single station that arrives at T0."""
    return {"stations": {"region": "kaliwates", "count": 1}, "arrivals": {"kind": "constant", "over": "1s"}, **tables}


def requests(played: PlayedSimulation) -> dict[tuple[str, Any], int]:
    """Requests at the server by method and status."""
    return {(method, status): sum(histogram._counts) for (method, route, status), histogram in played.counters._requests.items()
            if route != "/v1/login"}  # fmt: skip
