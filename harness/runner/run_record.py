"""What run.json says of a run while it goes and when it has ended, and what its workers told."""

from __future__ import annotations

from harness.run_folder.layout import RunEnd, StoreReadRecord
from harness.runner.run_spec import RunSpec, initial_record, phase_records
from harness.runner.worker_registry import WorkerRegistry


class RunRecorder:
    """One run's. Every change that a reader of a broken-off run needs is written at once."""

    def __init__(self, order: RunSpec) -> None:
        """Nothing is written before `open`."""
        self._order = order
        self.roster = WorkerRegistry(order)
        self.problems: list[str] = []
        """What went wrong with the measurement itself, in words, beside what the workers told."""
        self.stock: StoreReadRecord | None = None

    def open(self, target: str) -> None:
        """Write how the run is meant: how it ended is not known yet."""
        self.record = initial_record(self._order, target, self.roster.records)
        self._write()

    def begin(self, t0_epoch: float) -> None:
        """Write when it began."""
        self.record = self.record.model_copy(update={"t0_epoch": t0_epoch, "workers": self.roster.records})
        self._write()

    def end(self, ended: RunEnd, clock_step_s: float) -> None:
        """Write how it ended."""
        self.record = self.record.model_copy(
            update={
                "ended": ended,
                "workers": self.roster.records,
                "phases": phase_records(self._order, max(ended.at_s, 0.001)),
                "clock_step_s": clock_step_s,
                "stock": self.stock,
                "problems": [*self.roster.problems, *self.problems],
            }
        )
        self._write()

    def note_problem(self, *problems: str) -> None:
        """Note what went wrong; empty words are none."""
        self.problems += filter(None, problems)

    def _write(self) -> None:
        self._order.folder.write_run(self.record)
