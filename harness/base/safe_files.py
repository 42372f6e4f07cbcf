"""Reading files that may come from a stranger: bounded size, no path outside a folder, JSON and TOML checked against a model.

Only file contents are untrusted. A path on the command line is the user's own decision and may lead anywhere.
"""

from __future__ import annotations

import errno
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from harness.base.errors import ConfigurationError, RunFolderError
from mock_server.profile.validation_messages import explain

MAX_FILE_BYTES = 256_000_000
"""Four times a region file that lists two million stations one by one, the largest legitimate file."""
MAX_TEXT_BYTES = 16_000_000
"""Limit for files that people write: scenarios, experiments, thresholds."""

LIST_AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""For tuple fields of strict, frozen models: TOML and JSON arrays are parsed as lists."""

Model = TypeVar("Model", bound=BaseModel)


def read_bounded(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The content of a file of at most `max_bytes`.

    Raises OSError, also if the file is larger. The size is checked by reading one byte more, not by stat: a device or a FIFO
    has size 0 and never ends.
    """
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        message = f"is larger than {max_bytes / 1e6:,.0f} MB"
        raise OSError(errno.EINVAL, message, str(path))
    return content


def resolve_inside(folder: Path, name: str) -> Path:
    """The absolute path of `name` within `folder`, with links resolved.

    Raises ValueError if it points outside the folder: as an absolute path, by "..", or through a symbolic link.
    """
    if not name or not name.isprintable():  # control characters would reach the terminal in error messages
        message = "is not a valid path"
        raise ValueError(message)
    root = folder.resolve()
    path = (root / name).resolve()  # resolve first: a check of the spelling alone would miss links
    if not path.is_relative_to(root):
        message = "points outside the file's own folder: only the command line may do that (--set)"
        raise ValueError(message)
    return path


def find_symlinks(folder: Path) -> list[Path]:
    """Every symbolic link in a folder and its subfolders: reading or writing through one would leave the folder."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink())


def parse_json(content: bytes | str) -> Any:
    """The value of a JSON text. Raises ValueError if it is not JSON, nested too deeply to parse, or has half a character."""
    try:
        value = json.loads(content)
        # JSON may spell half of a UTF-16 pair, which no file, terminal or database can hold: later it would be a traceback.
        # Looked for only where there is such an escape: it costs as much as parsing.
        if _has_surrogate_escape(content):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:  # about 1,000 nested brackets suffice, and RecursionError is not a ValueError
        message = "nested too deeply"
        raise ValueError(message) from None
    except UnicodeEncodeError:
        message = "contains a lone surrogate (\\ud800 to \\udfff), which is half a character"
        raise ValueError(message) from None
    return value


def _has_surrogate_escape(content: bytes | str) -> bool:
    if isinstance(content, bytes):
        return b"\\u" in content and (b"\\ud" in content or b"\\uD" in content)
    return "\\u" in content and ("\\ud" in content or "\\uD" in content)


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises OSError if it cannot be read, ValueError if it is not JSON."""
    return parse_json(read_bounded(path))


def load_json(path: Path, model: type[Model], *, advice: str = "") -> Model | None:
    """The content of a JSON file of the harness as `model`, or None if there is no such file.

    Raises RunFolderError if it cannot be read or does not match the model; `advice` is appended to the message.
    """
    try:
        return model.model_validate_json(read_bounded(path))  # pydantic's parser limits the nesting itself
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        message = f"{path} can't be read: {explain_unreadable(error)}{advice}"
        raise RunFolderError(message) from None


def write_json(path: Path, content: object, *, durable: bool = False) -> None:
    """Write a JSON file atomically: a reader sees the old content or the new, never half a file.

    With `durable` this holds after a power cut too, and the file is on the disk when this returns.
    """
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    if durable:
        sync(unfinished)  # before the rename: its name could be on the disk before its content
    os.replace(unfinished, path)
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Put a file's content, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explain_unreadable(error: OSError | ValidationError) -> str:
    """Why a JSON file cannot be used, in one line: the system's reason, or the first wrong key and what is wrong with it.

    >>> explain_unreadable(NotADirectoryError(20, "Not a directory", "a/b"))
    'Not a directory'
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    detail = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = ".".join(str(part) for part in detail["loc"])
    text = f"{key}: {detail['msg']}" if key else detail["msg"]
    more = error.error_count() - 1
    return f"{text} (and {more} more)" if more else text


def load_toml(path: Path, model: type[Model]) -> Model:
    """The content of a TOML file as `model`. Raises ConfigurationError with all problems of the file."""
    return validate_content(str(path), parse_toml(str(path), read_text(path)), model)


def read_text(path: Path) -> str:
    """The text of a file that people write. Raises ConfigurationError if it cannot be read.

    Accepts a byte order mark, which some Windows editors put at the beginning and TOML does not allow.
    """
    try:
        return read_bounded(path, MAX_TEXT_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), [f"can't be read: {error}"]) from None


def parse_toml(label: str, text: str) -> dict[str, Any]:
    """The content of a TOML text; `label` names it in messages. Raises ConfigurationError if it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(label, [_explain_toml(text, str(error))]) from None


_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_DUPLICATE = ("Cannot overwrite a value", "Cannot declare", "Duplicate inline table key")


def _explain_toml(text: str, message: str) -> str:
    r"""What is wrong with a TOML text. The parser calls a duplicate key "Cannot overwrite a value" and does not name it.

    >>> _explain_toml("seed = 1\nseed = 2\n", "Cannot overwrite a value (at line 2, column 9)")
    'duplicate key "seed" in line 2: give it once'
    """
    place = _TOML_PLACE.search(message)
    lines = text.rstrip().splitlines()
    if place is None or not lines or not message.startswith(_DUPLICATE):
        return f"is not TOML: {message}"
    number = min(int(place[1] or len(lines)), len(lines))
    line = lines[number - 1].partition("#")[0].strip()
    if line.startswith("["):
        return f"duplicate table {line} in line {number}: put its keys into one, or write [[…]] for each item of a list"
    inner = re.search(r"Duplicate inline table key '(.*)'", message)
    key = inner[1] if inner else line.partition("=")[0].strip()
    return f'duplicate key "{key}" in line {number}: give it once'


def validate_content(label: str, content: dict[str, Any], model: type[Model]) -> Model:
    """The content as `model`; `label` names it in messages. Raises ConfigurationError with all problems."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigurationError(label, explain(error, model, content)) from None
