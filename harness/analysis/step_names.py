"""The steps of a run's uploads by their names, from its resolved scenario as run.json has it."""

from __future__ import annotations

from typing import Any

from harness.run_folder.layout import RunRecord

UPLOAD_STEPS = ("login", "upload")
"""Names of the steps of an upload without [[target.steps]]."""


def step_names(record: RunRecord) -> list[str]:
    """The names of a run's steps, by their number from 1."""
    target: Any = record.scenario.get("target")
    steps = target.get("steps") if isinstance(target, dict) else None
    if not isinstance(steps, list) or not steps:
        return list(UPLOAD_STEPS)
    return [str(step.get("name", "")) if isinstance(step, dict) else "" for step in steps]


def step_requests(record: RunRecord) -> dict[str, str]:
    """Method and path of each step by its name, as the scenario has them; empty for runs of the mock server."""
    if record.own_server or record.simulated:
        return {}
    target: Any = record.scenario.get("target")
    if not isinstance(target, dict):
        pages = "/v1/stations/{station}/forms/{form}/pages/{page}"
        return {"login": "POST /v1/login", "upload": f"the mock's API, {pages},"}
    if has_steps(record):
        steps = [step for step in target["steps"] if isinstance(step, dict)]
        return {str(step.get("name", "")): _request_line(step) for step in steps}
    login = target.get("login")
    return {"upload": _request_line(target), **({"login": _request_line(login)} if isinstance(login, dict) else {})}


def _request_line(table: dict[str, Any]) -> str:
    return f"{table.get('method') or ''} {table.get('path') or table.get('url') or ''}".strip()


def has_steps(record: RunRecord) -> bool:
    """Whether the run's scenario describes an upload by [[target.steps]]."""
    target: Any = record.scenario.get("target")
    return isinstance(target, dict) and bool(target.get("steps"))


def steps_after_photo(record: RunRecord) -> list[str]:
    """The names of the steps after the one that sends the photo: a refusal there doesn't say that it isn't stored."""
    if not has_steps(record):
        return []
    steps: list[dict[str, Any]] = record.scenario["target"]["steps"]
    carrying = [number for number, step in enumerate(steps) if _carries_photo(step)]
    return [str(step.get("name", "")) for step in steps[carrying[0] + 1 :]] if carrying else []


def _carries_photo(step: dict[str, Any]) -> bool:
    parts = step.get("parts") or []
    return step.get("body") == "raw" or (
        step.get("body") == "multipart" and any(one.get("value") is None for one in parts)
    )
