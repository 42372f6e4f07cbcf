"""Names of the files in a run folder, and the content of run.json. No other module knows either."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.base.errors import ExitCode, RunFolderError
from harness.base.safe_files import load_json, write_json

PLAN_FILE = "plan.parquet"
RUN_FORMAT = 1
"""Version of the folder's format; a reader refuses a higher one."""


EndReason = Literal[
    "completed",
    "deadline",
    "interrupted",
    "terminated",
    "hung_up",
    "aborted",
    "crashed",
    "killed",
    "withdrawn",
    "starved",
    "own_client",
]
"""How a run can end; see `RunEnd` for what each means."""
STOPPED_BY_SIGNAL: dict[EndReason, ExitCode] = {
    "interrupted": ExitCode.INTERRUPTED, "terminated": ExitCode.TERMINATED, "hung_up": ExitCode.HUNG_UP,
}  # fmt: skip
"""The ends that a signal to the harness causes, each with its exit code."""


class _FrozenRecord(BaseModel):
    # a folder written by a newer harness may have more keys: ignored, as long as its format number is known
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class PhaseRecord(_FrozenRecord):
    """A phase of the run as it happened; see `harness.base.model.Phase`."""

    name: str
    start_s: float
    end_s: float


class FaultRecord(_FrozenRecord):
    """A planned fault window. `end_s` is None if the fault lasts to the end of the run."""

    name: str
    kind: str
    start_s: float
    end_s: float | None


class WorkerRecord(_FrozenRecord):
    """What a worker process reported when it finished; `lost` if it never did."""

    rank: int
    lost: bool = False
    attempts: int = 0
    stations_begun: int = 0
    stations_planned: int = 0
    evenings_broken: int = 0
    """Stations abandoned because of an internal error."""
    unwritten: str = ""
    """Why its journal could not be written to the end; "" if it was."""
    host: str = ""
    """Name of the machine that it ran on; "" for the leader's own."""
    clock_offset_s: float = 0.0
    """Its monotonic clock minus the leader's. Subtracted from all its times, so that they count from the same T0."""
    wall_offset_s: float = 0.0
    """Its wall clock minus the leader's when it joined."""
    clock_uncertainty_s: float = 0.0
    """Greatest error of its times relative to T0: half the delay of the fastest round trip, as in NTP (RFC 5905)."""
    clock_drift_s: float = 0.0
    """Drift between the two clocks during the run, as far as it exceeds the uncertainty of the measurements."""
    held_back: int = 0
    """Attempts and requests delayed to stay within the rate that the target consents to."""
    shortages: dict[str, int] = {}
    """Attempts that it could not make (generator_error), by the resource it lacked."""
    own_client_bug: str = ""
    """The first error of the scenario's own client in it, with its traceback; "" if there was none."""
    reads_broken: int = 0
    """Reads abandoned because of an internal error."""
    reads_until_s: float | None = None
    """When its readers ceased to begin reads; None if it had none, or never reported."""
    stale_connections: int = 0
    """Kept connections that the server had closed while they were idle, and that were opened again before anything was sent."""
    unusable: dict[str, int] = {}
    """What was wrong with answers whose status promised success -> attempts that it ended; the first kinds only."""


class StoreReadRecord(_FrozenRecord):
    """How reading the server's store after the run went. The store is read through another interface than the uploads."""

    after_kill: bool = False
    after_power_cut: bool = False
    """The server was first killed (SIGKILL) and restarted on the same data."""
    reason: str = ""
    """Why the store could not be read; "" if stored.parquet has all of it."""
    unseen: list[str] = []
    """Audit categories that this way of reading the store cannot detect: they are unknown, not zero."""
    accepted: bool = False
    """The scenario accepts that the store cannot be read: safety stays unknown, and the run is judged without it."""
    by_size: int = 0
    """Copies that were matched with the plan by name and size only, because the store gives no digest."""
    same_bytes: int = 0
    """Pages that share their bytes with another: photos of the user's own that have no room for a tail."""
    earlier: int = 0
    """Copies that were stored before the run began; those still there at its end are left out of stored.parquet."""


class AlsoTarget(_FrozenRecord):
    """Another server than the target that the steps of an upload may send to (--also-target)."""

    url: str
    address: str
    """Its IP address."""


