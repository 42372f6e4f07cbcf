"""The load generator measured on this machine: how punctual and how fast it is, what loopback carries, what a run may claim.

The real generator, a Locust process as in a run, against a sink that does nothing, with three loads: paced (for punctuality), small
bodies as fast as it can, and photos as fast as it can.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.base.host import HostLimits
from harness.doctor.cpu import CpuMeasurement
from harness.doctor.finding import Finding, Fitness, at_least, at_most
from harness.doctor.resources import REMOTE_ADDRESS
from harness.judge.validity import ALLOWED_LATENESS_S
from harness.plan.capacity import LOOPBACK
from harness.run_folder.layout import RunFolder
from harness.runner.generator import PAGES_PER_STATION, GeneratorResult, LoadGenerator, synthetic_scenario
from reports.number_format import format_byte_rate, format_count, format_duration, format_rate, plural

# --- loads

PACED_PER_S = 1_000
SMALL_BYTES, PHOTO_BYTES = 1_000, 500_000
PHONES = 64
_LOAD_FOR_S = 1.5
_CLOSED_ARRIVALS = {"kind": "closed", "phones": PHONES, "think": {"distribution": "fixed", "value": "0s"}}
_PACED_ARRIVALS = {"kind": "constant", "over": f"{_LOAD_FOR_S:g}s"}


@dataclass(frozen=True)
class GeneratorLoad:
    """The load of one generator."""

    name: str
    photo_bytes: int
    arrivals: Mapping[str, Any]
    stations: int


LOADS = (
    GeneratorLoad("paced", SMALL_BYTES, _PACED_ARRIVALS, int(PACED_PER_S * _LOAD_FOR_S / PAGES_PER_STATION)),
    GeneratorLoad("small", SMALL_BYTES, _CLOSED_ARRIVALS, 20_000),  # more than it can send in that time
    GeneratorLoad("photos", PHOTO_BYTES, _CLOSED_ARRIVALS, 5_000),
)


@contextmanager
def started_generators(folder: Path, port: int) -> Iterator[dict[str, LoadGenerator]]:
    """A generator for each load, by the load's name; all are started at once and then wait.

    Starting one takes seconds, nearly all of it imports. Raises ProcessFailedError if one does not become ready.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(LOADS)))
        prepared = {load.name: stack.enter_context(_generator(folder / load.name, port, load)) for load in LOADS}
        for started in [pool.submit(generator.start) for generator in prepared.values()]:
            started.result()
        yield prepared


def _generator(folder: Path, port: int, load: GeneratorLoad) -> LoadGenerator:
    folder.mkdir()
    content = {
        "name": f"doctor-{load.name}",
        "deadline": f"{_LOAD_FOR_S:g}s",
        "photos": {"size": {"distribution": "fixed", "value": f"{load.photo_bytes}B"}, "bank": 2},
        "arrivals": load.arrivals,
        "client": {"connection": "reuse", "timeout": "3s"},
        "target": {"path": "/{station}/{form}/{page}"},
    }
    return LoadGenerator(
        synthetic_scenario(folder, load.stations, content), f"http://127.0.0.1:{port}", RunFolder(folder / "run")
    )


# --- loopback

LOOPBACK_FOR_S = 0.5
ENOUGH_LOOPBACK_BYTES_PER_S, TOO_LITTLE_LOOPBACK_BYTES_PER_S = 500e6, 50e6
"""Twice 500 photos of 500 KB per second; with a tenth of that a run would measure loopback instead of the server."""
_CHUNK = bytes(1 << 20)


def measure_loopback(port: int, clock: Callable[[], float]) -> float:
    """Bytes per second that one process can send another: an endless request to the sink on that port, cut off in the end."""
    with socket.create_connection(("127.0.0.1", port), 5.0) as connection:
        connection.sendall(b"PUT / HTTP/1.1\r\nHost: sink\r\nContent-Length: 999999999999\r\n\r\n")
        began, sent = clock(), 0
        while (now := clock()) - began < LOOPBACK_FOR_S:
            connection.sendall(_CHUNK)
            sent += len(_CHUNK)
    return sent / (now - began)


def check_loopback(bytes_per_s: float) -> list[Finding]:
    """The finding, by the measured throughput."""
    verdict = at_least(bytes_per_s, ENOUGH_LOOPBACK_BYTES_PER_S, TOO_LITTLE_LOOPBACK_BYTES_PER_S)
    change = (
        ""
        if verdict is Fitness.OK
        else "stop what else runs; check for traffic rules: tc qdisc show dev lo, nft list ruleset"
    )
    needed = format_byte_rate(ENOUGH_LOOPBACK_BYTES_PER_S)
    return [Finding("loopback", format_byte_rate(bytes_per_s), needed, verdict, change, {"bytes_per_s": bytes_per_s})]


# --- findings

PUNCTUAL_S = 0.002
"""Lateness at p99 that leaves percentiles of response times exact to a few milliseconds."""
SMALL_PER_S, TOO_FEW_PER_S = 3_000, 300
PHOTOS_BYTES_PER_S, TOO_LITTLE_BYTES_PER_S = 100e6, 10e6
"""60 photos of 1.6 MB per second: four times the peak of a district (the scenario kaliwates)."""
_HOW_TO_SPEED_UP = "stop what else runs, or use more workers (--workers) and cores"


def check_generator(results: Mapping[str, GeneratorResult]) -> list[Finding]:
    """Findings on lateness, small attempts, photos; `results` has the result of every load by its name."""
    lost = [name for name in (load.name for load in LOADS) if not results[name].accepted]
    if lost:
        problem = f"no attempt was accepted ({', '.join(lost)})"
        return [
            Finding("generator", problem, "all", Fitness.UNFIT, "allow connections to 127.0.0.1: nft list ruleset", {})
        ]
    return [_lateness(results["paced"]), _small_attempts(results["small"]), _photos(results["photos"])]


