"""Validation errors as messages for the user: the key, its value, and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_ITEM_END = re.compile(r' #\d+(?: ".*")?$')
"""How the text of a list item ends, so that the key after it is set off by a colon."""


def suggestion(word: str, allowed: Iterable[str]) -> str:
    """The most similar allowed word as a question, or "".

    >>> suggestion("wrokers", ["workers", "queue_capacity"])
    '; did you mean "workers"?'
    """
    near = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def explain(error: ValidationError, model: type[BaseModel], content: object) -> list[str]:
    """One line per problem: key, value, what is allowed. `content` is what was validated."""
    lines = [_line(dict(detail), model, content) for detail in error.errors(include_url=False)]
    return list(dict.fromkeys(lines))


def _line(detail: dict[str, Any], model: type[BaseModel], content: object) -> str:
    path = key_path(detail["loc"], content)
    key = describe_path(path, content) or "the file"
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        allowed = _keys_beside(path[:-1], detail["loc"], model)
        near = suggestion(str(path[-1]), allowed)
        return f"{key} is not a known key{near or _listing(allowed)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _union_line(key, context, value)
    if kind == "literal_error":
        allowed_words = str(context["expected"]).replace("'", '"')
        words = [word.strip(' "') for word in allowed_words.replace(" or ", ",").split(",")]
        return f"{key} = {_value_text(value)} is not one of {allowed_words}{suggestion(str(value), words)}"
    message = str(detail["msg"])
    message = message.removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "value_error":
        # A table is not printed: it may hold a secret.
        subject = f"{key}:" if isinstance(value, dict) else f"{key} = {_value_text(value)}"
        return f"{subject} {message}" if path else message
    return f"{key} = {_value_text(value)} should be {message}"


def _union_line(key: str, context: dict[str, Any], value: object) -> str:
    name = str(context.get("discriminator", "kind")).strip("'")
    name = "distribution" if name.endswith("()") else name
    if "tag" not in context:
        allowed = "needs a table with a key" if isinstance(value, dict) else "should be a table with a key"
        return f'{key} = {_value_text(value)} {allowed} "{name}"'
    words = [word.strip(" '") for word in str(context["expected_tags"]).split(",")]
    listed = ", ".join(words)
    inner = f"{key}: {name}" if _ITEM_END.search(key) else f"{key}.{name}"
    return f"{inner} = {_value_text(context['tag'])} is not one of {listed}{suggestion(str(context['tag']), words)}"


def describe_path(path: Sequence[int | str], content: object) -> str:
    """The path to a value as text: dotted keys, and items of lists as `describe_item` writes them.

    >>> describe_path(["faults", 1, "start"], {"faults": [{}, {"name": "brownout"}]})
    'faults #2 "brownout": start'
    """
    text, place = "", content
    for part in path:
        if isinstance(part, int):
            place = place[part] if isinstance(place, list | tuple) and part < len(place) else None
            text = describe_item(text, part, place.get("name") if isinstance(place, dict) else None)
        else:
            place = place.get(part) if isinstance(place, dict) else None
            text += f"{': ' if _ITEM_END.search(text) else '.' if text else ''}{part}"
    return text


def describe_item(items: str, index: int, name: object = None) -> str:
    """An item of a list: counted from 1, and with its name if it has one.

    >>> describe_item("faults", 0, "brownout"), describe_item("thresholds", 2)
    ('faults #1 "brownout"', 'thresholds #3')
    """
    return f"{items} #{index + 1}" + (f" {_value_text(name)}" if isinstance(name, str) and name else "")


def key_path(loc: tuple[int | str, ...], content: object) -> list[int | str]:
    """The parts of a pydantic `loc` that are keys or indexes in the content, without the union tags between them."""
    path: list[int | str] = []
    place = content
    for number, part in enumerate(loc):
        if isinstance(place, dict) and part in place:
            place = place[part]
        elif isinstance(place, list):
            place = place[int(part)] if isinstance(part, int) and part < len(place) else None
        elif not isinstance(place, dict) or number < len(loc) - 1 or _is_tag(part, place):
            continue
        path.append(part)
    return path


def _is_tag(part: int | str, table: dict[str, object]) -> bool:
    return part in {table.get("kind"), table.get("distribution")} or str(part).startswith("function-")


def _keys_beside(path: list[int | str], loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The keys that the table at `path` may have, according to the model."""
    found: list[type[BaseModel]] = [model]
    for part in path:
        if isinstance(part, int):
            continue
        found = [inner for outer in found for inner in _models_in(_annotation_of(outer, part))]
    tags = {str(part) for part in loc}
    # A path into a union fits several models: keep the one whose tag pydantic chose.
    tagged = [table for table in found if tags & _tags_of(table)]
    return [field.alias or key for table in tagged or found for key, field in table.model_fields.items()]


def _tags_of(model: type[BaseModel]) -> set[str]:
    return {
        str(value)
        for field in model.model_fields.values()
        for value in get_args(field.annotation)
        if isinstance(value, str)
    }


def _annotation_of(model: type[BaseModel], key: str) -> object:
    field = model.model_fields.get(key)
    return None if field is None else field.annotation


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _listing(allowed: list[str]) -> str:
    return f"; known keys: {', '.join(sorted(dict.fromkeys(allowed)))}" if allowed else ""


def _value_text(value: object) -> str:
    text = (
        f'"{value}"'
        if isinstance(value, str)
        else ("true" if value is True else "false" if value is False else repr(value))
    )
    return text if len(text) <= 80 else text[:77] + "..."
