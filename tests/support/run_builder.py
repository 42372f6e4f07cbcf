"""Builds run folders for tests: hand-written attempts in, a real folder out (run.json, plan, journal, scrapes, stored).

    run = RunBuilder(tmp_path / "run", stations=2, pages_each=1, due_s=[0.0, 1.0])
    run.attempt(0, outcome=Outcome.ACCEPTED, due_s=0.0, sent_s=0.001, done_s=0.5)
    folder = run.finish("completed", at_s=2.0)

A whole evening in Kaliwates is in `tests/support/synthetic_run.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.base.model import Outcome, Page
from harness.run_folder import scrape_log
from harness.run_folder.journal import AttemptRecord, GiveUpReason, JournalWriter
from harness.run_folder.layout import EndReason, FaultRecord, PhaseRecord, RunEnd, RunFolder, RunRecord, WorkerRecord
from harness.run_folder.tables import write_plan, write_stored

Labels = tuple[tuple[str, str], ...]

STATUS = {
    Outcome.ACCEPTED: 201, Outcome.REPLAYED: 200, Outcome.PENDING: 202, Outcome.REJECTED: 409, Outcome.UNREADABLE: 422,
    Outcome.THROTTLED: 429, Outcome.UNAVAILABLE: 503, Outcome.SERVER_ERROR: 500,
}  # fmt: skip


def make_pages(due_s: Sequence[float], pages_each: int, codes: Sequence[str] | None = None) -> list[Page]:
    """Pages of stations that turn up at `due_s`, station by station; by default all in Mangli (3509191001)."""
    codes = codes or [f"3509191001{number + 1:03d}" for number in range(len(due_s))]
    pages: list[Page] = []
    for code, due in zip(codes, due_s, strict=True):
        for number in range(1, pages_each + 1):
            digest = hashlib.sha256(f"{code}/ppwp/{number}".encode()).hexdigest()
            reading = '{"100025":1,"100026":2,"100027":3}' if number == 2 else ""
            pages.append(Page(len(pages), code, "ppwp", number, due, 1_600_000, digest, reading))
    return pages


def exposition(samples: Mapping[tuple[str, Labels], float]) -> str:
    """Prometheus text of the samples, keyed by name and labels."""
    lines = []
    for (name, labels), value in samples.items():
        inner = ",".join(f'{label}="{text}"' for label, text in labels)
        lines.append(f"{name}{{{inner}}} {value}" if inner else f"{name} {value}")
    return "\n".join([*lines, ""])


class RunBuilder:
    """A run folder that grows by one call per event. Defaults are those of a plain run of one worker without faults."""

    def __init__(
        self, path: Path, *, stations: int = 1, pages_each: int = 1, due_s: Sequence[float] | None = None,
        pages: Sequence[Page] | None = None, workers: int = 1, **record: Any,
    ) -> None:  # fmt: skip
        """`record` overrides fields of run.json; `pages` overrides stations, pages_each and due_s."""
        self.folder = RunFolder(path)
        self.folder.create()
        self.pages = list(pages or make_pages(due_s or [0.0] * stations, pages_each))
        write_plan(self.folder.plan, self.pages)
        self._writers = [JournalWriter(self.folder.journal, rank) for rank in range(workers)]
        self.record = RunRecord(**{**_record(workers), **record})
        self.folder.write_run(self.record)

    def attempt(
        self, page: int, *, attempt: int = 1, outcome: Outcome = Outcome.ACCEPTED, due_s: float = 0.0,
        sent_s: float | None = None, done_s: float | None = None, worker: int = 0, **rest: Any,
    ) -> None:  # fmt: skip
        """Add a whole attempt, begin and end. Without `sent_s` it is sent when due, without `done_s` it takes 0.1 s."""
        sent_s = due_s if sent_s is None else sent_s
        done_s = sent_s + 0.1 if done_s is None else done_s
        times = {"connected_s": sent_s, "body_sent_s": done_s, "first_byte_s": done_s} if outcome in STATUS else {}
        fields = {"status": STATUS.get(outcome, 0), "sent_bytes": self.pages[page].size_bytes, **times, **rest}
        self._writers[worker].begin(page, attempt, due_s, sent_s)
        record = AttemptRecord(outcome, page=page, attempt=attempt, due_s=due_s, sent_s=sent_s, done_s=done_s, **fields)
        self._writers[worker].end(record)

    def begin(self, page: int, *, attempt: int = 1, due_s: float = 0.0, sent_s: float = 0.0, worker: int = 0) -> None:
        """Add an attempt that never ended."""
        self._writers[worker].begin(page, attempt, due_s, sent_s)

    def withhold(self, page: int, *, attempt: int = 1, due_s: float = 0.0, worker: int = 0) -> None:
        """Add an attempt that the strategy held back."""
        self._writers[worker].end(AttemptRecord(Outcome.WITHHELD, page=page, attempt=attempt, due_s=due_s))

    def read(
        self,
        resource: int = 0,
        *,
        outcome: Outcome = Outcome.ACCEPTED,
        due_s: float = 0.0,
        took_s: float = 0.1,
        worker: int = 0,
    ) -> None:
        """Add a read of a reader; the scenario in `record` has to have readers."""
        status = 200 if outcome is Outcome.ACCEPTED else STATUS.get(outcome, 0)
        record = AttemptRecord(outcome, status, page=resource, due_s=due_s, sent_s=due_s, done_s=due_s + took_s)
        self._writers[worker].read(record)

    def step(self, record: AttemptRecord, *, worker: int = 0) -> None:
        """Add one request of an attempt that takes several."""
        self._writers[worker].step(record)

    def gave_up(self, page: int, *, attempts: int, at_s: float, reason: GiveUpReason, worker: int = 0) -> None:
        """Add that a page was given up."""
        self._writers[worker].gave_up(page, attempts, at_s, reason)

    def scrape(
        self, target: str, t_s: float, samples: Mapping[tuple[str, Labels], float] | None = None, *, error: str = ""
    ) -> None:
        """Add a scrape; without samples one that failed."""
        text = "" if samples is None else exposition(samples)
        scrape_log.append_scrape(
            self.folder.scrapes, scrape_log.Scrape(target, t_s, text, error or ("" if samples else "refused"))
        )

    def scrape_idle_generator(self, until_s: int, cpu: float = 0.2) -> None:
        """Scrapes of worker-0, one a second, that stands at a share `cpu` of its core."""
        for second in range(until_s + 1):
            self.scrape("worker-0", float(second), {("process_cpu_seconds_total", ()): 1.0 + cpu * second})

    def store(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write what the server has stored at the end."""
        write_stored(self.folder.stored, rows)

    def stored_row(self, page: int, /, **changes: Any) -> dict[str, Any]:
        """The stored row of a page that arrived as planned."""
        it = self.pages[page]
        return {
            "station": it.station, "form": it.form, "page": it.page, "sha256": it.sha256, "size_bytes": it.size_bytes,
            "reading": it.reading, "stored_at": 1.0, **changes,
        }  # fmt: skip

    def store_all(self, but: Sequence[int] = ()) -> None:
        """Store every page as planned, except some."""
        self.store([self.stored_row(page.index) for page in self.pages if page.index not in but])

    def flush(self) -> None:
        """Write the journals as far as they are known."""
        for writer in self._writers:
            writer.flush()

    def break_off(self, **record: Any) -> RunFolder:
        """Leave the folder as a killed run does: the journal is flushed, run.json has no end."""
        for writer in self._writers:
            writer.close()
        self.folder.write_run(self.record.model_copy(update=record))
        return self.folder

    def finish(self, how: EndReason = "completed", *, at_s: float, message: str = "", **record: Any) -> RunFolder:
        """Close the journal and write how the run ended."""
        return self.break_off(ended=RunEnd(how=how, at_s=at_s, message=message), **record)


def _record(workers: int) -> dict[str, Any]:
    return {
        "id": "20240214T110000Z-made-0000", "name": "made", "title": "A made run",
        "scenario": {"name": "made", "stations": {"region": "kaliwates"}, "thresholds": []}, "seed": 1,
        "target": "http://127.0.0.1:8080", "own_server": True, "deadline_s": 72.0, "time_scale": 1.0,
        "client_timeout_s": 10.0, "workers": [WorkerRecord(rank=rank) for rank in range(workers)],
        "versions": {"harness": "0.1.0"}, "host": {"cpus": 2}, "command": ["harness", "run", "made"],
        "t0_epoch": 1_707_901_200.0,
    }  # fmt: skip


def brownout(start_s: float, end_s: float, run_end_s: float) -> dict[str, Any]:
    """Fields of run.json for a run with one capacity fault."""
    return {
        "faults": [FaultRecord(name="brownout", kind="capacity", start_s=start_s, end_s=end_s)],
        "phases": [
            PhaseRecord(name="clear", start_s=0.0, end_s=start_s),
            PhaseRecord(name="brownout", start_s=start_s, end_s=end_s),
            PhaseRecord(name="clear", start_s=end_s, end_s=run_end_s),
        ],
    }
