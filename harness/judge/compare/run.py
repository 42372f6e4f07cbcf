"""A run as a comparison needs it, and in what two runs differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.bootstrap import Statistic
from harness.analysis.comparable import MissingFigure, arrivals_digest, compute_statistics
from harness.analysis.cpu_quota import QUOTA_FACT
from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import compute_summary
from harness.judge.audit import audit_run
from harness.judge.compare.results import RunFacts
from harness.judge.verdict import compute_verdict
from harness.run_folder.layout import RunFolder, RunRecord
from mock_server.profile.validation_messages import describe_item

IGNORED_KEYS = frozenset({"name", "title", "thresholds", "seed"})
"""Scenario keys that may differ; seeds are compared for the two sides as a whole, see compare.py."""
MOCK_KEYS = frozenset({"server", "faults", "simulate"})
"""Scenario keys that configure the mock server: they mean nothing if both runs had a --target."""
HOST_FACTS = ("system", "machine", "cpu", "cores", "memory_bytes")
"""Facts of a host that affect a measurement. Its name is not one of them: each container has a new one."""
_MEMORY_STEP_BYTES = 2**28
"""Kernels reserve a slightly different amount of memory at each boot."""
_COMPLETE_RUNS = {"completed", "deadline"}


@dataclass(frozen=True)
class ComparedRun:
    """One run of one side."""

    path: str
    record: RunRecord
    arrivals: str
    """Digest of who arrived when: equal for runs in which the same stations arrived at the same times."""
    figures: dict[str, Statistic | MissingFigure]
    reasons: list[str]
    """Why its measurement cannot be compared; empty if it can."""
    unsafe: int
    """Number of pages that the audit found unsafe: lost, altered, misfiled and so on."""

    @property
    def facts(self) -> RunFacts:
        """What comparison.json says about it."""
        return RunFacts(
            path=self.path, id=self.record.id, seed=self.record.seed, valid=not self.reasons, reasons=self.reasons
        )


def load_compared_run(folder: RunFolder, assertions: Sequence[str], keys: Sequence[str]) -> ComparedRun:
    """What a comparison of the figures `keys` needs of a run; `assertions` are the run's own.

    Writes nothing but attempts.parquet. Raises RunFolderError if the folder is not a run.
    """
    rows = load_rows(folder)
    statuses, run_data = load_page_statuses(folder, rows), RunData(folder, rows)
    summary, audit = compute_summary(folder, rows, statuses, run_data), audit_run(folder, rows, statuses)
    validity = compute_verdict(summary, audit, run_data, assertions).validity
    reasons = list(validity.reasons)
    ended = rows.record.ended
    if ended is not None and ended.how not in _COMPLETE_RUNS and validity.valid:
        reasons.append(f"the run was {ended.how} after {ended.at_s:.1f} s, so it is incomplete")
    return ComparedRun(
        path=str(folder.path),
        record=rows.record,
        arrivals=arrivals_digest(rows),
        figures=compute_statistics(rows, summary, keys),
        reasons=reasons,
        unsafe=(summary.audit.unsafe or 1) if audit.safety is False else 0,
    )


def find_differences(base: RunRecord, other: RunRecord) -> list[str]:
    """In what two runs differ, so that something else than the server could explain a change: one line per key.

    A line has the key, the value of base and the value of the other. Empty if the runs can be compared.
    """
    before, after = comparable_facts(base), comparable_facts(other)
    if not (base.own_server or other.own_server):
        before, after = _without_mock(before), _without_mock(after)
    return [
        f"{key}: {_format(before.get(key))} against {_format(after.get(key))}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def comparable_facts(record: RunRecord) -> dict[str, Any]:
    """Everything about a run that must be the same in another, by dotted key."""
    ignored = IGNORED_KEYS if record.simulated else IGNORED_KEYS | {"simulate"}
    scenario = {key: value for key, value in record.scenario.items() if key not in ignored}
    return {
        **dict(_flatten("scenario", scenario)),
        **dict(_flatten("versions", record.versions)),
        # A simulation gives the same figures on every machine.
        **{f"host.{fact}": value for fact, value in host_facts(record.host).items() if not record.simulated},
        "workers": len(record.workers),
        "workers.hosts": sorted({worker.host for worker in record.workers if worker.host}),
        "simulated": record.simulated,
        "target": "the harness's own mock server" if record.own_server else "an external server",
    }


def host_facts(host: Mapping[str, Any]) -> dict[str, Any]:
    """The facts by which hosts are compared; memory is rounded to 256 MiB."""
    facts = {name: host.get(name) for name in HOST_FACTS}
    # only where there is one, so that calibrations of earlier versions keep their key
    facts.update({QUOTA_FACT: host[QUOTA_FACT]} if QUOTA_FACT in host else {})
    if isinstance(facts["memory_bytes"], int):
        facts["memory_bytes"] = round(facts["memory_bytes"] / _MEMORY_STEP_BYTES) * _MEMORY_STEP_BYTES
    return facts


def _without_mock(flat: dict[str, Any]) -> dict[str, Any]:
    prefixes = tuple(f"scenario.{key}" for key in MOCK_KEYS)
    return {key: value for key, value in flat.items() if not _is_below(key, prefixes)}


def _is_below(key: str, prefixes: tuple[str, ...]) -> bool:
    return any(key == prefix or key.startswith((f"{prefix}.", f"{prefix} #")) for prefix in prefixes)


def _flatten(prefix: str, content: object, *, in_item: bool = False) -> Iterator[tuple[str, Any]]:
    """The leaves with their dotted keys; an empty table or list is a leaf."""
    if isinstance(content, Mapping) and content:
        for key, value in content.items():
            yield from _flatten(f"{prefix}{': ' if in_item else '.'}{key}", value)
    elif isinstance(content, list) and content:
        for number, value in enumerate(content):
            name = value.get("name") if isinstance(value, Mapping) else None
            yield from _flatten(describe_item(prefix, number, name), value, in_item=True)
    else:
        yield prefix, content


def _format(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
