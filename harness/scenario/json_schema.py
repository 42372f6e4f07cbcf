"""JSON Schemas of the files that people write, for editors: completion, the description of a key, wrong values underlined.

A schema describes the text of a file: a duration is the string "10s", and there is no null, because TOML has none. It accepts
every file that the harness accepts. What depends on several keys, and the bound of a quantity, only the harness itself checks.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from harness.base.errors import UsageError
from harness.scenario.capacity_file import CapacityFile
from harness.scenario.clock_times import CLOCK_PATTERN, LISTS_OF_MOMENTS, MOMENTS
from harness.scenario.experiment import Experiment
from harness.scenario.loader import ThresholdsFile
from harness.scenario.scenario import Scenario
from mock_server.faults.registry import Profile
from mock_server.profile import units
from mock_server.profile.key_texts import key_texts
from mock_server.profile.validation_messages import suggestion

SCHEMA_FILE: Final = "scenario.schema.json"
"""What `harness init` writes beside a scenario, and the scenario's first line names."""
COMMENT: Final = "Written by harness schema"
FILES: Final[dict[str, type[BaseModel]]] = {
    "scenario": Scenario,
    "experiment": Experiment,
    "capacity": CapacityFile,
    "profile": Profile,
    "thresholds": ThresholdsFile,
}
"""Kinds of file: of harness run, harness experiment, harness capacity, python -m mock_server --profile, harness gate --thresholds."""
_TAGS = frozenset({"kind", "strategy", "distribution"})
"""Keys that choose between tables: always needed where they are, whatever the model's default is."""
_QUANTITIES = {
    name: TypeAdapter(quantity).json_schema()
    for name, quantity in {
        "duration": units.Duration,
        "size": units.Size,
        "rate": units.Rate,
        "event-rate": units.EventRate,
    }.items()
}
_TIME_OF_DAY = "time-of-day"
_NAME_OF_PATTERN = {schema["pattern"]: name for name, schema in _QUANTITIES.items()}
_REF = "#/$defs/"


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file (`FILES`), draft 2020-12. Raises UsageError for an unknown kind."""
    if kind not in FILES:
        message = f'"{kind}" is not one of {", ".join(FILES)}{suggestion(kind, list(FILES))}'
        raise UsageError(message)
    schema = _tidy(FILES[kind].model_json_schema(by_alias=True, schema_generator=_FileSchema))
    tables = schema.pop("$defs", {})
    names = {_REF + key: _REF + _short_name(key, table) for key, table in tables.items()}
    found = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$comment": COMMENT,
        **schema,
        "title": f"harness {kind}",
        "$defs": {names[_REF + key].removeprefix(_REF): table for key, table in tables.items()}
        | _QUANTITIES
        | {_TIME_OF_DAY: {"type": "string", "pattern": f"^{CLOCK_PATTERN}$", "examples": ["21:00"]}},
    }
    renamed: dict[str, Any] = _rename(found, names)
    return renamed


def schema_text(kind: str) -> str:
    """`schema_of` as the text of a file."""
    return json.dumps(schema_of(kind), indent=1, ensure_ascii=False) + "\n"


class _FileSchema(GenerateJsonSchema):
    """Schemas without a title for each key, with defaults as they are written in a file."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - a key is its own title
        """Never."""
        return False

    def model_schema(self, schema: Any) -> dict[str, Any]:
        """A table, with the text below each key in its source as description."""
        found = super().model_schema(schema)
        texts = key_texts(schema["cls"])
        for key, field in schema["cls"].model_fields.items():
            if key in texts:
                found["properties"][field.alias or key]["description"] = texts[key]
        return found

    def default_schema(self, schema: Any) -> dict[str, Any]:
        """A key that has a default."""
        found = super().default_schema(schema)
        write = _serializer_in(schema["schema"])
        if write is not None and isinstance(found.get("default"), int | float):
            found["default"] = write(found["default"])
        return found


def _serializer_in(schema: Any) -> Any:
    """The function that writes a quantity with its unit, below the validators around it; None if there is none."""
    while isinstance(schema, dict):
        serialization = schema.get("serialization", {})
        if serialization.get("type") == "function-plain":
            return serialization["function"]
        schema = schema.get("schema")
    return None


def _tidy(node: Any) -> Any:
    """The schema with named quantities, without null and OpenAPI's discriminators, and with the keys that choose a table needed."""
    if isinstance(node, list):
        return [_tidy(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: _tidy(value) for key, value in node.items() if not _is_left_out(key, value)}
    quantity = _NAME_OF_PATTERN.get(str(found.get("pattern")))
    if quantity is not None:
        found = {"$ref": _REF + quantity} | {key: found[key] for key in ("description", "default") if key in found}
    choices = [one for one in found.get("anyOf", ()) if one != {"type": "null"}]
    if len(choices) == 1:
        del found["anyOf"]
        found = choices[0] | found  # a key's own description outweighs that of its type
    elif choices:
        found["anyOf"] = choices
    keys = found.get("properties", {})
    for key in MOMENTS & keys.keys():
        keys[key] = _with_time_of_day(keys[key])
    for key in LISTS_OF_MOMENTS & keys.keys():
        point = keys[key].get("items", {}).get("prefixItems", [])
        point[:1] = map(_with_time_of_day, point[:1])
    tags = [key for key in _TAGS & keys.keys() if "const" in keys[key]]
    if tags:
        found["required"] = sorted({*found.get("required", ()), *tags})
    return found


def _with_time_of_day(moment: dict[str, Any]) -> dict[str, Any]:
    """A key that is a moment: with `starts_at` it may be a time of day."""
    if moment.get("$ref") != _REF + "duration":
        return moment
    rest = {key: value for key, value in moment.items() if key != "$ref"}
    return {"anyOf": [{"$ref": moment["$ref"]}, {"$ref": _REF + _TIME_OF_DAY}], **rest}


def _is_left_out(key: str, value: Any) -> bool:
    return (key == "default" and _has_null(value)) or (key == "discriminator" and "propertyName" in value)


def _has_null(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and any(map(_has_null, value.values())))


def _short_name(key: str, table: dict[str, Any]) -> str:
    """The name of a table: pydantic's, but for a distribution, which it names after its validators.

    >>> _short_name("Fixed_Annotated_int__BeforeValidator__", {"properties": {"value": {"$ref": "#/$defs/size"}}})
    'Fixed-size'
    """
    distribution = re.search(r"([A-Z][a-z]+)_Annotated_", key)
    if distribution is None:
        return key
    unit = next(one["$ref"] for one in table["properties"].values() if one.get("$ref", "").startswith(_REF))
    return f"{distribution[1]}-{unit.removeprefix(_REF)}"


def _rename(node: Any, names: dict[str, str]) -> Any:
    if isinstance(node, list):
        return [_rename(one, names) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        key: names.get(value, value) if key == "$ref" else _rename(value, names) for key, value in node.items()
    }  # fmt: skip
