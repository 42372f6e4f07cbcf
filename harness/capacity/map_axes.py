"""The axes of a map: `client.retry.strategy,load,faults.brownout.duration`, each with its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from harness.analysis.capacity_map import MapAxis
from harness.base.errors import UsageError
from harness.capacity.levels import parse_varied_key
from harness.capacity.load import parse_loads
from harness.scenario.retry import RetryConfig
from harness.scenario.scenario import Scenario

LOAD = "load"
MAX_CELLS = 600
_LOADS = ("0.5x", "0.75x", "1x", "1.25x", "1.5x")
_FACTORS = (0.25, 0.5, 1.0, 1.5, 2.0)
"""Of a fault's own duration."""
_DEPTHS = ("0.8", "0.6", "0.4", "0.2", "0.1", "0.05")
"""The share of the capacity that a fault leaves, from the mildest to the deepest."""
_IN_A_RANGE = 6


def parse_map(text: str, scenario: Scenario) -> list[MapAxis]:
    """The axes of "KEY[=VALUE|VALUE…],KEY…": two or three. Without values a strategy, the load and a fault's length have their own.

    Raises UsageError for anything else.
    """
    axes = [_parse_axis(part.strip(), scenario) for part in text.split(",")]
    if len(axes) not in {2, 3}:
        message = f'--map "{text}" should have two or three keys, as in client.retry.strategy,load'
        raise UsageError(message)
    keys = [axis.key for axis in axes]
    if len(set(keys)) < len(keys):
        message = f'--map "{text}": duplicate {max(keys, key=keys.count)}'
        raise UsageError(message)
    cells = 1
    for axis in axes:
        cells *= len(axis.values)
    if cells > MAX_CELLS:
        message = f'--map "{text}" has {cells:,} cells: at most {MAX_CELLS} are played, give fewer values'
        raise UsageError(message)
    return axes


def _parse_axis(text: str, scenario: Scenario) -> MapAxis:
    key, equals, values = (part.strip() for part in text.partition("="))
    if not equals:
        return MapAxis(key=key, values=_own_values(key, scenario))
    if ".." in values:
        varied = parse_varied_key(text)
        chosen = _spread(range(len(varied.values)))
        return MapAxis(key=key, values=[varied.text(level) for level in chosen])
    found = [value.strip() for value in values.split("|")]
    if key == LOAD:
        found = [f"{factor:g}x" for factor in parse_loads(",".join(found))]
    if len(found) < 2 or len(set(found)) < len(found) or "" in found:
        message = (
            f'--map "{text}": {key} should have two or more different values, as in {key}={"|".join(_example(key))}'
        )
        raise UsageError(message)
    return MapAxis(key=key, values=found)


def _spread(levels: range) -> list[int]:
    """A few of the levels, evenly, the first and the last among them."""
    count = min(_IN_A_RANGE, len(levels))
    return sorted({round(place * (len(levels) - 1) / (count - 1)) for place in range(count)})


def _own_values(key: str, scenario: Scenario) -> list[str]:
    """The values of a key that has some of its own."""
    if key == LOAD:
        return list(_LOADS)
    if key == "client.retry.strategy":
        return strategies()
    names = {fault.name: fault for fault in scenario.faults}
    table, _, last = key.rpartition(".")
    fault: Any = names.get(table.removeprefix("faults."))
    if fault is not None and last == "duration" and fault.end is not None:
        return [f"{factor * (fault.end - fault.start):.4g}s" for factor in _FACTORS]
    if fault is not None and last == "factor" and fault.kind == "capacity":
        return list(_DEPTHS)
    message = f"--map {key} needs values, as in {key}={'|'.join(_example(key))} or a range {key}=WEAKEST..STRONGEST"
    raise UsageError(message)


def _example(key: str) -> Sequence[str]:
    return {LOAD: _LOADS[:3], "client.retry.strategy": ("none", "full_jitter", "outbox")}.get(key, ("1", "2", "4"))


def strategies() -> list[str]:
    """The names of all retry strategies, in the order of the documentation."""
    return [str(get_args(kind.model_fields["strategy"].annotation)[0]) for kind in get_args(RetryConfig)]
