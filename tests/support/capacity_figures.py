"""Results of capacity searches that were never made, for what draws and describes them."""

from __future__ import annotations

from typing import Any

from harness.analysis.capacity import (
    CapacityBracket,
    CapacityCondition,
    CapacityFigures,
    CapacityLevel,
    LoadDemand,
    PlayedSeed,
    VariedResource,
)

GOAL = "stations.completed_by_deadline_ratio >= 95%"


def level(value: int, passed: int, failed: int, decision: Any, **changes: Any) -> CapacityLevel:
    """A level with seeds of which the first ones failed."""
    seeds = [
        PlayedSeed(
            seed=number + 1, met=number >= failed, breached=[GOAL] if number < failed else [],
            completed_ratio=0.5 if number < failed else 1.0,
            complete_95_s=None if number < failed else 50.0 + number % 7,
            finish_s=None if number < failed else 60.0 + number % 9, amplification=1.5,
        )
        for number in range(passed + failed)
    ]  # fmt: skip
    content = {
        "level": float(value), "value": str(value), "decision": decision, "passed": passed, "failed": failed, "unknown": 0,
        "probability_low": 0.95 if not failed else 0.2, "probability_high": 1.0 if not failed else 0.8,
        "breached": {GOAL: failed} if failed else {}, "binds": "workers", "used_ratio": 3 / value, "used": {"workers": 3 / value}, "seeds": seeds,
    }  # fmt: skip
    return CapacityLevel.model_validate({**content, **changes})


def demand(load: float = 1.0, *, least: int = 4, found: bool = True, **changes: Any) -> LoadDemand:
    """A load for which `least` passes and one less fails; unless `found`, `least` fails too."""
    passing = (
        [level(least, 59, 0, "passes"), level(2 * least, 59, 0, "passes")] if found else [level(least, 0, 2, "fails")]
    )
    content = {
        "load": load, "stations": round(362 * load), "pages": round(1086 * load), "least_by_arithmetic": float(least - 1),
        "bracket": CapacityBracket(passes=str(least) if found else None, fails=str(least - 1 if found else least), is_complete=True),
        "levels": [level(least - 1, 0, 2, "fails"), *passing],
    }  # fmt: skip
    return LoadDemand.model_validate({**content, **changes})


def condition(name: Any = "bears", *loads: LoadDemand, **changes: Any) -> CapacityCondition:
    """One condition; with the fault "brownout" if it is `recovers`."""
    content = {"name": name, "faults": ["brownout"] if name == "recovers" else [], "goal": [GOAL], "loads": loads or (demand(),)}  # fmt: skip
    return CapacityCondition.model_validate({**content, **changes})


def figures(*conditions: CapacityCondition, **changes: Any) -> CapacityFigures:
    """A search of `server.workers = 1..64` in `kaliwates`."""
    content = {
        "name": "kaliwates", "title": "", "deadline_s": 72.0, "time_scale": 3600.0,
        "vary": VariedResource(key="server.workers", unit="", weakest="1", strongest="64", step="1"),
        "probability": 0.95, "confidence": 0.95, "first_seed": 1, "conditions": conditions or (condition(),), "exit_code": 0,
    }  # fmt: skip
    return CapacityFigures.model_validate({**content, **changes})
