"""Results of a benchmark as a JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.base.errors import UsageError

Results = TypeVar("Results", bound=BaseModel)


def write_results(path: Path, results: BaseModel) -> None:
    """Write the results as JSON."""
    path.write_text(results.model_dump_json(indent=1, by_alias=True) + "\n", "utf-8")


def read_results(path: Path, model: type[Results], what: str) -> Results:
    """Read what `write_results` wrote. Raises UsageError for anything else; `what` says in its message what was expected."""
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise UsageError(message) from None
    # the first error is enough: results of another format fail in every field
    except ValidationError as error:
        message = f"{path}: not {what}: {error.errors()[0]['msg']}"
        raise UsageError(message) from None
