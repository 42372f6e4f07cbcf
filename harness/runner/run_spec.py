"""What is to be run, and what run.json says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.base import host_info
from harness.base.address import is_loopback
from harness.judge.thresholds.abortable import AbortThreshold
from harness.plan import Plan
from harness.plan.digest import digest_plan
from harness.plan.phases import compute_phases
from harness.run_folder.layout import FaultRecord, PhaseRecord, RunFolder, RunRecord, WorkerRecord
from harness.scenario.scenario import Scenario
from harness.target.external import ExternalTarget

MAX_CLOCK_DRIFT_S = 0.05
"""Beyond that rows of one machine could not be held beside those of another any more."""
_INFINITE = float("inf")


@dataclass(frozen=True)
class JoinPolicy:
    """Where workers of other machines can join, and until when."""

    host: str
    port: int
    """0 lets the kernel choose."""
    token: str = field(repr=False)
    """Who knows it may join."""
    timeout_s: float

    @property
    def reachable(self) -> bool:
        """Whether another machine could come: not on loopback."""
        return not is_loopback(self.host)


@dataclass(frozen=True)
class RunSpec:
    """What is to be run."""

    scenario: Scenario
    plan: Plan
    folder: RunFolder
    run_id: str
    command: list[str]
    limits_s: list[float]
    watched: Sequence[AbortThreshold] = ()
    """Thresholds that end the run early once they can't be passed any more."""
    workers: int = 1
    invitation: JoinPolicy | None = None
    """All workers are those of other machines that join; None: all run here."""
    foreign: ExternalTarget | None = None
    """An upload server of the user's; None starts the mock."""
    metrics_port: int = 0
    prometheus: str | None = None
    """URL of a Prometheus that the rates are read from; None keeps to our own scrapes."""
    prometheus_sd: Path | None = None
    """Folder that the run's targets are written to while it lasts."""

    @property
    def counted(self) -> str:
        """Its workers, as in "2 workers"."""
        return f"{self.workers} worker{'s' if self.workers > 1 else ''}"


def initial_record(order: RunSpec, target: str, workers: Sequence[WorkerRecord]) -> RunRecord:
    """The content of run.json before the run: how it ended is not known yet."""
    scenario = order.scenario
    return RunRecord(
        id=order.run_id,
        name=scenario.name,
        title=scenario.title,
        scenario=scenario.resolved(),
        seed=scenario.seed,
        target=target,
        address=order.foreign.address if order.foreign else "",
        own_server=order.foreign is None,
        plan_sha256="" if order.invitation is None else digest_plan(order.plan),
        deadline_s=scenario.deadline,
        time_scale=scenario.time_scale,
        warm_up_s=scenario.warm_up,
        client_timeout_s=scenario.client.timeout,
        limits_s=order.limits_s,
        workers=list(workers),
        versions=host_info.package_versions(),
        host=host_info.describe_host(),
        command=order.command,
        phases=phase_records(order, scenario.deadline),
        faults=[
            FaultRecord(name=name, kind=kind, start_s=start, end_s=None if end == _INFINITE else end)
            for name, kind, start, end in _fault_windows(order)
        ],
    )


def phase_records(order: RunSpec, end_s: float) -> list[PhaseRecord]:
    """The phases of a run that ends then."""
    windows = [(name, start, end) for name, _, start, end in _fault_windows(order)]
    found = compute_phases(windows, order.scenario.warm_up, end_s)
    return [PhaseRecord(name=phase.name, start_s=phase.start_s, end_s=phase.end_s) for phase in found]


def worker_problems(worker: WorkerRecord) -> list[str]:
    """What a worker's account tells against the measurement, in words."""
    found = []
    if worker.held_back:
        found.append(
            f"worker {worker.rank} had to hold back {worker.held_back:,} times, to keep within the rate that the target "
            "consents to: what was offered is not what was planned"
        )
    if worker.evenings_broken:
        found.append(
            f"an error of ours broke off {worker.evenings_broken:,} stations' evenings: see logs/ of worker {worker.rank}"
        )
    if abs(worker.clock_drift_s) > MAX_CLOCK_DRIFT_S:
        found.append(
            f"the clocks of worker {worker.rank} on {worker.host} and of this machine went apart by "
            f"{1000 * worker.clock_drift_s:+,.0f} ms during the run: its times are not those of the others"
        )
    if worker.unwritten:
        found.append(f"worker {worker.rank} could not write its journal, and stopped: {worker.unwritten}")
    return found


def _fault_windows(order: RunSpec) -> list[tuple[str, str, float, float]]:
    """(name, kind, start, end) of each fault; a server of the user's has none of ours."""
    if order.foreign is not None:
        return []
    return [
        (fault.name, fault.kind, fault.start, _INFINITE if fault.end is None else fault.end)
        for fault in order.scenario.faults
    ]
