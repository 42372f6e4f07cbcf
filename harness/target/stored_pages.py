"""What an external target has stored after a run, read as its scenario describes. Rows have the form of the mock's `GET /stored`.

The mock's own store is read through its admin port: mock_admin.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import re
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import IO, Any, TypeVar
from urllib.parse import quote

from harness.base.address import Origin
from harness.base.errors import UsageError
from harness.base.safe_files import parse_json
from harness.plan import Plan
from harness.scenario.target import StoredCommand, StoredFetch, StoredUrl
from harness.scenario.templating import ENVIRONMENT_PREFIX, Template, match_pattern
from harness.target.aws_signature import EMPTY_SHA256, AwsSigner, signed_headers
from harness.target.connect import open_connection

MAX_LIST_BYTES = 1_073_741_824
MAX_LINE_BYTES = 65_536
_CONCURRENT_FETCHES = 4
_MAX_QUOTED = 300
"""Of a command's last line."""
_CHUNK_BYTES = 262_144
_DIGEST = re.compile(r"[0-9a-f]{64}")
StoredRow = dict[str, Any]
_Name = TypeVar("_Name")


class StoreUnreadableError(Exception):
    """The target's store could not be read, or not to its end; the text says why."""


class StoreClient:
    """HTTP client for a target's store: one IP address, and never faster than the target consents to."""

    def __init__(
        self,
        origin: Origin,
        address: str,
        environment: Mapping[str, str],
        wait_for_leave: Callable[[], None],
        context: ssl.SSLContext | None = None,
        signer: AwsSigner | None = None,
    ) -> None:
        """`wait_for_leave` is called before each request: it waits, or raises StoreUnreadableError.

        `context` is for https; None trusts the system's authorities. `signer` signs each request.
        """
        self.origin = origin
        self.address = address
        self.environment = environment
        self._wait_for_leave = wait_for_leave
        self._context = context
        self._signer = signer

    @contextlib.contextmanager
    def get(self, path: str, headers: Mapping[str, str], timeout_s: float) -> Iterator[http.client.HTTPResponse]:
        """The response to a GET. Raises StoreUnreadableError if there is none."""
        self._wait_for_leave()
        connection = http.client.HTTPConnection(self.origin.host, self.origin.port, timeout=timeout_s)
        try:
            # a socket of our own, so that http.client resolves no name: the run keeps to one address
            connection.sock = open_connection(self.origin, self.address, self._context, timeout_s)
            sent = {"Host": self.origin.host_header, **headers}
            if self._signer is not None:
                sent |= self._signer.sign("GET", path, signed_headers(sent), EMPTY_SHA256, datetime.now(UTC))
            connection.request("GET", path, headers=sent)
            yield connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = f"GET {path}: {type(error).__name__}: {error}"
            raise StoreUnreadableError(message) from error
        finally:
            connection.close()


def read_listing(source: StoredUrl, client: StoreClient, plan: Plan) -> Iterator[StoredRow]:
    """Stored copies that a path of the target lists. Raises StoreUnreadableError if the list is not complete."""
    headers = {
        name: template.fill({}) for name, template in _make_templates(source.headers, client.environment).items()
    }
    until_s = time.monotonic() + source.timeout
    with client.get(source.path, headers, source.timeout) as answer:
        if answer.status != http.HTTPStatus.OK:
            message = f"GET {source.path}: HTTP status {answer.status}"
            raise StoreUnreadableError(message)
        yield from _parse_rows(_read_lines(answer, until_s), source.format, source.name, plan)


def run_listing_command(source: StoredCommand, environment: Mapping[str, str], plan: Plan) -> Iterator[StoredRow]:
    """Stored copies that a command lists. Raises StoreUnreadableError if it fails.

    The caller has checked that the user allows it (--allow-command). No shell is involved.
    """
    arguments = dict(enumerate(source.command))
    argv = [template.fill({}) for template in _make_templates(arguments, environment).values()]
    until_s = time.monotonic() + source.timeout
    # Not pipes: the list may be a gigabyte, and its end is checked first.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, timeout=source.timeout, check=False
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            what = "took too long" if isinstance(error, subprocess.TimeoutExpired) else str(error.strerror)
            message = f"the command {source.command[0]} {what}"
            raise StoreUnreadableError(message) from None
        if done.returncode != 0:
            message = (
                f"the command {source.command[0]} exited with code {done.returncode}{_last_line(errors, environment)}"
            )
            raise StoreUnreadableError(message)
        output.seek(0)
        yield from _parse_rows(_read_lines(output, until_s + source.timeout), source.format, source.name, plan)


def _last_line(errors: IO[bytes], environment: Mapping[str, str]) -> str:
    """What a command said last on stderr, to be appended to a message; without values of the environment."""
    errors.seek(max(0, errors.seek(0, io.SEEK_END) - MAX_LINE_BYTES))
    lines = errors.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    for name, value in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX) and len(value) > 3:
            last = last.replace(value, f"${{{name}}}")
    return f": {last[:_MAX_QUOTED]}" if last else ""


