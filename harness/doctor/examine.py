"""The whole examination: measures one thing after another, so that none disturbs the next, and adds up."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.base.errors import ExitCode, ProcessFailedError
from harness.base.host_limits import HostLimits, read_host_limits
from harness.doctor import clock, cores, descriptors, disk, generator_check, loopback, ports, timer
from harness.doctor.claim import Claim, claim_of
from harness.doctor.finding import Finding, Fitness, read_system_file, worst
from harness.doctor.generator_load import LOADS, started_generators
from harness.runner.generator import GeneratorResult
from harness.runner.subprocesses import ProcessGroup

_READY_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Examination:
    """What was found, and what a run may claim therefore (None: nothing)."""

    findings: list[Finding]
    claim: Claim | None

    @property
    def verdict(self) -> Fitness:
        """The worst of all."""
        return worst(finding.verdict for finding in self.findings)

    @property
    def exit_code(self) -> ExitCode:
        """0 fit, with or without warnings; 3 unfit."""
        return ExitCode.INVALID if self.verdict is Fitness.UNFIT else ExitCode.PASSED

    def document(self) -> dict[str, Any]:
        """For a machine."""
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
    cores: cores.CpuMeasurement
    clock: clock.ClockMeasurement
    overshoots_s: list[float]
    disk: disk.DiskMeasurement
    loopback_bytes_per_s: float | None
    """None where no process would start."""
    driven: Mapping[str, GeneratorResult] | None
    trouble: str = ""
    """Why the generator could not be measured."""


def measure_machine(folder: Path, say: Callable[[str], None]) -> Measurements:
    """Measure this machine, and the disk below `folder`: ten seconds or so. `say` hears what is being looked at."""
    say("watching the cores")
    seen_cores = cores.measure_cores(read_system_file, time.sleep, len(os.sched_getaffinity(0)))
    say("timing clock and timers")
    seen_clock = clock.measure_clock(time.monotonic, read_system_file, clock.is_synchronised)
    overshoots = timer.measure_timer(time.monotonic, time.sleep)
    say("writing to the disk")
    seen_disk = disk.measure_disk(folder, time.monotonic)
    throughput, driven, trouble = _measure_generator(say)
    return Measurements(
        limits=read_host_limits(),
        soft_descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        cores=seen_cores,
        clock=seen_clock,
        overshoots_s=overshoots,
        disk=seen_disk,
        loopback_bytes_per_s=throughput,
        driven=driven,
        trouble=trouble,
    )


def evaluate_machine(seen: Measurements, read: Callable[[str], str] = read_system_file) -> Examination:
    """Every check's findings, in the order in which one would put a machine right."""
    findings = [
        *cores.check_cores(seen.cores),
        *clock.check_clock(seen.clock),
        *timer.check_timer(seen.overshoots_s),
        *descriptors.check_descriptors(seen.limits, seen.soft_descriptors),
        *ports.check_ports(seen.limits, read),
        *disk.check_disk(seen.disk),
        *([] if seen.loopback_bytes_per_s is None else loopback.check_loopback(seen.loopback_bytes_per_s)),
        *(
            generator_check.generator_failure(seen.trouble)
            if seen.driven is None
            else generator_check.check_generator(seen.driven)
        ),
    ]
    claim = None
    if seen.driven is not None and seen.loopback_bytes_per_s is not None:
        claim = claim_of(seen.limits, seen.cores, seen.driven, seen.loopback_bytes_per_s)
    unfit = worst(finding.verdict for finding in findings) is Fitness.UNFIT
    return Examination(findings, None if unfit else claim)


def _measure_generator(say: Callable[[str], None]) -> tuple[float | None, dict[str, GeneratorResult] | None, str]:
    """Loopback's bytes a second, what the generators did, and what went wrong."""
    throughput = None
    try:
        with tempfile.TemporaryDirectory(prefix="doctor-") as path, ProcessGroup(Path(path)) as family:
            say("starting generators and a sink")
            family.start("sink", [sys.executable, "-P", "-m", "harness.doctor.sink_server"], os.environ)
            port = family.expect("sink", "ready", _READY_TIMEOUT_S)["port"]
            with started_generators(Path(path), port) as prepared:
                say("sending over loopback")
                throughput = loopback.measure_loopback(port, time.monotonic)
                driven = {}
                for load in LOADS:
                    say(f"driving the generator: {load.name}")
                    driven[load.name] = prepared[load.name].drive()
    except (ProcessFailedError, OSError) as error:
        return throughput, None, str(error)
    return throughput, driven, ""
