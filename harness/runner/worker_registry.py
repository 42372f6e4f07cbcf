"""The workers of a run: which stations each holds, what it said of its work, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.run_folder.layout import WorkerRecord
from harness.runner.run_spec import RunSpec, worker_problems

_MAX_STATIONS_NAMED = 5
"""How many stations are named; the others are counted."""


class WorkerRegistry:
    """All workers of one run. What tells against the measurement is gathered in `problems`."""

    def __init__(self, order: RunSpec) -> None:
        """Nobody has said anything yet."""
        self._order = order
        self._pids: dict[int, int] = {}
        self.records = [WorkerRecord(rank=rank) for rank in range(order.workers)]
        self.problems: list[str] = []
        self.unwritten = ""
        """Why a journal could not be written any more; empty where all could."""

    @property
    def lost(self) -> int:
        """How many are lost."""
        return sum(worker.lost for worker in self.records)

    def seat(self, workers: Iterable[Mapping[str, Any]]) -> None:
        """Note which process each worker is, by what it told when it was ready."""
        self._pids = {worker["pid"]: worker["rank"] for worker in workers if worker["pid"]}

    def meet(self, hosts: Iterable[Mapping[str, Any]]) -> None:
        """Note on which machines the workers run, where it isn't this one."""
        for facts in hosts:
            known = self.records[facts["rank"]].model_dump()
            self.records[facts["rank"]] = WorkerRecord.model_validate({**known, **facts})

    def rank_of(self, pid: int) -> int | None:
        """The worker that this process is; None for any other process."""
        return self._pids.get(pid)

    def pid_of(self, rank: int) -> int | None:
        """The process that a worker is; None for one on another machine."""
        return next((pid for pid, found in self._pids.items() if found == rank), None)

    def lose(self, rank: int, text: str) -> str:
        """A worker is gone, as `text` tells; that with the stations it held."""
        self._change(rank, lost=True)
        told = f"{text}; {self._held(rank)}"
        self.problems.append(told)
        return told

    def lose_all(self) -> None:
        """Nobody has said anything of its work: no journal may be whole."""
        for rank in range(len(self.records)):
            self._change(rank, lost=True)

    def fail(self, rank: int, reason: str) -> str:
        """A worker can't write its journal any more and has stopped; in words, with the stations it held."""
        self._change(rank, unwritten=reason)
        self.unwritten = self.unwritten or f"{worker_problems(self.records[rank])[-1]}; {self._held(rank)}"
        return self.unwritten

    def note(self, accounts: Iterable[Mapping[str, Any]]) -> str:
        """What the workers said when they had finished; why the target must not be loaded any more, if one knows that."""
        halted = ""
        for account in accounts:
            rank = account["rank"]
            known = self.records[rank].model_dump()
            self.records[rank] = WorkerRecord.model_validate({**known, **account, "lost": known["lost"]})
            if account["unwritten"]:
                self.fail(rank, account["unwritten"])
            self.problems += [
                text for text in worker_problems(self.records[rank]) if not self.unwritten.startswith(text)
            ]
            halted = halted or account.get("halted", "")
        return halted

    def _held(self, rank: int) -> str:
        shard = self._order.plan.shard(rank, self._order.workers)
        codes = [self._order.plan.stations[number].code for number in shard[:_MAX_STATIONS_NAMED]]
        more = ", …" if len(shard) > len(codes) else ""
        return f"it held {len(shard):,} station{'' if len(shard) == 1 else 's'}: {', '.join(codes)}{more}"

    def _change(self, rank: int, **fields: Any) -> None:
        self.records[rank] = self.records[rank].model_copy(update=fields)
