"""What is to be run: everything that the command line, the scenario file and the plan decide before a run starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.base.address import is_loopback
from harness.judge.thresholds.abort_on_fail import AbortThreshold
from harness.plan import Plan
from harness.run_folder.layout import RunFolder
from harness.scenario.scenario import Scenario
from harness.target.external import ExternalTarget


@dataclass(frozen=True)
class JoinPolicy:
    """Where workers on other machines can join the run, with which token, and for how long."""

    host: str
    port: int
    """0 lets the kernel choose."""
    token: str = field(repr=False)
    """Shared secret: anyone who knows it may join."""
    timeout_s: float

    @property
    def is_reachable(self) -> bool:
        """Whether another machine could connect: the address is not on loopback."""
        return not is_loopback(self.host)


@dataclass(frozen=True)
class RunSpec:
    """One run, fully decided: the scenario, its plan, where the results go, who sends and to what."""

    scenario: Scenario
    plan: Plan
    folder: RunFolder
    run_id: str
    command: list[str]
    """The command line, for run.json."""
    limits_s: list[float]
    """Limits of the duration thresholds: they become bucket bounds of the histograms, so that a threshold is decided exactly."""
    abort_thresholds: Sequence[AbortThreshold] = ()
    """Thresholds that end the run as soon as they can't be passed any more."""
    labels: dict[str, str] = field(default_factory=dict)
    """What the user says of the run, for run.json."""
    workers: int = 1
    join_policy: JoinPolicy | None = None
    """If set, every worker is a remote one that joins; None starts all workers on this machine."""
    simulated: bool = False
    """Played in virtual time: no process is started and nothing is sent."""
    external: ExternalTarget | None = None
    """The server under test; None starts the mock."""
    metrics_port: int = 0
    """Port of the first worker's /metrics, the others follow; 0 lets the kernel choose."""
    prometheus: str | None = None
    """URL of a Prometheus to take rates from instead of our own scrapes."""
    prometheus_sd: Path | None = None
    """Folder for the file_sd file that lists the run's targets while it lasts."""

    @property
    def workers_text(self) -> str:
        """The number of workers as text: "1 worker", "2 workers"."""
        return f"{self.workers} worker{'s' if self.workers > 1 else ''}"
