"""Own clients: where the Python code that client.protocol names is found, and the digest by which it is recognised.

Nothing here imports or runs that code: harness/drive/client/own_client.py does, in the processes that send.

    "my_upload:Delivery"             as a scenario says it: the class Delivery of my_upload.py, in the scenario's folder
    "/path/to/my_upload.py:Delivery" the same once the scenario is loaded
    "acme"                           an entry point of an installed package, in the group upload_harness.protocols
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path

from harness.base.errors import UsageError
from harness.base.safe_files import MAX_TEXT_BYTES, read_bounded
from mock_server.profile.validation_messages import suggestion

ENTRY_POINT_GROUP = "upload_harness.protocols"
_AS_WRITTEN = re.compile(r"([A-Za-z_]\w*):([A-Za-z_]\w*)", re.ASCII)
_RESOLVED = re.compile(r"(/[^\x00-\x1f\x7f]+\.py):([A-Za-z_]\w*)")
_ENTRY_POINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class OwnClientFile:
    """The class of a Python file."""

    file: Path
    class_name: str


def check_own_client(name: str, built_in: Sequence[str]) -> str:
    """The name itself if it has the form of an own client's. Raises ValueError that lists what is allowed.

    Whether there is such a client is for the loader to find out: a run folder can be read where it is not installed.
    """
    if _AS_WRITTEN.fullmatch(name) or _RESOLVED.fullmatch(name) or _ENTRY_POINT.fullmatch(name):
        return name
    raise ValueError(explain_unknown(name, built_in))


def explain_unknown(name: str, built_in: Sequence[str]) -> str:
    """Why a name stands for no protocol: what is allowed, as the end of a sentence that begins with the name."""
    installed = installed_names()
    others = (
        f"an installed own client ({', '.join(installed)})" if installed else "an installed own client (there is none)"
    )
    return (
        f'is not one of {", ".join(built_in)}, nor {others}, nor "module:Class", an own client beside the scenario'
        f"{suggestion(name, [*built_in, *installed])}"
    )


def module_file(name: str) -> str:
    """The file that "my_upload:Delivery" names, relative to the scenario; "" for a name of another form.

    >>> module_file("my_upload:Delivery"), module_file("acme")
    ('my_upload.py', '')
    """
    match = _AS_WRITTEN.fullmatch(name)
    return f"{match[1]}.py" if match else ""


def class_name_of(name: str) -> str:
    """The class that a name with a colon names."""
    return name.rpartition(":")[2]


def display_name(name: str) -> str:
    """An own client as its scenario says it, for messages.

    >>> display_name("/home/me/my_upload.py:Delivery")
    'my_upload:Delivery'
    """
    own = parse_resolved_name(name)
    return name if own is None else f"{own.file.stem}:{own.class_name}"


def parse_resolved_name(name: str) -> OwnClientFile | None:
    """File and class of a loaded scenario's own client; None if it is an installed one."""
    match = _RESOLVED.fullmatch(name)
    return OwnClientFile(Path(match[1]), match[2]) if match else None


def installed_names() -> list[str]:
    """The own clients that installed packages offer."""
    return sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)})


def find_entry_point(name: str) -> EntryPoint:
    """The entry point of an installed own client. Raises UsageError if there is none, or more than one."""
    found = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if len(found) == 1:
        return found[0]
    number = f"{len(found)} installed packages offer it" if found else "no installed package offers it"
    message = f'client.protocol = "{name}": {number} (entry points in the group {ENTRY_POINT_GROUP})'
    raise UsageError(message)


def digest_own_client(name: str) -> str:
    """SHA-256 of an own client, by which every worker checks that it has the leader's; "" for "".

    Of a file: its bytes. Of an installed client: its package's name, version and Python files as they were installed.
    Raises UsageError if the file can't be read or the package is not installed.
    """
    if not name:
        return ""
    own = parse_resolved_name(name)
    return _digest_installed(find_entry_point(name)) if own is None else digest_file(own.file)


def digest_file(file: Path) -> str:
    """SHA-256 of a client's file. Raises UsageError if it can't be read."""
    return hashlib.sha256(read_client_source(file)).hexdigest()


def read_client_source(file: Path) -> bytes:
    """The bytes of a client's file. Raises UsageError if it can't be read."""
    try:
        return read_bounded(file, MAX_TEXT_BYTES)
    except OSError as error:
        message = f"the own client {file} can't be read: {error.strerror or error}"
        raise UsageError(message) from None


def _digest_installed(point: EntryPoint) -> str:
    distribution: Distribution | None = point.dist
    if distribution is None:
        message = (
            f'client.protocol = "{point.name}": the package that offers it has no metadata, so it can\'t be compared'
        )
        raise UsageError(message)
    lines = [f"{distribution.metadata['Name']} {distribution.version} {point.value}"]
    # RECORD has the digest of each installed file; those of bytecode and scripts differ from machine to machine.
    lines += sorted(
        f"{file} {file.hash.value if file.hash else ''}" for file in distribution.files or () if file.suffix == ".py"
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
