"""A profile file: the server's keys and its faults."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mock_server.faults.registry import Profile
from mock_server.profile.validation_messages import explain

__all__ = ["Profile", "ProfileError", "load_profile"]


class ProfileError(ValueError):
    """A profile file that cannot be used; `lines` has one message per problem."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        super().__init__("\n".join(f"{path}: {line}" for line in lines))
        self.lines = lines


def load_profile(path: Path) -> Profile:
    """The profile in a TOML file (or JSON, if the name ends in .json).

    Raises ProfileError with a line for each problem.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(path, [f"cannot be read: {error}"]) from error
    except ValueError as error:
        raise ProfileError(path, [f"is not {'JSON' if path.suffix == '.json' else 'TOML'}: {error}"]) from error
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        raise ProfileError(path, explain(error, Profile, content)) from error
