"""The whole examination: measures one thing after another, so that none disturbs the next, then evaluates all."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.base.errors import ExitCode, ProcessFailedError
from harness.base.host import HostLimits, read_host_limits
from harness.base.temporary import temporary_folder
from harness.doctor.cpu import (
    ClockMeasurement,
    CpuMeasurement,
    check_clock,
    check_cores,
    check_timer,
    is_synchronised,
    measure_clock,
    measure_cores,
    measure_timer,
)
from harness.doctor.finding import Finding, Fitness, read_system_file, worst
from harness.doctor.generator import (
    LOADS,
    Claim,
    check_generator,
    check_loopback,
    claim_of,
    generator_failure,
    measure_loopback,
    started_generators,
)
from harness.doctor.resources import DiskMeasurement, check_descriptors, check_disk, check_ports, measure_disk
from harness.runner.generator import GeneratorResult
from harness.runner.subprocesses import ProcessGroup

_READY_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Examination:
    """All findings, and what a run on this machine may claim; None if it is unfit."""

    findings: list[Finding]
    claim: Claim | None

    @property
    def verdict(self) -> Fitness:
        """The worst verdict of all findings."""
        return worst(finding.verdict for finding in self.findings)

    @property
    def exit_code(self) -> ExitCode:
        """0 if fit, with or without warnings; 3 if unfit."""
        return ExitCode.INVALID if self.verdict is Fitness.UNFIT else ExitCode.PASSED

    def document(self) -> dict[str, Any]:
        """The content of `harness doctor --json`."""
        return {
            "verdict": str(self.verdict),
            "fit": self.verdict is not Fitness.UNFIT,
            "findings": [asdict(finding) for finding in self.findings],
            "claim": None if self.claim is None else asdict(self.claim),
        }


@dataclass(frozen=True)
class Measurements:
    """Everything that was measured."""

    limits: HostLimits
    soft_descriptors: int
    cores: CpuMeasurement
    clock: ClockMeasurement
    overshoots_s: list[float]
    disk: DiskMeasurement
    loopback_bytes_per_s: float | None
    """None if no process could be started."""
    generator: Mapping[str, GeneratorResult] | None
    """The result of each load, by its name; None if the generator could not be measured."""
    problem: str = ""
    """Why it could not; may go on with the end of its log."""


def measure_machine(folder: Path, report_progress: Callable[[str], None]) -> Measurements:
    """Measure this machine and the disk below `folder`, for about twelve seconds; `report_progress` receives each step."""
    report_progress("sampling the cores")
    cores = measure_cores(read_system_file, time.sleep, len(os.sched_getaffinity(0)))
    report_progress("timing the clock and timers")
    clock = measure_clock(time.monotonic, read_system_file, is_synchronised)
    overshoots_s = measure_timer(time.monotonic, time.sleep)
    report_progress("writing to the disk")
    disk = measure_disk(folder, time.monotonic)
    loopback_bytes_per_s, results, problem = _measure_generator(report_progress)
    return Measurements(
        limits=read_host_limits(),
        soft_descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        cores=cores,
        clock=clock,
        overshoots_s=overshoots_s,
        disk=disk,
        loopback_bytes_per_s=loopback_bytes_per_s,
        generator=results,
        problem=problem,
    )


def evaluate_machine(measured: Measurements, read: Callable[[str], str] = read_system_file) -> Examination:
    """The findings of every check, in the order in which one would put a machine right; `read` reads /proc and /sys."""
    findings = [
        *check_cores(measured.cores),
        *check_clock(measured.clock),
        *check_timer(measured.overshoots_s),
        *check_descriptors(measured.limits, measured.soft_descriptors),
        *check_ports(measured.limits, read),
        *check_disk(measured.disk),
        *([] if measured.loopback_bytes_per_s is None else check_loopback(measured.loopback_bytes_per_s)),
        *(generator_failure(measured.problem) if measured.generator is None else check_generator(measured.generator)),
    ]
    claim = None
    if measured.generator is not None and measured.loopback_bytes_per_s is not None:
        claim = claim_of(measured.limits, measured.cores, measured.generator, measured.loopback_bytes_per_s)
    unfit = worst(finding.verdict for finding in findings) is Fitness.UNFIT
    return Examination(findings, None if unfit else claim)


def _measure_generator(
    report_progress: Callable[[str], None],
) -> tuple[float | None, dict[str, GeneratorResult] | None, str]:
    """Loopback's bytes per second, the result of each load, and what went wrong; the first two are None if not reached."""
    bytes_per_s = None
    try:
        with temporary_folder("doctor") as path, ProcessGroup(path) as processes:
            report_progress("starting generators and a sink")
            processes.start("sink", [sys.executable, "-P", "-m", "harness.doctor.sink_server"], os.environ)
            port = processes.expect("sink", "ready", _READY_TIMEOUT_S)["port"]
            with started_generators(path, port) as prepared:
                report_progress("sending over loopback")
                bytes_per_s = measure_loopback(port, time.monotonic)
                results = {}
                for load in LOADS:
                    report_progress(f"driving the generator: {load.name}")
                    results[load.name] = prepared[load.name].drive()
    except (ProcessFailedError, OSError) as error:
        return bytes_per_s, None, str(error)
    return bytes_per_s, results, ""
