"""What values a key takes, as text, and its default, as TOML."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from mock_server.profile import units

QUANTITIES = {
    units.duration_s: "duration",
    units.size_bytes: "size",
    units.rate_bytes_per_s: "rate",
    units.events_per_s: "rate of events",
    units.ratio: "ratio",
}
"""What reads a quantity -> what it is called."""
_PLAIN = {
    types.NoneType: "must be left out",
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Any: "any value",
}
_SCALES: dict[str, dict[str, float]] = {
    "s": {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3},
    "B": {"MB": 1e6, "KB": 1e3, "KiB": 1024.0, "B": 1.0},
    "B/s": {"MB/s": 1e6, "KB/s": 1e3, "B/s": 1.0},
}
_LONGEST_PATTERN = 40
_TAGS = {"kind", "strategy", "distribution"}


def allowed(field: FieldInfo) -> str:
    """What may stand behind a key of a model: its type, its unit, its bounds or its words."""
    return _words(field.annotation, field.metadata)


def default(model: type[BaseModel], key: str) -> str:
    """What holds if the key is left out, as TOML in backticks; "needed" where it can't be, empty where nothing holds."""
    field = model.model_fields[key]
    if field.is_required():
        return "needed"
    written = model.model_construct().model_dump(mode="json", by_alias=True, include={key}, warnings=False)
    value = _without_none(written[field.alias or key])
    if isinstance(value, dict) and allowed(field) == "table":  # its keys have their own defaults, but which kind it is
        value = {name: one for name, one in value.items() if name in _TAGS}
    return "" if value in (None, "", [], {}) else f"`{_toml(value)}`"


def _without_none(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_none(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return value


def _words(annotation: Any, metadata: Iterable[Any]) -> str:
    annotation, metadata = _unwrapped(annotation, list(metadata))
    readers = {item.func for item in metadata if isinstance(item, BeforeValidator)}
    quantity = next((name for reader, name in QUANTITIES.items() if reader in readers), None)
    if quantity is not None:
        return quantity + _bounds(metadata, "s" if quantity == "duration" else "")
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _choice([one for one in get_args(annotation) if one is not types.NoneType], metadata)
    if origin is not None:
        return _composed(origin, get_args(annotation), metadata)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return _PLAIN[annotation] + _bounds(metadata, "")


def _unwrapped(annotation: Any, metadata: list[Any]) -> tuple[Any, list[Any]]:
    """The type itself, and all that is said beside it."""
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata = [*more, *metadata]
    return annotation, [
        inner for item in metadata for inner in (item.metadata if isinstance(item, FieldInfo) else [item])
    ]


def _composed(origin: Any, inner: tuple[Any, ...], metadata: list[Any]) -> str:
    if origin is Literal:
        return " or ".join(f"`{_toml(word)}`" for word in inner)
    if origin is tuple:
        return _listing(inner, metadata)
    if origin is dict:
        return f"table of {_words(inner[1], [])}"
    raise TypeError(origin)


def _choice(kinds: list[Any], metadata: list[Any]) -> str:
    unit = _unit_of_distribution(kinds)
    if unit is not None:
        return f"{_words(unit, [])}, or a distribution of them"
    if len(kinds) == 1:
        return _words(kinds[0], metadata)
    words = dict.fromkeys(_words(kind, []) for kind in kinds)
    return ", or ".join(words)


def _unit_of_distribution(kinds: list[Any]) -> Any:
    bare = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds]
    first = bare[0]
    if isinstance(first, type) and issubclass(first, units.Fixed):
        return first.__pydantic_generic_metadata__["args"][0]
    return None


def _listing(kinds: tuple[Any, ...], metadata: list[Any]) -> str:
    if kinds[-1] is not Ellipsis:
        return f"[{', '.join(_words(kind, []) for kind in kinds)}]"
    least = next((item.min_length for item in metadata if isinstance(item, MinLen)), 0)
    return f"list of {_words(kinds[0], [])}" + (f" (at least {least} of them)" if least else "")


def _bounds(metadata: list[Any], unit: str) -> str:
    bounds = []
    for item in metadata:
        match item:
            case Ge(ge=bound):
                bounds.append(f"at least {_number(bound, unit)}")
            case Gt(gt=bound):
                bounds.append(f"above {_number(bound, unit)}")
            case Le(le=bound):
                bounds.append(f"at most {_number(bound, unit)}")
            case Lt(lt=bound):
                bounds.append(f"below {_number(bound, unit)}")
            case MinLen(min_length=length):
                bounds.append(f"at least {length} long")
            case MaxLen(max_length=length):
                bounds.append(f"at most {length:,} long")
        pattern = getattr(item, "pattern", None)
        if pattern is not None and len(pattern) <= _LONGEST_PATTERN:
            bounds.append(f"like `{pattern}`")
    return f" ({', '.join(dict.fromkeys(bounds))})" if bounds else ""


def _number(bound: Any, unit: str) -> str:
    if bound == 2**63:
        return "2^63"
    return _quantity(float(bound), unit) if unit and bound else f"{bound:,}"


def _quantity(value: float, unit: str) -> str:
    for name, scale in _SCALES[unit].items():
        if value >= scale and (value / scale).is_integer():
            return f"{value / scale:.0f}{name}"
    return f"{value:g}{unit}"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(one)}' for key, one in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return json.dumps(_readable(value), ensure_ascii=False)
    return json.dumps(value)


def _readable(text: str) -> str:
    """A quantity in the largest unit of which it is a whole number; other text as it is."""
    for unit in ("B/s", "B", "s"):
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit():
            return _quantity(float(number), unit)
    return text
