"""In what two runs are unlike, so that a difference between them could come from something else than the server. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from harness.run_folder.layout import RunRecord

IGNORED_KEYS = frozenset({"name", "title", "thresholds", "seed"})
"""Keys of a scenario that may differ; seeds are compared side by side, see compare.py."""
MOCK_KEYS = frozenset({"server", "faults"})
"""Keys that say how our mock behaves: without meaning where both runs had a --target."""
HOST_FACTS = ("system", "machine", "cpu", "cores", "memory_bytes")
"""Facts of a host that change what is measured. Its name is none: containers have a new one each time."""
_MEMORY_STEP_BYTES = 2**28
"""Kernels keep a little more or less for themselves at each boot."""


def find_differences(base: RunRecord, other: RunRecord) -> list[str]:
    """What differs, a line each: key, value of base, value of the other. Empty for runs that can be compared."""
    ours, theirs = comparable_facts(base), comparable_facts(other)
    if not (base.own_server or other.own_server):
        ours, theirs = _without_server(ours), _without_server(theirs)
    return [
        f"{key}: {_shown(ours.get(key))} against {_shown(theirs.get(key))}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


def comparable_facts(record: RunRecord) -> dict[str, Any]:
    """Everything of a run that must be the same in another: dotted key -> value."""
    scenario = {key: value for key, value in record.scenario.items() if key not in IGNORED_KEYS}
    return {
        **dict(_flatten("scenario", scenario)),
        **dict(_flatten("versions", record.versions)),
        **{f"host.{fact}": value for fact, value in host_facts(record.host).items()},
        "workers": len(record.workers),
        "workers.hosts": sorted({worker.host for worker in record.workers if worker.host}),
        "target": "the harness's own mock server" if record.own_server else "a server from outside",
    }


def host_facts(host: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a host by which it is compared; memory to the next 256 MiB."""
    facts = {name: host.get(name) for name in HOST_FACTS}
    if isinstance(facts["memory_bytes"], int):
        facts["memory_bytes"] = round(facts["memory_bytes"] / _MEMORY_STEP_BYTES) * _MEMORY_STEP_BYTES
    return facts


def _without_server(flat: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flat.items() if key.split(".")[1:2][:1] not in [[name] for name in MOCK_KEYS]}


def _flatten(prefix: str, content: object) -> Iterator[tuple[str, Any]]:
    """Leaves with their dotted keys; an empty table or list is a leaf."""
    if isinstance(content, Mapping) and content:
        for key, value in content.items():
            yield from _flatten(f"{prefix}.{key}", value)
    elif isinstance(content, list) and content:
        for number, value in enumerate(content):
            yield from _flatten(f"{prefix}[{number}]", value)
    else:
        yield prefix, content


def _shown(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
