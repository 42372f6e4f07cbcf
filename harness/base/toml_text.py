"""Text of a TOML file from plain values: what `tomllib`, which only reads, does not do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(content: Mapping[str, Any]) -> str:
    """The file: scalars first, then a table per mapping and an array of tables per list of mappings; None is left out.

    Tables within tables are written inline. `tomllib.loads` gives back the content without its None.

    >>> print(toml_text({"server": {"workers": 2, "knee": None}, "name": "a", "faults": [{"kind": "down"}]}), end="")
    name = "a"
    <BLANKLINE>
    [server]
    workers = 2
    <BLANKLINE>
    [[faults]]
    kind = "down"
    """
    plain = {key: value for key, value in content.items() if not _is_table(value) and not _is_array_of_tables(value)}
    parts = [_pairs(plain)]
    for key, value in content.items():
        if _is_table(value):
            parts.append(f"[{_key(key)}]\n{_pairs(value)}")
        elif _is_array_of_tables(value):
            parts += [f"[[{_key(key)}]]\n{_pairs(one)}" for one in value]
    return "\n".join(part for part in parts if part)


def toml_value(value: Any) -> str:
    """One value, on one line.

    >>> toml_value({"distribution": "fixed", "value": "3ms"})
    '{ distribution = "fixed", value = "3ms" }'
    """
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {toml_value(one)}" for key, one in value.items() if one is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return _scalar(value)


def _pairs(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {toml_value(value)}\n" for key, value in table.items() if value is not None)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _scalar(name)


def _scalar(value: object) -> str:
    """JSON's texts, numbers and booleans are TOML's too, but for DEL, and for pairs of escaped surrogates."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_array_of_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_table, value))
