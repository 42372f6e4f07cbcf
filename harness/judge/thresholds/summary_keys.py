"""Dotted keys into a summary: which there are, of what unit, and what they hold."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from harness.analysis.percentile import QUANTILES, min_sample_size
from harness.analysis.summary import Distribution, Summary
from harness.base.model import OUTCOMES
from harness.judge.thresholds.units import Unit, unit_from_name
from harness.run_folder.journal import GiveUpReason
from mock_server.profile.validation_messages import suggestion

_NAMED_BY = {"recovery": "fault", "kelurahan": "code"}
"""Lists whose entries a key can name, and by which of their fields."""
_WORDS = {
    "by_outcome": [str(outcome) for outcome in OUTCOMES],
    "gave_up_by_reason": [reason.name.lower() for reason in GiveUpReason],
}
"""Tables whose keys are fixed lists."""
_WITHOUT_UNIT = {"count", "never"}


def unit_of_key(key: str) -> Unit:
    """The unit of the figure that a key names.

    Raises ValueError for a key that there is not, or that names no number; says what there is.
    """
    kind: object = Summary
    parts = key.split(".")
    for place, part in enumerate(parts):
        inside = ".".join(parts[:place])
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            holder: type[BaseModel] = kind
            kind = _field(holder, part, inside)
            if place == len(parts) - 1 and _is_number(kind):
                in_seconds = issubclass(holder, Distribution) and part not in _WITHOUT_UNIT
                return "s" if in_seconds else unit_from_name(part)
        else:
            kind = _entry(kind, part, parts[place - 1], inside)
            if place == len(parts) - 1 and _is_number(kind):
                return ""
    message = f"{key} is no figure{_offer(kind, key, parts[-1])}"
    raise ValueError(message)


def summary_value(summary: Summary, key: str) -> float | None:
    """What a key holds; None where there is no such figure. The key must have passed `unit_of_key`.

    A word that a table of counts lacks has counted nothing, unless the table is empty for want of anything to count.
    """
    place: Any = summary
    before: Any = None
    for part in key.split("."):
        before, parent = place, before
        if isinstance(place, dict):
            place = place.get(part, 0 if _counts(parent) else None)
        elif isinstance(place, list):
            place = next((entry for entry in place if str(getattr(entry, _name_field(entry))) == part), None)
        else:
            place = getattr(place, part, None)
    return None if place is None or isinstance(place, BaseModel) else float(place)


def why_no_value(summary: Summary, key: str) -> str:
    """Why a key holds no figure, in words."""
    parts = key.split(".")
    if parts[0] == "audit":
        return "what the server holds could not be read, or not so that this shows: nobody knows"
    holder: Any = summary
    for part in parts[:-1]:
        if isinstance(holder, list):
            holder = next((entry for entry in holder if str(getattr(entry, _name_field(entry))) == part), None)
        else:
            holder = holder.get(part) if isinstance(holder, dict) else getattr(holder, part, None)
    if isinstance(holder, Distribution):
        return why_no_percentile(holder.count, holder.never, QUANTILES.get(parts[-1]))
    if parts[0] == "recovery" and holder is not None and parts[-1] == "metastable":
        return "there is no telling: too little was delivered before the fault, or seen after it"
    if parts[0] == "recovery":
        return "it never recovered" if holder is not None else f"no fault {parts[1]} ended within the run"
    return "there is no such figure for this run"


def why_no_percentile(count: int, never: int, quantile: float | None) -> str:
    """Why a sample of `count` has no such percentile (`quantile` None: no mean or greatest value), in words."""
    if count == 0:
        return "there is nothing to count"
    if quantile is not None and count < min_sample_size(quantile):
        return f"n/a (needs {min_sample_size(quantile):,}; there are {count:,})"
    return f"it never arrived: {never:,} of {count:,} did not"


def _field(model: type[BaseModel], name: str, inside: str) -> object:
    field = model.model_fields.get(name)
    if field is None:
        place = f" in {inside}" if inside else ""
        message = f'there is no "{name}"{place}{_near(name, list(model.model_fields))}'
        raise ValueError(message)
    return field.annotation


def _entry(kind: object, part: str, table: str, inside: str) -> object:
    """Kind of an entry of a dictionary or list."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict and table != "intervals":
        allowed = _WORDS.get(table)
        if allowed is not None and part not in allowed:
            message = f'there is no "{part}" in {inside}{_near(part, allowed)}'
            raise ValueError(message)
        return arguments[1]
    if origin is list and table in _NAMED_BY:
        return arguments[0]
    message = f"{inside} holds no figure by the name of {part}"
    raise ValueError(message)


def _offer(kind: object, key: str, last: str) -> str:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f": it holds {', '.join(kind.model_fields)}"
    if last in _WORDS:
        return f": name one of {', '.join(_WORDS[last])}"
    if kind is str:
        return ": it is a text"
    return f": name an entry, as in {key}.<{_NAMED_BY[last]}>.…" if last in _NAMED_BY else ""


def _near(word: str, allowed: list[str]) -> str:
    return suggestion(word, allowed) or f"; there are {', '.join(allowed)}"


def _is_number(kind: object) -> bool:
    kinds = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
    return {one for one in kinds if one is not NoneType} <= {int, float, bool}


def _counts(holder: object) -> bool:
    """Whether the part of the summary that a table of counts stands in has counted anything at all."""
    total = getattr(holder, "total", getattr(holder, "scrapes", getattr(holder, "attempts", 1)))
    return bool(total)


def _name_field(entry: BaseModel) -> str:
    return next(field for field in _NAMED_BY.values() if field in type(entry).model_fields)
