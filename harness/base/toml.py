"""The user's TOML files: read, parsed and held against a model, each with what is wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.base.errors import ConfigurationError
from harness.base.safe_files import MAX_TEXT_BYTES, read_bounded
from mock_server.profile.validation_messages import explain

Model = TypeVar("Model", bound=BaseModel)


def read_text(path: Path) -> str:
    """A file's text, without the mark that some editors put before it. Raises ConfigurationError where it can't be read."""
    try:
        return read_bounded(path, MAX_TEXT_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), [f"can't be read: {error}"]) from None


def parse_toml(label: str, text: str) -> dict[str, Any]:
    """The content of a text; `label` names it in messages. Raises ConfigurationError for what is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(label, [f"is not TOML: {error}"]) from None


def validate_content(label: str, content: dict[str, Any], model: type[Model]) -> Model:
    """The content as a model; `label` names it in messages. Raises ConfigurationError with every problem."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigurationError(label, explain(error, model, content)) from None


def load_toml(path: Path, model: type[Model]) -> Model:
    """A file's content as a model. Raises ConfigurationError with every problem."""
    return validate_content(str(path), parse_toml(str(path), read_text(path)), model)
