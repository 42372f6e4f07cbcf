"""What a run on this machine may claim, from what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.base.host_limits import HostLimits
from harness.doctor.cores import CpuMeasurement
from harness.doctor.generator_load import PACED_PER_S, PHOTO_BYTES
from harness.doctor.ports import REMOTE_ADDRESS
from harness.plan.capacity import LOOPBACK
from harness.runner.generator import GeneratorResult
from reports.number_format import format_byte_rate, format_count, plural

CLAIMED_RATIO = 0.8
"""Of a worker's ceiling: a run whose generator stands above 90 % of its core is INVALID, and load comes in bursts."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Up to where figures of a run are the server's and not the machine's."""

    workers: int
    """Beside a server on this machine, which gets a core; without one there is a core more."""
    workers_alone: int
    small_per_s: int
    """Attempts a second a worker."""
    bytes_per_s: int
    """Of photos, a worker."""
    lateness_s: float
    stations_at_once: int
    """A worker."""
    connections_per_s: int
    """New ones on loopback, for each source address."""
    connections_elsewhere_per_s: int

    @property
    def sentences(self) -> list[str]:
        """In words."""
        elsewhere = format_count(self.connections_elsewhere_per_s)
        return [
            f"up to {format_count(self.small_per_s)} small attempts/s a worker, and {format_byte_rate(self.bytes_per_s)} of photos (at most 80 % of its core)",
            f"{plural(self.workers, 'worker')} with the server on this machine, {self.workers_alone} with the server elsewhere",
            f"response times and their percentiles to ± {self.lateness_s * 1e3:g} ms (p99 lateness at {format_count(PACED_PER_S)} attempts/s)",
            f"up to {format_count(self.stations_at_once)} stations at once a worker",
            f"{format_count(self.connections_per_s)} new connections/s on loopback, {elsewhere}/s to a server elsewhere, for each source address",
        ]


def claim_of(
    limits: HostLimits, cores: CpuMeasurement, driven: Mapping[str, GeneratorResult], loopback_bytes_per_s: float
) -> Claim:
    """What follows from the measurements; rates rounded down and the lateness up, to two digits.

    No rate is claimed that was not reached.
    """
    whole = max(1, int(cores.there))
    small, photos = driven["small"], driven["photos"]
    photos_per_s = min(CLAIMED_RATIO * photos.per_cpu_s, photos.per_s)
    return Claim(
        workers=max(1, whole - 1),
        workers_alone=whole,
        small_per_s=int(rounded_down(min(CLAIMED_RATIO * small.per_cpu_s, small.per_s))),
        bytes_per_s=int(rounded_down(min(photos_per_s * PHOTO_BYTES, loopback_bytes_per_s))),
        lateness_s=-rounded_down(-float(np.quantile(driven["paced"].lateness_s, 0.99))),
        stations_at_once=min(limits.a_process, limits.a_pair),
        connections_per_s=int(limits.a_pair / limits.port_kept_s(LOOPBACK)),
        connections_elsewhere_per_s=int(limits.a_pair / limits.port_kept_s(REMOTE_ADDRESS)),
    )


def rounded_down(value: float) -> float:
    """Towards minus infinity, to two digits.

    >>> rounded_down(12_345.6), rounded_down(-0.00123), rounded_down(0.0)
    (12000.0, -0.0013, 0.0)
    """
    if value == 0:
        return 0.0
    places = 1 - math.floor(math.log10(abs(value)))
    return round(math.floor(round(value * 10.0**places, 6)) / 10.0**places, max(0, places))
