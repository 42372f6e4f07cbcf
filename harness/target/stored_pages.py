"""What a server of the user's holds in the end, as its scenario says it can be read; rows as the mock's `GET /stored` has them.

The mock's own store is read through its admin port: server_admin.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, TypeVar
from urllib.parse import quote

from harness.base.address import Origin
from harness.base.errors import UsageError
from harness.plan import Plan
from harness.scenario.target import StoredCommand, StoredFetch, StoredUrl
from harness.scenario.templating import Template, match_pattern
from harness.target.connect import open_connection

MAX_LIST_BYTES = 1_073_741_824
MAX_LINE_BYTES = 65_536
_CONCURRENT_FETCHES = 4
_CHUNK_BYTES = 262_144
_DIGEST = re.compile(r"[0-9a-f]{64}")
StoredRow = dict[str, Any]
_Name = TypeVar("_Name")


class StoreUnreadableError(Exception):
    """What the server holds could not be read; the text says why."""


class StoreClient:
    """The way to a target's store: its one address, and leave to send (`may_send` waits, or raises UnreadStockError)."""

    def __init__(
        self,
        origin: Origin,
        address: str,
        environment: Mapping[str, str],
        may_send: Callable[[], None],
        context: ssl.SSLContext | None = None,
    ) -> None:
        """`context` is for https; None trusts the system's authorities."""
        self.origin = origin
        self.address = address
        self.environment = environment
        self._may_send = may_send
        self._context = context

    @contextlib.contextmanager
    def get(self, path: str, headers: Mapping[str, str], timeout_s: float) -> Iterator[http.client.HTTPResponse]:
        """The answer to a GET. Raises UnreadStockError where none comes."""
        self._may_send()
        connection = http.client.HTTPConnection(self.origin.host, self.origin.port, timeout=timeout_s)
        try:
            connection.sock = open_connection(self.origin, self.address, self._context, timeout_s)
            connection.request("GET", path, headers={"Host": self.origin.host_header, **headers})
            yield connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = f"GET {path}: {type(error).__name__}: {error}"
            raise StoreUnreadableError(message) from error
        finally:
            connection.close()


def read_listing(source: StoredUrl, door: StoreClient, plan: Plan) -> Iterator[StoredRow]:
    """What a path of the target lists. Raises UnreadStockError where it can't be read whole."""
    headers = {name: template.fill({}) for name, template in _make_templates(source.headers, door.environment).items()}
    until_s = time.monotonic() + source.timeout
    with door.get(source.path, headers, source.timeout) as answer:
        if answer.status != http.HTTPStatus.OK:
            message = f"GET {source.path}: HTTP status {answer.status}"
            raise StoreUnreadableError(message)
        yield from _parse_rows(_read_lines(answer, until_s), source.format, source.name, plan)


def run_listing_command(source: StoredCommand, environment: Mapping[str, str], plan: Plan) -> Iterator[StoredRow]:
    """What a command lists; the caller has made sure that the user allows it. Raises UnreadStockError where it fails."""
    words = dict(enumerate(source.command))
    argv = [template.fill({}) for template in _make_templates(words, environment).values()]
    until_s = time.monotonic() + source.timeout
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL, timeout=source.timeout, check=False
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            what = "took too long" if isinstance(error, subprocess.TimeoutExpired) else str(error.strerror)
            message = f"the command {source.command[0]} {what}"
            raise StoreUnreadableError(message) from None
        if done.returncode != 0:
            message = f"the command {source.command[0]} ended with exit code {done.returncode}"
            raise StoreUnreadableError(message)
        output.seek(0)
        yield from _parse_rows(_read_lines(output, until_s + source.timeout), source.format, source.name, plan)