def fetch_planned_pages(source: StoredFetch, client: StoreClient, plan: Plan) -> Iterator[StoredRow]:
    """Every planned page that the target returns, with the digest of the returned bytes.

    Copies under other names are not found this way. Raises StoreUnreadableError if a page is neither present (200) nor absent
    (404, 410): then it is unknown whether it is stored.
    """
    path = Template(source.path)
    headers = _make_templates(source.headers, client.environment)
    until_s = time.monotonic() + source.timeout

    def check_time() -> None:
        if time.monotonic() > until_s:
            message = f"fetching {plan.pages:,} pages took longer than target.stored.timeout ({source.timeout:g} s)"
            raise StoreUnreadableError(message)

    def fetch(index: int) -> StoredRow | None:
        check_time()
        page = plan.page(index)
        key = {"station": page.station, "form": page.form, "page": str(page.page), "sha256": page.sha256}
        where = path.fill({name: quote(value, safe="") for name, value in key.items()})
        filled = {name: template.fill(key) for name, template in headers.items()}
        with client.get(where, filled, source.timeout) as answer:
            if answer.status in {404, 410}:
                return None
            if answer.status != http.HTTPStatus.OK:
                message = f"GET {where}: HTTP status {answer.status}"
                raise StoreUnreadableError(message)
            digest, size = hashlib.sha256(), 0
            while piece := answer.read(_CHUNK_BYTES):
                digest.update(piece)
                size += len(piece)
                check_time()
            _check_complete(answer, where)
        return _stored_row(page.station, page.form, page.page, digest.hexdigest(), size)

    with ThreadPoolExecutor(_CONCURRENT_FETCHES, thread_name_prefix="fetch") as pool:
        yield from (row for row in pool.map(fetch, range(plan.pages)) if row is not None)


def _make_templates(texts: Mapping[_Name, str], environment: Mapping[str, str]) -> dict[_Name, Template]:
    try:
        return {name: Template(text, environment) for name, text in texts.items()}
    except UsageError as error:
        raise StoreUnreadableError(str(error)) from None


def _read_lines(stream: IO[bytes] | http.client.HTTPResponse, until_s: float) -> Iterator[str]:
    """Lines of a list, within the limits of size and time."""
    total = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        total += len(line)
        if len(line) > MAX_LINE_BYTES or total > MAX_LIST_BYTES:
            message = f"the list is too large: a line of more than {MAX_LINE_BYTES:,} bytes, or more than {MAX_LIST_BYTES:,} in total"
            raise StoreUnreadableError(message)
        if time.monotonic() > until_s:
            message = "the list was not complete in time"
            raise StoreUnreadableError(message)
        yield line.decode("utf-8", "replace").strip()
    if isinstance(stream, http.client.HTTPResponse):
        _check_complete(stream, "the list")


def _check_complete(answer: http.client.HTTPResponse, what: str) -> None:
    """Raise StoreUnreadableError if the body ended too early: http.client does not raise if it is read in pieces."""
    if answer.length:
        message = f"{what} ended {answer.length:,} bytes too early"
        raise StoreUnreadableError(message)


def _parse_rows(lines: Iterator[str], form: str, name: str, plan: Plan) -> Iterator[StoredRow]:
    planned = _PlannedPages(plan)
    name_pattern = match_pattern(name)
    for line in filter(None, lines):
        try:
            if form == "json":
                yield planned.from_json(parse_json(line))
            elif form == "digests":
                yield planned.by_digest(_parse_digest(line))
            else:
                # GNU sha256sum: "digest  name", "digest *name" for binary, a leading backslash if the name is escaped
                digest, _, path = line.removeprefix("\\").partition(" ")
                yield planned.by_name(_parse_digest(digest), path.strip().removeprefix("*"), name_pattern)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            message = f"the list has a line that is not in the format {form}: {line[:80]!r} ({error})"
            raise StoreUnreadableError(message) from None


def _parse_digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        message = "not a lowercase hexadecimal SHA-256"
        raise ValueError(message)
    return text


class _PlannedPages:
    """Finds the planned page of each listed copy, if there is one."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._by_digest: dict[str, int] | None = None

    def from_json(self, row: dict[str, Any]) -> StoredRow:
        """A row with all keys; `size_bytes`, `reading` and `stored_at` are optional."""
        page, size_bytes = int(row["page"]), int(row.get("size_bytes", 0))
        if not (0 <= page < 2**31 and 0 <= size_bytes < 2**63):
            message = "a number is out of range"  # of the columns of stored.parquet
            raise ValueError(message)
        found = _stored_row(str(row["station"]), str(row["form"]), page, _parse_digest(str(row["sha256"])), size_bytes)
        reading, stored_at = row.get("reading"), row.get("stored_at")
        found["reading"] = None if reading is None else str(reading)
        found["stored_at"] = None if stored_at is None else float(stored_at)
        return found

    def by_name(self, digest: str, path: str, pattern: re.Pattern[str]) -> StoredRow:
        """A file by its name. A name that does not match the template is kept in `station`, so that it counts as unexpected."""
        match = next((match for match in pattern.finditer(f"/{path}") if match.end() == len(path) + 1), None)
        if match is None or not {"station", "form", "page"} <= match.groupdict().keys():
            return _stored_row(path[-200:], "", 0, digest, 0)
        return _stored_row(match["station"], match["form"], int(match["page"]), digest, 0)

    def by_digest(self, digest: str) -> StoredRow:
        """A copy of which only the digest is known: it is the planned page with that digest, if there is one."""
        if self._by_digest is None:
            # a million digests take seconds: only if the format needs them
            self._by_digest = {page.sha256: page.index for page in self._plan}
        index = self._by_digest.get(digest)
        key = ("", "", 0) if index is None else self._plan.key(index)
        return _stored_row(*key, digest, 0)


def _stored_row(station: str, form: str, page: int, sha256: str, size_bytes: int) -> StoredRow:
    """A stored copy. A size of 0 means unknown, as do a reading of None and a missing time."""
    return {"station": station, "form": form, "page": page, "sha256": sha256, "size_bytes": size_bytes, "reading": None}
