"""The figures that the officers confirmed, sent beside the photo as JSON with the names of KPU's public API."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from mock_server.answers import Problem

MAX_READING_BYTES = 65_536


class Reading(NamedTuple):
    """The figures of a page: as they were sent, and what does not add up in them."""

    text: str = ""
    warnings: tuple[str, ...] = ()


def checked(text: bytes) -> Reading:
    """The reading, if it is a JSON object; an empty one if there is none. Raises Problem 400."""
    if not text.strip():
        return Reading()
    try:
        content = json.loads(text)
        written = text.decode()
        written.encode().decode()
    except (ValueError, RecursionError) as error:
        raise Problem(400, "Malformed reading", "The reading is not JSON") from error
    if not isinstance(content, dict):
        raise Problem(400, "Malformed reading", "The reading is not a JSON object")
    return Reading(written, tuple(_warnings(content)))


def warnings_about(reading: str) -> list[str]:
    """What does not add up in a reading; it is stored all the same, as the real app did.

    >>> warnings_about('{"administrasi":{"suara_sah":5,"suara_tidak_sah":1,"suara_total":7},"chart":{"100025":5}}')
    ['suara_sah + suara_tidak_sah = 6, but suara_total = 7']
    """
    return _warnings(json.loads(reading)) if reading else []


def _warnings(content: dict[str, Any]) -> list[str]:
    votes, counts = _figures(content.get("chart")), _figures(content.get("administrasi"))
    found: list[str] = []
    if votes is None or counts is None:
        return ["chart and administrasi should hold whole numbers, none below zero"]
    valid, invalid, total = (counts.get(name) for name in ("suara_sah", "suara_tidak_sah", "suara_total"))
    if votes and valid is not None and sum(votes.values()) != valid:
        found.append(f"the votes add up to {sum(votes.values())}, but suara_sah = {valid}")
    if valid is not None and invalid is not None and total is not None and valid + invalid != total:
        found.append(f"suara_sah + suara_tidak_sah = {valid + invalid}, but suara_total = {total}")
    return found


def figures(reading: str) -> tuple[dict[str, int], dict[str, int]]:
    """The votes by candidate, and the administration's counts; empty where the reading has none that are numbers."""
    content = json.loads(reading) if reading else {}
    return _figures(content.get("chart")) or {}, _figures(content.get("administrasi")) or {}


def _figures(table: Any) -> dict[str, int] | None:
    if table is None:
        return {}
    if not isinstance(table, dict):
        return None
    good = all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in table.values())
    return table if good else None
