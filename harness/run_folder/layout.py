"""The only module that knows the names of the files in a run folder, and what run.json holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.base.errors import RunFolderError
from harness.base.safe_files import explain_unreadable, read_bounded

PLAN_FILE = "plan.parquet"
RUN_FORMAT = 1
"""Number of the folder's format; a reader refuses a higher one."""


EndReason = Literal[
    "completed", "deadline", "interrupted", "terminated", "aborted", "crashed", "killed", "withdrawn", "starved"
]
"""How a run can end: see `RunEnd`."""


class _FrozenRecord(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PhaseRecord(_FrozenRecord):
    """A phase of the run as it was: see harness.base.model.Phase."""

    name: str
    start_s: float
    end_s: float


class FaultRecord(_FrozenRecord):
    """A planned fault window. `end_s` is None for one that outlasts the run."""

    name: str
    kind: str
    start_s: float
    end_s: float | None


class WorkerRecord(_FrozenRecord):
    """What a worker of the generator said when it finished; `lost` if it never did."""

    rank: int
    lost: bool = False
    attempts: int = 0
    stations_begun: int = 0
    stations_planned: int = 0
    evenings_broken: int = 0
    """Stations whose evening an error of ours ended."""
    unwritten: str = ""
    """Why its journal could not be written any more; empty if it could."""
    host: str = ""
    """Name of the machine that it ran on; "" for the master's own."""
    clock_offset_s: float = 0.0
    """Its monotonic clock less the master's: taken off all its times, which so count from the same T0."""
    wall_offset_s: float = 0.0
    """Its wall clock less the master's when it joined."""
    clock_uncertainty_s: float = 0.0
    """By how much its times may be off T0 at worst: half the delay of the quickest of the round trips."""
    clock_drift_s: float = 0.0
    """By how much the two clocks surely went apart during the run."""
    held_back: int = 0
    """Attempts and requests that had to wait for the rate that the target consents to."""
    shortages: dict[str, int] = {}
    """Attempts that it could not make (generator_error), by what it had too little of."""


class StoreReadRecord(_FrozenRecord):
    """How taking stock of what the server holds went: after the run, by another door than the uploads took."""

    after_kill: bool = False
    """The server was killed as by kill -9 and started again on the same data first."""
    reason: str = ""
    """Why it could not be read, in words; empty where stored.parquet has it all."""
    unseen: list[str] = []
    """Categories of the audit that this way of reading the store can't see: they are unknown, never nought."""
    accepted: bool = False
    """The scenario accepts that there is no way to read it: safety stays unknown, the run is judged all the same."""


class RunEnd(_FrozenRecord):
    """How the run ended."""

    how: EndReason
    """completed: nothing was left to try. deadline: time was up. aborted: a threshold could not hold any more.

    crashed: a process of ours died of an error. killed: another killed one. withdrawn: the target's consent ended.
    starved: this machine ran out of disk, descriptors or memory.
    """
    at_s: float
    message: str = ""


class RunRecord(_FrozenRecord):
    """The content of run.json. Written at the start and again at the end (`ended` is None if broken off)."""

    format: int = RUN_FORMAT
    id: str
    name: str
    title: str
    scenario: dict[str, Any]
    """The scenario as resolved: every key, quantities with their units."""
    seed: int
    target: str
    address: str = ""
    """The one address that the target's name led to: nothing else is loaded."""
    own_server: bool
    """True when the run started the mock itself."""
    deadline_s: float
    time_scale: float
    warm_up_s: float = 0.0
    client_timeout_s: float
    plan_sha256: str = ""
    """What the plan comes to wherever it is made (workers of other machines make it again); "" where nobody compares."""
    limits_s: list[float] = []
    """Limits of the thresholds in seconds: the live histograms have bucket bounds there."""
    workers: list[WorkerRecord]
    versions: dict[str, str]
    host: dict[str, Any]
    command: list[str]
    t0_epoch: Annotated[float, Field(ge=0, lt=1e11)] | None = None
    """Unix time of T0: a label only, all figures count on the monotonic clock."""
    phases: list[PhaseRecord] = []
    faults: list[FaultRecord] = []
    ended: RunEnd | None = None
    stock: StoreReadRecord | None = None
    """None where the run was broken off before."""
    clock_step_s: float = 0.0
    """How far wall clock and monotonic clock drifted apart during the run."""
    problems: list[str] = []
    """What went wrong with the measurement itself, in words."""


class RunFolder:
    """Paths of a run folder; reading and writing of its JSON files (atomically: write beside, then rename)."""

    def __init__(self, path: Path) -> None:
        """`path` need not exist yet."""
        self.path = path
        self.run_json = path / "run.json"
        self.plan = path / PLAN_FILE
        self.region = path / "region.csv"
        self.journal = path / "journal"
        self.attempts = path / "attempts.parquet"
        self.server = path / "server"
        self.certificate = self.server / "certificate.pem"
        self.scrapes = path / "scrapes"
        self.processes = path / "processes.csv"
        self.prometheus = path / "prometheus"
        self.stored = path / "stored.parquet"
        self.summary = path / "summary.json"
        self.audit = path / "audit.json"
        self.verdict = path / "verdict.json"
        self.junit = path / "junit.xml"
        self.markdown = path / "summary.md"
        self.metrics = path / "metrics.txt"
        self.comparison = path / "comparison.json"
        self.comparison_junit = path / "comparison-junit.xml"
        self.comparison_markdown = path / "comparison.md"
        self.comparison_page = path / "report" / "comparison.html"
        self.report = path / "report"
        self.page = path / "report" / "index.html"
        self.logs = path / "logs"
        self.reserve = path / "reserve"

    def create(self) -> None:
        """Make the folder and its rooms; FileExistsError if it holds anything already."""
        self.path.mkdir(parents=True, exist_ok=True)
        if any(self.path.iterdir()):
            raise FileExistsError(self.path)
        for room in (self.journal, self.server, self.scrapes, self.report, self.logs):
            room.mkdir()

    def write_run(self, record: RunRecord) -> None:
        """Write run.json."""
        write_json(self.run_json, record.model_dump(mode="json"))

    def read_run(self) -> RunRecord:
        """Content of run.json.

        Raises BrokenRunError where the folder is no run of ours or is newer than this program.
        """
        try:
            record = RunRecord.model_validate_json(read_bounded(self.run_json))
        except FileNotFoundError:
            message = f"{self.path} is not a run folder: it has no run.json"
            raise RunFolderError(message) from None
        except (OSError, ValidationError) as error:
            message = f"{self.run_json} can't be read: {explain_unreadable(error)}"
            raise RunFolderError(message) from None
        if record.format > RUN_FORMAT:
            message = f"{self.path} has format {record.format}; this program reads up to {RUN_FORMAT}: update it"
            raise RunFolderError(message)
        return record


def write_json(path: Path, content: object) -> None:
    """Replace a JSON file in one step, so that a reader never sees half of it."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(beside, path)
