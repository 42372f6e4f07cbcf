"""Readings: the figures that the officers confirmed, sent with the photo as JSON with the names of KPU's public API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from mock_server.http.responses import Problem

MAX_READING_BYTES = 65_536
_MAX_DEPTH = 32
_MAX_FIGURES = 64
_NOMINEE = re.compile(r"[0-9]{1,9}")
_COUNT = re.compile(r"[a-z0-9_]{1,40}")
_UNCOUNTED = (
    f"chart and administrasi should hold at most {_MAX_FIGURES} whole numbers from 0 to 999999999, chart under numbers"
)


class Reading(NamedTuple):
    """The figures of a page as they were sent, and what does not add up in them: only a warning, as in the real app."""

    text: str = ""
    warnings: tuple[str, ...] = ()


def parse_reading(text: bytes) -> Reading:
    """The reading in a JSON object; an empty one if there is no text. Raises Problem 400."""
    if not text.strip():
        return Reading()
    try:
        content = json.loads(text)
        decoded = text.decode()
    except (ValueError, RecursionError) as error:
        raise Problem(400, "The reading is not JSON") from error
    if not isinstance(content, dict):
        raise Problem(400, "The reading is not a JSON object")
    if _is_deeper_than(_MAX_DEPTH, content):
        raise Problem(400, f"The reading is more than {_MAX_DEPTH} levels deep")
    return Reading(decoded, tuple(_warnings(content)))


def parse_reading_header(text: str) -> Reading:
    """The reading in the header `Reading`. Raises Problem 400 for one that is not JSON, 413 for one that is too large."""
    encoded = text.encode("utf-8", "surrogateescape")
    if len(encoded) > MAX_READING_BYTES:
        raise Problem(413, "The reading is too large")
    return parse_reading(encoded)


def _warnings(content: dict[str, Any]) -> list[str]:
    votes, counts = _figures(content.get("chart"), _NOMINEE), _figures(content.get("administrasi"), _COUNT)
    found: list[str] = []
    if votes is None or counts is None:
        return [_UNCOUNTED]
    valid, invalid, total = (counts.get(name) for name in ("suara_sah", "suara_tidak_sah", "suara_total"))
    if votes and valid is not None and sum(votes.values()) != valid:
        found.append(f"the votes add up to {sum(votes.values())}, but suara_sah = {valid}")
    if valid is not None and invalid is not None and total is not None and valid + invalid != total:
        found.append(f"suara_sah + suara_tidak_sah = {valid + invalid}, but suara_total = {total}")
    return found


def reading_figures(reading: str) -> tuple[dict[str, int], dict[str, int]]:
    """The votes by candidate, and the administrative counts; empty if the reading has none that can be counted.

    >>> reading_figures('{"chart":{"100025":105},"administrasi":{"suara_sah":1000000000}}')
    ({'100025': 105}, {})
    """
    content = json.loads(reading) if reading else {}
    return _figures(content.get("chart"), _NOMINEE) or {}, _figures(content.get("administrasi"), _COUNT) or {}


def _figures(table: Any, name: re.Pattern[str]) -> dict[str, int] | None:
    """The table if all of it can be summed and published, empty if it is left out, else None."""
    if table is None:
        return {}
    if not isinstance(table, dict) or len(table) > _MAX_FIGURES:  # bounds what one page adds to the public sums
        return None
    good = all(name.fullmatch(key) and _is_figure(value) for key, value in table.items())
    return table if good else None


def _is_figure(value: object) -> bool:
    # In Python True is an int; in the JSON of a reading it is not a figure.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9


def _is_deeper_than(max_depth: int, content: object) -> bool:
    """Whether lists and tables are nested more than `max_depth` deep.

    >>> _is_deeper_than(1, {"a": 1}), _is_deeper_than(1, {"a": []})
    (False, True)
    """
    level = [content]  # level by level: recursion could exhaust the stack
    for _ in range(max_depth):
        level = [inner for outer in level for inner in _children(outer) if isinstance(inner, dict | list)]
    return bool(level)


def _children(content: object) -> Iterable[object]:
    return content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
