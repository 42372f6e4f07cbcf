"""run.json as the run goes: how it was meant, what became of each worker, how it ended."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.base.host import describe_host, package_versions
from harness.plan.plan import compute_phases, digest_plan
from harness.run_folder.layout import (
    FaultRecord,
    PhaseRecord,
    RunEnd,
    RunFolder,
    RunRecord,
    StoreReadRecord,
    WorkerRecord,
)
from harness.runner.run_spec import RunSpec
from harness.scenario.own_client import digest_own_client
from harness.scenario.scenario import Scenario
from harness.scenario.stations import REGIONS

MAX_CLOCK_DRIFT_S = 0.05
"""Beyond that, attempts of different machines can't be put in one order any more."""
_MAX_STATIONS_NAMED = 5
_INFINITE = float("inf")


def keep_station_list(scenario: Scenario, folder: RunFolder) -> None:
    """Copy the user's own region or list into the run folder, which keeps what was run: the file may change or vanish.

    Never the accounts, which are secrets.
    """
    if scenario.stations.file is not None:
        shutil.copyfile(scenario.stations.file, folder.stations)
    elif scenario.stations.region not in REGIONS:
        shutil.copyfile(scenario.stations.region, folder.region)


class RunRecorder:
    """Writes the run.json of one run. Every change is written at once, so that a run that is cut off still has it."""

    def __init__(self, spec: RunSpec) -> None:
        """Nothing is written before `open`."""
        self._spec = spec
        self.workers = WorkerRegistry(spec)
        self.problems: list[str] = []
        """What went wrong with the measurement itself, beside what the worker registry has."""
        self.store_read: StoreReadRecord | None = None

    def open(self, target: str) -> None:
        """Write how the run is meant; `target` is the server's URL, "" while it is not known."""
        self.record = initial_record(self._spec, target, self.workers.records)
        self._write()

    def begin(self, t0_epoch: float) -> None:
        """Write when T0 was, in seconds since the Unix epoch."""
        self.record = self.record.model_copy(update={"t0_epoch": t0_epoch, "workers": self.workers.records})
        self._write()

    def end(self, ended: RunEnd, clock_step_s: float) -> None:
        """Write how the run ended; `clock_step_s` is by how much the wall clock was set meanwhile."""
        self.record = self.record.model_copy(
            update={
                "ended": ended,
                "workers": self.workers.records,
                # The planned phases reach to the deadline; a phase of length 0 would have no rate.
                "phases": phase_records(self._spec, max(ended.at_s, 0.001)),
                "clock_step_s": clock_step_s,
                "stock": self.store_read,
                "problems": [*self.workers.problems, *self.problems],
            }
        )
        self._write()

    def add_problems(self, *problems: str) -> None:
        """Add what went wrong; "" is skipped."""
        self.problems += filter(None, problems)

    def _write(self) -> None:
        self._spec.folder.write_run(self.record)


class WorkerRegistry:
    """The state of every worker of one run: its stations, process and machine, what it reported, whether it is lost."""

    def __init__(self, spec: RunSpec) -> None:
        """Every worker is unknown but for its rank until it reports."""
        self._spec = spec
        self._pids: dict[int, int] = {}
        self.records = [WorkerRecord(rank=rank) for rank in range(spec.workers)]
        self.problems: list[str] = []
        """What makes the measurement invalid, one sentence each."""
        self.unwritten = ""
        """Why a journal could not be written to its end; "" if all were."""

    @property
    def lost_count(self) -> int:
        """How many workers are lost."""
        return sum(worker.lost for worker in self.records)

    def add_processes(self, workers: Iterable[Mapping[str, Any]]) -> None:
        """Take each worker's process id from the `ready` event."""
        self._pids = {worker["pid"]: worker["rank"] for worker in workers if worker["pid"]}

    def add_hosts(self, hosts: Iterable[Mapping[str, Any]]) -> None:
        """Take the machines of remote workers from the `joined` event."""
        for facts in hosts:
            known = self.records[facts["rank"]].model_dump()
            self.records[facts["rank"]] = WorkerRecord.model_validate({**known, **facts})

    def rank_of(self, pid: int) -> int | None:
        """The rank of the worker with this process id; None for any other process."""
        return self._pids.get(pid)

    def pid_of(self, rank: int) -> int | None:
        """The process id of a worker; None for one on another machine."""
        return next((pid for pid, found in self._pids.items() if found == rank), None)

    def mark_lost(self, rank: int, text: str) -> str:
        """Mark a worker as lost; `text` (how it was lost) with the stations it was responsible for."""
        self._change(rank, lost=True)
        problem = f"{text}; {self._describe_shard(rank)}"
        self.problems.append(problem)
        return problem

    def mark_all_lost(self) -> None:
        """Mark every worker as lost: none has reported, so no journal is known to be complete."""
        for rank in range(len(self.records)):
            self._change(rank, lost=True)

    def mark_unwritten(self, rank: int, reason: str) -> str:
        """Note that a worker stopped because it can't write its journal; a sentence with the first such worker and its stations."""
        self._change(rank, unwritten=reason)
        self.unwritten = self.unwritten or f"{worker_problems(self.records[rank])[-1]}; {self._describe_shard(rank)}"
        return self.unwritten

    def add_accounts(self, accounts: Iterable[Mapping[str, Any]]) -> str:
        """Take what the workers reported when they had finished; why the target's consent ended if one knows that, else ""."""
        halted = ""
        for account in accounts:
            rank = account["rank"]
            known = self.records[rank].model_dump()
            # A worker that we gave up on may still report: it stays lost, because it has missed part of its plan.
            self.records[rank] = WorkerRecord.model_validate({**known, **account, "lost": known["lost"]})
            if account["unwritten"]:
                self.mark_unwritten(rank, account["unwritten"])
            # `unwritten` already is the run's end reason: don't tell it twice.
            self.problems += [
                text for text in worker_problems(self.records[rank]) if not self.unwritten.startswith(text)
            ]
            halted = halted or account.get("halted", "")
        return halted

    def _describe_shard(self, rank: int) -> str:
        shard = self._spec.plan.shard(rank, self._spec.workers)
        codes = [self._spec.plan.stations[number].code for number in shard[:_MAX_STATIONS_NAMED]]
        more = ", …" if len(shard) > len(codes) else ""
        return (
            f"it was responsible for {len(shard):,} station{'' if len(shard) == 1 else 's'}: {', '.join(codes)}{more}"
        )

    def _change(self, rank: int, **fields: Any) -> None:
        self.records[rank] = self.records[rank].model_copy(update=fields)