class RunEnd(_FrozenRecord):
    """How the run ended."""

    how: EndReason
    """completed: nothing was left to attempt. deadline: time was up. aborted: a threshold could no longer be met.

    interrupted, terminated, hung_up: SIGINT, SIGTERM, SIGHUP (the terminal was closed). crashed: a process of the run died of an error. killed: one was killed from
    outside. withdrawn: the target's consent ended. starved: this machine ran out of disk, descriptors or memory.
    own_client: the scenario's own client (the user's Python code) raised an error.
    """
    at_s: float
    message: str = ""


class RunRecord(_FrozenRecord):
    """The content of run.json. Written at the start and again at the end; until then `ended` is None.

    It stays None if the leader itself was killed. Fields with a default were added later: folders of earlier versions lack them.
    """

    format: int = RUN_FORMAT
    id: str
    name: str
    title: str
    scenario: dict[str, Any]
    """The resolved scenario: every key, quantities with their units."""
    seed: int
    target: str
    address: str = ""
    """The IP address that the target's name resolved to; no other is loaded, but for those of `also_targets`."""
    also_targets: list[AlsoTarget] = []
    """The other servers that steps may send to."""
    own_server: bool
    """True if the run started the mock itself."""
    simulated: bool = False
    """True if the run was played in virtual time: nothing was sent and nothing was measured."""
    deadline_s: float
    time_scale: float
    warm_up_s: float = 0.0
    client_timeout_s: float
    plan_sha256: str = ""
    """Digest of the plan, which remote workers compare with that of their own; "" if all workers are local."""
    own_client_sha256: str = ""
    """Digest of the scenario's own client, which every worker compares with that of its copy; "" without one."""
    limits_s: list[float] = []
    """Limits of the thresholds in seconds: the live histograms have bucket bounds at these values."""
    workers: list[WorkerRecord]
    versions: dict[str, str]
    host: dict[str, Any]
    command: list[str]
    labels: dict[str, str] = {}
    """What the user gave with --label, such as the version of the server: for lists and histories."""
    t0_epoch: Annotated[float, Field(ge=0, lt=1e11)] | None = None
    """Unix time of T0. Only a label: all figures are measured on the monotonic clock."""
    phases: list[PhaseRecord] = []
    faults: list[FaultRecord] = []
    ended: RunEnd | None = None
    stock: StoreReadRecord | None = None
    """None if the run ended before the store was read."""
    clock_step_s: float = 0.0
    """Drift between wall clock and monotonic clock during the run."""
    problems: list[str] = []
    """What went wrong with the measurement itself, one sentence each."""


class RunFolder:
    """Paths of the files in a run folder; reads and writes run.json."""

    def __init__(self, path: Path) -> None:
        """`path` need not exist yet."""
        self.path = path
        self.run_json = path / "run.json"
        self.plan = path / PLAN_FILE
        self.region = path / "region.csv"
        self.stations = path / "stations.csv"
        self.own_client = path / "own_client.py"
        self.journal = path / "journal"
        self.attempts = path / "attempts.parquet"
        self.reads = path / "reads.parquet"
        self.steps = path / "steps.parquet"
        self.server = path / "server"
        self.injections = self.server / "injections.jsonl"
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
        """Create the folder and its subfolders. Raises FileExistsError if it is not empty."""
        self.path.mkdir(parents=True, exist_ok=True)
        if any(self.path.iterdir()):
            raise FileExistsError(self.path)
        for subfolder in (self.journal, self.server, self.scrapes, self.report, self.logs):
            subfolder.mkdir()

    def with_own_list(self, stations: Mapping[str, Any]) -> dict[str, Any]:
        """The table [stations] of this run, with its own copy of the region or list: the user's file may have changed since."""
        copies = {"region": self.region, "file": self.stations}
        return {**stations, **{key: str(copy) for key, copy in copies.items() if copy.exists()}}

    def write_run(self, record: RunRecord) -> None:
        """Write run.json, atomically; of a run that is measured so that it survives a power cut."""
        write_json(self.run_json, record.model_dump(mode="json"), durable=not record.simulated)

    def read_run(self) -> RunRecord:
        """Content of run.json.

        Raises RunFolderError if the folder is not a run folder, or was written by a newer version of the harness.
        """
        record = load_json(self.run_json, RunRecord)
        if record is None:
            message = f"{self.path} is not a run folder: it has no run.json"
            raise RunFolderError(message)
        if record.format > RUN_FORMAT:
            message = f"{self.path} has format {record.format}; this version reads formats up to {RUN_FORMAT}: update the harness"
            raise RunFolderError(message)
        return record
