"""What this machine is, and whether a plan fits it."""

from __future__ import annotations

import os
import platform
import resource
import socket
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from harness.plan import Plan
from harness.scenario import Scenario

_PACKAGES = (
    "upload-harness", "locust", "gevent", "aiohttp", "uvloop", "httptools", "duckdb", "numpy", "pillow", "prometheus-client",
)  # fmt: skip
_RESERVED_DESCRIPTORS = 200


def versions() -> dict[str, str]:
    """Versions of everything that can change a figure."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def host() -> dict[str, Any]:
    """The machine in a few words; runs on unlike machines aren't to be compared."""
    cpu = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory_kb = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "name": socket.gethostname(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "memory_bytes": memory_kb * 1024,
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "ports": _ports(),
    }


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


class Limits(NamedTuple):
    """What a machine lets its processes have."""

    descriptors: int
    """Hard limit of one process."""
    ports: int
    """Local ports for outgoing connections, to one place from one address."""
    shared: bool = True
    """All workers run here; False: each has such a machine for itself."""


def misfits(scenario: Scenario, plan: Plan, workers: int, limits: Limits | None = None) -> list[str]:
    """Why this machine (or one with these limits) can't carry the plan, each with its arithmetic; empty if it can.

    Counts the worst case, a server that hangs: every station that turns up within a timeout holds a connection.
    """
    problems = []
    limit = scenario.client.max_in_flight * workers
    phones = 0 if plan.rounds is None else len(plan.rounds.phones)
    if phones > limit:
        problems.append(
            f"{phones:,} phones are more than client.max_in_flight ({scenario.client.max_in_flight:,}) allows "
            f"{workers} worker(s): raise it or use more workers"
        )
    at_once = min(phones or len(plan.stations), limit)
    per_worker = -(-at_once // workers)
    given = limits or Limits(resource.getrlimit(resource.RLIMIT_NOFILE)[1], _ports())
    descriptors = given.descriptors - _RESERVED_DESCRIPTORS
    if per_worker > descriptors:
        problems.append(
            f"{at_once:,} stations at once over {workers} worker(s) need {per_worker:,} descriptors each, and the hard "
            f"limit leaves {descriptors:,}: raise it (ulimit -Hn), use --workers {-(-at_once // max(1, descriptors))}, "
            f"or lower client.max_in_flight"
        )
    if not given.shared:
        if per_worker > given.ports:
            problems.append(f"{per_worker:,} stations at once need as many ports, and there are {given.ports:,}")
        return problems
    ports = given.ports * scenario.client.source_addresses
    if at_once > ports:
        problems.append(
            f"{at_once:,} stations at once need as many ports, and {scenario.client.source_addresses} source address(es) "
            f"have {ports:,}: set client.source_addresses to {-(-at_once // max(1, given.ports))}"
        )
    return problems


def _ports() -> int:
    low, high = _lines("/proc/sys/net/ipv4/ip_local_port_range")[0].split()
    return int(high) - int(low) + 1


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines() or [""]
    except OSError:
        return ["32768 60999"] if path.endswith("port_range") else [""]
