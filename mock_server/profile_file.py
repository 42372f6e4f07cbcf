"""A profile file: the server's keys and its faults."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from mock_server.faults.registry import AnyFault, check_distinct_names
from mock_server.profile.forms import PAGES_PER_FORM
from mock_server.profile.server_profile import ServerProfile
from mock_server.profile.validation_messages import explain


class Profile(ServerProfile):
    """What a profile file holds: the server's keys, a seed and its faults."""

    seed: int = 0
    """Same seed, same service times and same pages hit."""
    forms: dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[int, Field(ge=1, le=999)]] = Field(
        default_factory=lambda: dict(PAGES_PER_FORM)
    )
    """Forms and their numbers of pages: no other page is taken."""
    faults: Annotated[tuple[AnyFault, ...], Field(strict=False)] = ()
    """What goes wrong, and when."""

    @model_validator(mode="after")
    def _has_distinct_faults(self) -> Profile:
        check_distinct_names(self.faults)
        return self


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