def generator_failure(reason: str) -> list[Finding]:
    """The finding for a generator that did not start or ended early; `reason` may go on with its log."""
    first, _, rest = reason.partition("\n")
    return [Finding("generator", first, "runs to its end", Fitness.UNFIT, rest or first, {})]


def _lateness(paced: GeneratorResult) -> Finding:
    p50, p99 = (float(np.quantile(paced.lateness_s, quantile)) for quantile in (0.5, 0.99))
    verdict = at_most(p99, PUNCTUAL_S, ALLOWED_LATENESS_S)
    change = "" if verdict is Fitness.OK else "stop what else runs; a run is INVALID if its lateness is above 5 ms"
    measured = f"p50 {format_duration(p50)}, p99 {format_duration(p99)} at {format_rate(PACED_PER_S)} ({format_count(paced.attempts)} attempts)"
    return Finding(
        "lateness",
        measured,
        f"p99 at most {format_duration(PUNCTUAL_S)}",
        verdict,
        change,
        {"p50_s": p50, "p99_s": p99},
    )


def _small_attempts(small: GeneratorResult) -> Finding:
    ceiling = small.per_cpu_s
    verdict = at_least(ceiling, SMALL_PER_S, TOO_FEW_PER_S)
    change = "" if verdict is Fitness.OK else _HOW_TO_SPEED_UP
    measured = f"{format_count(ceiling)}/s per core ({format_duration(1 / ceiling)} of CPU each), {format_count(small.per_s)}/s beside the sink"
    figures = {"per_core_s": ceiling, "reached_per_s": small.per_s, "cpu_s": 1 / ceiling}
    return Finding("small attempts", measured, f"{format_count(SMALL_PER_S)}/s per core", verdict, change, figures)


def _photos(photos: GeneratorResult) -> Finding:
    ceiling, reached = (rate * PHOTO_BYTES for rate in (photos.per_cpu_s, photos.per_s))
    verdict = at_least(ceiling, PHOTOS_BYTES_PER_S, TOO_LITTLE_BYTES_PER_S)
    change = "" if verdict is Fitness.OK else _HOW_TO_SPEED_UP
    measured = f"{format_byte_rate(ceiling)} per core, {format_byte_rate(reached)} beside the sink"
    figures = {"bytes_per_core_s": ceiling, "reached_bytes_per_s": reached}
    return Finding("photos", measured, f"{format_byte_rate(PHOTOS_BYTES_PER_S)} per core", verdict, change, figures)


# --- claim

CLAIMED_RATIO = 0.8
"""Share of a worker's ceiling that may be claimed: a run above 90 % of its core is INVALID, and load comes in bursts."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The load up to which a run on this machine measures the server and not the machine."""

    workers: int
    """With the server on this machine, which needs a core of its own."""
    workers_alone: int
    """With the server elsewhere."""
    small_per_s: int
    """Small attempts per second per worker."""
    bytes_per_s: int
    """Of photos, per second per worker."""
    lateness_s: float
    """At p99."""
    stations_at_once: int
    """Per worker."""
    connections_per_s: int
    """New ones on loopback, per source address."""
    connections_elsewhere_per_s: int

    @property
    def sentences(self) -> list[str]:
        """The claim for the terminal, one sentence each."""
        elsewhere = format_count(self.connections_elsewhere_per_s)
        return [
            f"up to {format_count(self.small_per_s)} small attempts/s per worker, and {format_byte_rate(self.bytes_per_s)} of photos (at most 80 % of its core)",
            f"{plural(self.workers, 'worker')} with the server on this machine, {self.workers_alone} with the server elsewhere",
            f"response times and their percentiles to ± {self.lateness_s * 1e3:g} ms (p99 lateness at {format_count(PACED_PER_S)} attempts/s)",
            f"up to {format_count(self.stations_at_once)} stations at once per worker",
            f"{format_count(self.connections_per_s)} new connections/s on loopback, {elsewhere}/s to a server elsewhere, per source address",
        ]


def claim_of(
    limits: HostLimits, cores: CpuMeasurement, results: Mapping[str, GeneratorResult], loopback_bytes_per_s: float
) -> Claim:
    """The claim that the measurements support: rates rounded down and the lateness up, to two digits.

    No rate is claimed that was not actually reached.
    """
    whole = max(1, int(cores.available))
    small, photos = results["small"], results["photos"]
    photos_per_s = min(CLAIMED_RATIO * photos.per_cpu_s, photos.per_s)
    return Claim(
        workers=max(1, whole - 1),
        workers_alone=whole,
        small_per_s=int(rounded_down(min(CLAIMED_RATIO * small.per_cpu_s, small.per_s))),
        bytes_per_s=int(rounded_down(min(photos_per_s * PHOTO_BYTES, loopback_bytes_per_s))),
        lateness_s=-rounded_down(-float(np.quantile(results["paced"].lateness_s, 0.99))),
        stations_at_once=min(limits.connections_per_process, limits.ports_per_source),
        connections_per_s=int(limits.ports_per_source / limits.port_kept_s(LOOPBACK)),
        connections_elsewhere_per_s=int(limits.ports_per_source / limits.port_kept_s(REMOTE_ADDRESS)),
    )


def rounded_down(value: float) -> float:
    """The value rounded towards minus infinity to two significant digits.

    >>> rounded_down(12_345.6), rounded_down(-0.00123), rounded_down(0.0)
    (12000.0, -0.0013, 0.0)
    """
    if value == 0:
        return 0.0
    places = 1 - math.floor(math.log10(abs(value)))
    return round(math.floor(round(value * 10.0**places, 6)) / 10.0**places, max(0, places))