def fetch_planned_pages(source: StoredFetch, door: StoreClient, plan: Plan) -> Iterator[StoredRow]:
    """Every planned page that the target gives back, with the digest of what it gave.

    What stands under other names can't be seen so. Raises UnreadStockError where a page is neither there (200) nor not
    there (404, 410).
    """
    path = Template(source.path)
    headers = _make_templates(source.headers, door.environment)
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
        with door.get(where, filled, source.timeout) as answer:
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
    """Lines of a list, as long as it keeps to its limits."""
    total = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        total += len(line)
        if len(line) > MAX_LINE_BYTES or total > MAX_LIST_BYTES:
            message = (
                f"the list is too large: a line is above {MAX_LINE_BYTES:,} bytes or all of it above {MAX_LIST_BYTES:,}"
            )
            raise StoreUnreadableError(message)
        if time.monotonic() > until_s:
            message = "the list was not whole in time"
            raise StoreUnreadableError(message)
        yield line.decode("utf-8", "replace").strip()
    if isinstance(stream, http.client.HTTPResponse):
        _check_complete(stream, "the list")


def _check_complete(answer: http.client.HTTPResponse, what: str) -> None:
    """Raise UnreadStockError for a body that broke off: read piece by piece, http.client ends it without a word."""
    if answer.length:
        message = f"{what} broke off {answer.length:,} bytes before its end"
        raise StoreUnreadableError(message)


def _parse_rows(lines: Iterator[str], form: str, name: str, plan: Plan) -> Iterator[StoredRow]:
    planned = _PlannedPages(plan)
    found = match_pattern(f"{name}")
    for line in filter(None, lines):
        try:
            if form == "json":
                yield planned.from_json(json.loads(line))
            elif form == "digests":
                yield planned.by_digest(_parse_digest(line))
            else:
                digest, _, path = line.removeprefix("\\").partition(" ")
                yield planned.by_name(_parse_digest(digest), path.strip().removeprefix("*"), found)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            message = f"the list has a line that is no {form}: {line[:80]!r} ({error})"
            raise StoreUnreadableError(message) from None


def _parse_digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        message = "no SHA-256 in small hexadecimal"
        raise ValueError(message)
    return text


class _PlannedPages:
    """Finds the planned page that a listed thing is, or says that it is none."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._by_digest: dict[str, int] | None = None

    def from_json(self, row: dict[str, Any]) -> StoredRow:
        """A row that says everything itself; `size_bytes`, `reading` and `stored_at` may be missing."""
        page, size_bytes = int(row["page"]), int(row.get("size_bytes", 0))
        if not (0 <= page < 2**31 and 0 <= size_bytes < 2**63):
            message = "a number is out of range"
            raise ValueError(message)
        found = _stored_row(str(row["station"]), str(row["form"]), page, _parse_digest(str(row["sha256"])), size_bytes)
        reading, stored_at = row.get("reading"), row.get("stored_at")
        found["reading"] = None if reading is None else str(reading)
        found["stored_at"] = None if stored_at is None else float(stored_at)
        return found

    def by_name(self, digest: str, path: str, found: re.Pattern[str]) -> StoredRow:
        """A file by its name; one that is named otherwise is nobody's page, with its name in the station's place."""
        match = next((match for match in found.finditer(f"/{path}") if match.end() == len(path) + 1), None)
        if match is None or not {"station", "form", "page"} <= match.groupdict().keys():
            return _stored_row(path[-200:], "", 0, digest, 0)
        return _stored_row(match["station"], match["form"], int(match["page"]), digest, 0)

    def by_digest(self, digest: str) -> StoredRow:
        """A photo of which only the digest is told: it is the page with that digest, if there is one."""
        if self._by_digest is None:
            self._by_digest = {page.sha256: page.index for page in self._plan}
        index = self._by_digest.get(digest)
        key = ("", "", 0) if index is None else self._plan.key(index)
        return _stored_row(*key, digest, 0)


def _stored_row(station: str, form: str, page: int, sha256: str, size_bytes: int) -> StoredRow:
    """A stored copy; a size of 0 is not told, nor are its reading and its time."""
    return {"station": station, "form": form, "page": page, "sha256": sha256, "size_bytes": size_bytes, "reading": None}
