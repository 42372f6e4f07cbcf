"""What an external target has stored after a run, read as its scenario describes. Rows have the form of the mock's `GET /stored`.

The mock's own store is read through its admin port: mock_admin.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import IO, TypeVar
from urllib.parse import quote

from harness.base.address import Origin
from harness.base.errors import UsageError
from harness.base.safe_files import parse_json
from harness.plan import Plan
from harness.scenario.target import ListedFields, StoredCommand, StoredFetch, StoredUrl
from harness.scenario.templating import ENVIRONMENT_PREFIX, Template
from harness.target.aws_signature import EMPTY_SHA256, AwsSigner, signed_headers
from harness.target.connect import open_connection
from harness.target.listing import (
    MAX_LIST_BYTES,
    DocumentReader,
    ItemParser,
    StoreUnreadableError,
    check_complete,
    read_array,
    read_s3_listing,
)
from harness.target.planned_pages import PlannedPages, StoredRow, parse_digest, stored_row

MAX_LINE_BYTES = 65_536
_CONCURRENT_FETCHES = 4
_MAX_QUOTED = 300
"""Of a command's last line."""
_CHUNK_BYTES = 262_144
_Name = TypeVar("_Name")


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
    until_s, planned = time.monotonic() + source.timeout, PlannedPages(plan)
    if source.format == "array":
        yield from read_array(source, DocumentReader(client.get, headers, until_s), client.origin, planned)
        return
    if source.format == "s3":
        yield from read_s3_listing(source, DocumentReader(client.get, headers, until_s), planned)
        return
    with client.get(source.path, headers, source.timeout) as answer:
        if answer.status != http.HTTPStatus.OK:
            message = f"GET {source.path}: HTTP status {answer.status}"
            raise StoreUnreadableError(message)
        lines = _read_lines(answer, until_s)
        yield from _parse_rows(lines, source.format, source.name, planned, source.fields)


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
        yield from _parse_rows(
            _read_lines(output, until_s + source.timeout), source.format, source.name, PlannedPages(plan)
        )


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
            check_complete(answer, where)
        return stored_row(page.key, digest.hexdigest(), size)

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
        check_complete(stream, "the list")


def _parse_rows(
    lines: Iterator[str], form: str, name: str, planned: PlannedPages, fields: ListedFields | None = None
) -> Iterator[StoredRow]:  # fmt: skip
    items = ItemParser(fields or ListedFields(), name, planned)
    name_pattern = planned.name_pattern(name)
    for line in filter(None, lines):
        try:
            if form == "json":
                yield items.row(parse_json(line))
            elif form == "digests":
                yield planned.by_digest(parse_digest(line))
            else:
                # GNU sha256sum: "digest  name", "digest *name" for binary, a leading backslash if the name is escaped
                digest, _, path = line.removeprefix("\\").partition(" ")
                key = planned.named(path.strip().removeprefix("*"), name_pattern)
                yield stored_row(key, parse_digest(digest), 0)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            message = f"the list has a line that is not in the format {form}: {line[:80]!r} ({error})"
            raise StoreUnreadableError(message) from None
