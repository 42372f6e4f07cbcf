"""What run.json says of a run while it goes and when it has ended, and what its workers told."""

from __future__ import annotations

from typing import Any

from harness.order import Order, describe, phase_records, troubles
from harness.runfolder import Ended, StockRecord, WorkerRecord


class Logbook:
    """One run's. Every change that a reader of a broken-off run needs is written at once."""

    def __init__(self, order: Order) -> None:
        """Nothing is written before `open`."""
        self._order = order
        self.workers = [WorkerRecord(rank=rank) for rank in range(order.workers)]
        self.problems: list[str] = []
        """What went wrong with the measurement itself, in words."""
        self.stock: StockRecord | None = None
        self.starved = ""
        """Why a worker could not write its rows any more; "" while all could."""

    def open(self, target: str) -> None:
        """Write how the run is meant: how it ended is not known yet."""
        self.record = describe(self._order, target, self.workers)
        self._write()

    def begin(self, t0_epoch: float) -> None:
        """Write when it began."""
        self.record = self.record.model_copy(update={"t0_epoch": t0_epoch, "workers": self.workers})
        self._write()

    def end(self, ended: Ended, clock_step_s: float) -> None:
        """Write how it ended."""
        self.record = self.record.model_copy(
            update={
                "ended": ended,
                "workers": self.workers,
                "phases": phase_records(self._order, max(ended.at_s, 0.001)),
                "clock_step_s": clock_step_s,
                "stock": self.stock,
                "problems": self.problems,
            }
        )
        self._write()

    def meet(self, hosts: list[dict[str, Any]]) -> None:
        """Note on which machines the workers run, where it isn't this one."""
        for facts in hosts:
            known = self.workers[facts["rank"]].model_dump()
            self.workers[facts["rank"]] = WorkerRecord.model_validate({**known, **facts})

    def note_problem(self, *problems: str) -> None:
        """Note what went wrong; empty words are none."""
        self.problems += filter(None, problems)

    def lose(self, rank: int, text: str) -> None:
        """Note that a worker was lost, and which stations it held."""
        self.workers[rank] = self.workers[rank].model_copy(update={"lost": True})
        shard = self._order.plan.shard(rank, self._order.workers)
        codes = [self._order.plan.stations[number].code for number in shard[:5]]
        self.problems.append(f"{text}; it held {len(shard):,} stations: {', '.join(codes)}, …")

    def lose_all(self) -> None:
        """Note that nothing is known of any worker: their journals may not be whole."""
        self.workers = [worker.model_copy(update={"lost": True}) for worker in self.workers]

    @property
    def lost(self) -> int:
        """How many workers were lost."""
        return sum(worker.lost for worker in self.workers)

    def account(self, accounts: list[dict[str, Any]]) -> list[str]:
        """Note what the workers tell of their work; why any of them was halted, in words."""
        for account in accounts:
            rank = account["rank"]
            known = self.workers[rank].model_dump()
            self.workers[rank] = WorkerRecord.model_validate({**known, **account, "lost": known["lost"]})
            self.problems += troubles(self.workers[rank])
            if self.workers[rank].unwritten:
                self.starved = troubles(self.workers[rank])[-1]
        return [account["halted"] for account in accounts if account.get("halted")]

    def _write(self) -> None:
        self._order.folder.write_run(self.record)
