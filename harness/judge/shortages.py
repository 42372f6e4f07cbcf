"""Why a run is INVALID whose generator could not make attempts: what it had too little of, how often, and what to change."""

from __future__ import annotations

from collections import Counter

from harness.base.model import Shortage
from harness.run_folder.layout import RunRecord

_CAUSES = {
    Shortage.DESCRIPTORS: (
        "a worker ran out of descriptors (at most {descriptors:,} a process)",
        "raise the hard limit (ulimit -Hn), use more workers, or lower client.max_in_flight",
    ),
    Shortage.PORTS: (
        "this machine ran out of ports ({ports:,} for a pair of source address and destination, kept up to 60 s after their use)",
        'set client.source_addresses, client.connection = "reuse", or use more machines',
    ),
    Shortage.MEMORY: ("this machine ran out of memory for sockets", "use a machine with more, or a lighter plan"),
    Shortage.MAX_IN_FLIGHT: (
        "more stations were at it at once than client.max_in_flight lets a worker hold ({max_in_flight:,})",
        "raise it, use more workers, or see why the server holds them so long",
    ),
}


def shortage_reasons(failed: int, record: RunRecord) -> list[str]:
    """A reason for each thing that ran out, of `failed` attempts that were a generator_error.

    What a lost worker had too little of is not known: it is told without its cause.
    """
    if not failed:
        return []
    causes: Counter[str] = Counter()
    for worker in record.workers:
        causes.update(worker.shortages)
    reasons = [_reason(Shortage(name), causes[name], record) for name in Shortage if causes[name]]
    unknown = failed - sum(causes.values())
    if unknown > 0:
        reasons.append(
            f"{unknown:,} attempts failed on the generator's side (generator_error: descriptors, ports, memory or "
            "client.max_in_flight; which of them, its worker could not say): see logs/"
        )
    return reasons


def _reason(shortage: Shortage, count: int, record: RunRecord) -> str:
    what, remedy = _CAUSES[shortage]
    client = record.scenario.get("client", {})
    known = {
        "descriptors": record.host.get("descriptors", 0),
        "ports": record.host.get("ports", 0),
        "max_in_flight": client.get("max_in_flight", 0),
    }
    return f"{count:,} attempts could not be made (generator_error): {what.format(**known)}: {remedy}"