def worker_problems(worker: WorkerRecord) -> list[str]:
    """Why what a worker reported makes the measurement invalid, one sentence each; empty if nothing does."""
    found = []
    if worker.held_back:
        found.append(
            f"worker {worker.rank} delayed {worker.held_back:,} requests to stay within the rate that the target consents "
            "to: the offered load is not the planned one"
        )
    if worker.evenings_broken:
        found.append(
            f"internal error: worker {worker.rank} abandoned {worker.evenings_broken:,} stations: "
            f"see logs/ of worker {worker.rank}"
        )
    if worker.reads_broken:
        found.append(
            f"internal error: worker {worker.rank} abandoned {worker.reads_broken:,} reads: see logs/ of worker {worker.rank}"
        )
    if abs(worker.clock_drift_s) > MAX_CLOCK_DRIFT_S:
        found.append(
            f"the clocks of worker {worker.rank} on {worker.host} and of this machine drifted apart by "
            f"{1000 * worker.clock_drift_s:+,.0f} ms during the run: its times can't be compared with the other workers'"
        )
    if worker.unwritten:
        found.append(f"worker {worker.rank} stopped because it could not write its journal: {worker.unwritten}")
    return found


def initial_record(spec: RunSpec, target: str, workers: Sequence[WorkerRecord]) -> RunRecord:
    """The content of run.json at the start: how the run is meant, without how it ended."""
    scenario = spec.scenario
    return RunRecord(
        id=spec.run_id,
        name=scenario.name,
        title=scenario.title,
        scenario=scenario.resolved(),
        seed=scenario.seed,
        target=target,
        address=spec.external.address if spec.external else "",
        also_targets=[] if spec.external is None else spec.external.also_records(),
        own_server=spec.external is None,
        simulated=spec.simulated,
        # Remote workers compute the plan again and compare: another Python or NumPy must not draw another one.
        plan_sha256="" if spec.join_policy is None else digest_plan(spec.plan),
        own_client_sha256=digest_own_client(scenario.client.own),
        deadline_s=scenario.deadline,
        time_scale=scenario.time_scale,
        warm_up_s=scenario.warm_up,
        client_timeout_s=scenario.client.timeout,
        limits_s=spec.limits_s,
        workers=list(workers),
        versions=package_versions(),
        host=describe_host(),
        command=spec.command,
        labels=spec.labels,
        phases=phase_records(spec, scenario.deadline),
        faults=[
            FaultRecord(name=name, kind=kind, start_s=start, end_s=None if end == _INFINITE else end)
            for name, kind, start, end in _fault_windows(spec)
        ],
    )


def phase_records(spec: RunSpec, end_s: float) -> list[PhaseRecord]:
    """The phases of a run that ends `end_s` seconds after T0."""
    windows = [(name, start, end) for name, _, start, end in _fault_windows(spec)]
    found = compute_phases(windows, spec.scenario.warm_up, end_s)
    return [PhaseRecord(name=phase.name, start_s=phase.start_s, end_s=phase.end_s) for phase in found]


def _fault_windows(spec: RunSpec) -> list[tuple[str, str, float, float]]:
    """(name, kind, start, end) of each fault; none for an external target, which our faults cannot reach."""
    if spec.external is not None:
        return []
    return [
        (fault.name, fault.kind, fault.start, _INFINITE if fault.end is None else fault.end)
        for fault in spec.scenario.faults
    ]
