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

from harness.base.errors import ChildError, ExitCode
from harness.base.host_limits import Limits, limits_here
from harness.doctor import clock, cores, descriptors, disk, generator_check, loopback, ports, timer
from harness.doctor.claim import Claim, claim_of
from harness.doctor.finding import Finding, Verdict, content_of, worst
from harness.doctor.generator_load import LOADS, generators
from harness.runner.generator import Driven
from harness.runner.subprocesses import Family

_READY_WITHIN_S = 20.0


@dataclass(frozen=True)
class Examination:
    """What was found, and what a run may claim therefore (None: nothing)."""

    findings: list[Finding]
    claim: Claim | None

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        return worst(finding.verdict for finding in self.findings)

    @property
    def exit_code(self) -> ExitCode:
        """0 fit, with or without warnings; 3 unfit."""
        return ExitCode.INVALID if self.verdict is Verdict.UNFIT else ExitCode.PASSED

    def document(self) -> dict[str, Any]:
        """For a machine."""
        return {
            "verdict": str(self.verdict),
            "fit": self.verdict is not Verdict.UNFIT,
            "findings": [asdict(finding) for finding in self.findings],
            "claim": None if self.claim is None else asdict(self.claim),
        }


@dataclass(frozen=True)
class Seen:
    """Everything that was measured."""

    limits: Limits
    soft_descriptors: int
    cores: cores.Cores
    clock: clock.Clock
    overshoots_s: list[float]
    disk: disk.Disk
    loopback_bytes_per_s: float | None
    """None where no process would start."""
    driven: Mapping[str, Driven] | None
    trouble: str = ""
    """Why the generator could not be measured."""


def look(folder: Path, say: Callable[[str], None]) -> Seen:
    """Measure this machine, and the disk below `folder`: ten seconds or so. `say` hears what is being looked at."""
    say("watching the cores")
    seen_cores = cores.look(content_of, time.sleep, len(os.sched_getaffinity(0)))
    say("timing clock and timers")
    seen_clock = clock.look(time.monotonic, content_of, clock.synchronised)
    overshoots = timer.look(time.monotonic, time.sleep)
    say("writing to the disk")
    seen_disk = disk.look(folder, time.monotonic)
    throughput, driven, trouble = _look_at_the_generator(say)
    return Seen(
        limits=limits_here(),
        soft_descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        cores=seen_cores,
        clock=seen_clock,
        overshoots_s=overshoots,
        disk=seen_disk,
        loopback_bytes_per_s=throughput,
        driven=driven,
        trouble=trouble,
    )


def judged(seen: Seen, read: Callable[[str], str] = content_of) -> Examination:
    """Every check's findings, in the order in which one would put a machine right."""
    findings = [
        *cores.check(seen.cores),
        *clock.check(seen.clock),
        *timer.check(seen.overshoots_s),
        *descriptors.check(seen.limits, seen.soft_descriptors),
        *ports.check(seen.limits, read),
        *disk.check(seen.disk),
        *([] if seen.loopback_bytes_per_s is None else loopback.check(seen.loopback_bytes_per_s)),
        *(generator_check.failed(seen.trouble) if seen.driven is None else generator_check.check(seen.driven)),
    ]
    claim = None
    if seen.driven is not None and seen.loopback_bytes_per_s is not None:
        claim = claim_of(seen.limits, seen.cores, seen.driven, seen.loopback_bytes_per_s)
    unfit = worst(finding.verdict for finding in findings) is Verdict.UNFIT
    return Examination(findings, None if unfit else claim)


def _look_at_the_generator(say: Callable[[str], None]) -> tuple[float | None, dict[str, Driven] | None, str]:
    """Loopback's bytes a second, what the generators did, and what went wrong."""
    throughput = None
    try:
        with tempfile.TemporaryDirectory(prefix="doctor-") as path, Family(Path(path)) as family:
            say("starting generators and a sink")
            family.start("sink", [sys.executable, "-P", "-m", "harness.doctor.sink_server"], os.environ)
            port = family.expect("sink", "ready", _READY_WITHIN_S)["port"]
            with generators(Path(path), port) as prepared:
                say("sending over loopback")
                throughput = loopback.look(port, time.monotonic)
                driven = {}
                for load in LOADS:
                    say(f"driving the generator: {load.name}")
                    driven[load.name] = prepared[load.name].drive()
    except (ChildError, OSError) as error:
        return throughput, None, str(error)
    return throughput, driven, ""
