"""Loading an own client: the one place that runs a scenario's Python code, and where its bugs are collected.

Loaded by workers only, and only with the digest that the leader found: `harness run` asks for --allow-code before.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.base.errors import UsageError
from harness.protocol import Delivery, Photo
from harness.scenario.own_client import (
    OwnClientFile,
    digest_own_client,
    find_entry_point,
    parse_resolved_name,
    read_client_source,
)
from harness.scenario.templating import ENVIRONMENT_PREFIX

_MAX_TRACEBACK_CHARACTERS = 4_000


class OwnClient:
    """A loaded own client: makes its deliveries, and keeps the first bug that shows."""

    def __init__(
        self, name: str, make: Callable[[Photo], Delivery], file: str, variables: Mapping[str, str] | None = None
    ) -> None:  # fmt: skip
        """`name` is what messages call it, `make` its class, `file` where its code is, `variables` what it may read."""
        self.name = name
        self.make = make
        self.variables = variables or {}
        self._file = file
        self.bug = ""
        """The first error of its code, with its traceback; "" while there was none."""

    def note_bug(self, error: BaseException) -> None:
        """Keep what went wrong in the client's code, if it is the first time; also written to the worker's log."""
        if self.bug:
            return
        self.bug = _format_error(error, self._file)
        sys.stderr.write(f"the own client {self.name}: {self.bug}\n")


def load_own_client(name: str, sha256: str, environment: Mapping[str, str]) -> OwnClient:
    """The own client of a loaded scenario's client.protocol; of the environment it gets what begins with TARGET_.

    Raises UsageError if its digest is not `sha256` ("" accepts any), if importing it fails, and if it is not a class with a
    method `attempt`.
    """
    if sha256 and digest_own_client(name) != sha256:
        message = f"the own client {name} is not the one that the leader has: copy the same code to every machine"
        raise UsageError(message)
    own = parse_resolved_name(name)
    if own is None:
        label, file, found = f'"{name}"', "", _load_entry_point(name)
        file = str(getattr(sys.modules.get(getattr(found, "__module__", "")), "__file__", ""))
    else:
        label, file = f"{own.file.name}:{own.class_name}", str(own.file)
        found = _find_class(own, label)
    if not isinstance(found, type) or not callable(getattr(found, "attempt", None)):
        message = f"the own client {label} is not a class with a method attempt(sender): see docs/how-to/own-client.md"
        raise UsageError(message)
    return OwnClient(label, found, file, own_variables(environment))


def own_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that an own client may read, as a scenario may."""
    return {name: value for name, value in environment.items() if name.startswith(ENVIRONMENT_PREFIX)}


def _load_entry_point(name: str) -> Any:
    try:
        return find_entry_point(name).load()
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever their code raises is reported as theirs
        message = f'the own client "{name}" can\'t be imported: {_format_error(error, "")}'
        raise UsageError(message) from None


def _find_class(own: OwnClientFile, label: str) -> Any:
    module = _run_module(own.file)
    found = getattr(module, own.class_name, None)
    if found is None:
        classes = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        listed = f"it defines {', '.join(classes)}" if classes else "it defines none"
        message = f"the own client {label}: {own.file} has no class {own.class_name}; {listed}"
        raise UsageError(message)
    return found


def _run_module(file: Path) -> ModuleType:
    """The module of a file, run once. Not by the import system: that would leave a __pycache__ beside the scenario, and might
    run yesterday's bytecode.
    """  # noqa: D205 - the reason belongs to the summary
    # A name that can't be that of an installed module, which a json.py beside the scenario must not replace.
    module = ModuleType(f"harness_own_client.{file.stem}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    try:
        exec(compile(read_client_source(file), str(file), "exec"), vars(module))  # noqa: S102 - allowed by --allow-code
    except Exception as error:  # noqa: BLE001 - as above
        message = f"the own client {file} can't be imported: {_format_error(error, str(file))}"
        raise UsageError(message) from None
    return module


def _format_error(error: BaseException, file: str) -> str:
    """An error and its traceback from the first line of `file` on: what called it is the harness's and says nothing."""
    *place, summary = traceback.format_exception_only(error)  # a SyntaxError names its place before
    frames = traceback.extract_tb(error.__traceback__)
    first = next((number for number, frame in enumerate(frames) if frame.filename == file), len(frames))
    lines = traceback.format_list(frames[first:])
    header = ["Traceback (most recent call last):\n"] if lines else []
    text = "".join([summary.rstrip() + "\n", *header, *lines, *place])
    return text.rstrip()[:_MAX_TRACEBACK_CHARACTERS]
