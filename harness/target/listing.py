"""Lists that a target gives as whole documents: a JSON array, several pages of one, or S3's ListObjectsV2.

A list of one line per copy is streamed instead: stored_pages.py. Documents are bounded in size, number and time, and a next
page may only be on the target itself, because a list from a stranger's server must not lead the client elsewhere.
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_plus, urljoin, urlsplit
from xml.parsers import expat

from harness.base.address import Origin, parse_origin
from harness.base.json_pointer import resolve_pointer
from harness.base.safe_files import parse_json
from harness.scenario.target import ListedFields, StoredUrl
from harness.scenario.templating import Template
from harness.target.planned_pages import PlannedPages, StoredRow

MAX_DOCUMENT_BYTES = 67_108_864
MAX_LIST_BYTES = 1_073_741_824
MAX_DOCUMENTS = 100_000
_CHUNK_BYTES = 262_144
_MAX_TEXT_LENGTH = 8_192
"""Of one XML element: S3's keys have at most 1,024 bytes."""
_LINK_NEXT = re.compile(r"""<([^<>]*)>[^<>,]*;\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next\b)""", re.IGNORECASE)


class StoreUnreadableError(Exception):
    """The target's store could not be read, or not to its end; the text says why."""


Getter = Callable[[str, Mapping[str, str], float], AbstractContextManager[http.client.HTTPResponse]]
"""Path, headers and timeout in seconds -> the response."""


@dataclass
class DocumentReader:
    """Gets the documents of one list, within the limits of the whole list."""

    get: Getter
    headers: Mapping[str, str]
    until_s: float
    """By the monotonic clock."""
    _received: int = 0
    _asked: set[str] = field(default_factory=set)

    def read(self, path: str) -> tuple[bytes, str]:
        """The document at a path, and its Link header. Raises StoreUnreadableError."""
        if path in self._asked:
            message = f"the list leads back to {path}, which was read already"
            raise StoreUnreadableError(message)
        if len(self._asked) >= MAX_DOCUMENTS:
            message = f"the list has more than {MAX_DOCUMENTS:,} pages"
            raise StoreUnreadableError(message)
        self._asked.add(path)
        left_s = self.until_s - time.monotonic()
        if left_s <= 0:
            raise StoreUnreadableError(_NOT_IN_TIME)
        with self.get(path, self.headers, left_s) as answer:
            if answer.status != http.client.OK:
                message = f"GET {path}: HTTP status {answer.status}"
                raise StoreUnreadableError(message)
            return self._body(answer), ", ".join(answer.headers.get_all("Link") or ())

    def _body(self, answer: http.client.HTTPResponse) -> bytes:
        content = bytearray()
        while piece := answer.read(_CHUNK_BYTES):
            content += piece
            if len(content) > MAX_DOCUMENT_BYTES or self._received + len(content) > MAX_LIST_BYTES:
                message = (
                    f"the list is too large: more than {MAX_DOCUMENT_BYTES:,} bytes in one document, "
                    f"or more than {MAX_LIST_BYTES:,} in total"
                )
                raise StoreUnreadableError(message)
            if time.monotonic() > self.until_s:
                raise StoreUnreadableError(_NOT_IN_TIME)
        check_complete(answer, "the list")
        self._received += len(content)
        return bytes(content)


_NOT_IN_TIME = "the list was not complete in time"


def check_complete(answer: http.client.HTTPResponse, what: str) -> None:
    """Raise StoreUnreadableError if the body ended too early: http.client does not raise if it is read in pieces."""
    if answer.length:
        message = f"{what} ended {answer.length:,} bytes too early"
        raise StoreUnreadableError(message)


# --- JSON


def read_array(source: StoredUrl, reader: DocumentReader, origin: Origin, planned: PlannedPages) -> Iterator[StoredRow]:
    """Stored copies in a JSON array, or in the pages of one. Raises StoreUnreadableError if the list is not complete."""
    path, number = Template(source.path).fill({"number": str(source.first), "cursor": ""}), 1
    parse = ItemParser(source.fields, source.name, planned)
    while path:
        content, link = reader.read(path)
        try:
            document = parse_json(content)
        except ValueError as error:
            message = f"GET {path}: not JSON: {error}"
            raise StoreUnreadableError(message) from None
        items = resolve_pointer(document, source.items)
        if not isinstance(items, list):
            where = f"at {source.items}" if source.items else "as a whole"
            message = f"GET {path}: the document is not an array {where}: see target.stored.items"
            raise StoreUnreadableError(message)
        for item in items:
            yield parse.row(item)
        number += 1
        path = _next_path(source, path, document, link, origin, number if items else None)


def _next_path(
    source: StoredUrl, path: str, document: Any, link: str, origin: Origin, number: int | None
) -> str:  # fmt: skip
    """Path of the next page; "" after the last one. `number` counts the pages from 1; None after an empty one."""
    if source.next == "number":
        filled = None if number is None else str(source.first + number - 1)
        return "" if filled is None else Template(source.path).fill({"number": filled})
    if source.next == "link":
        found = _LINK_NEXT.search(link)
        return "" if found is None else _on_target(found[1], path, origin)
    token = resolve_pointer(document, source.next) if source.next else None
    if token is None or token is False or token == "":
        return ""
    if not isinstance(token, str | int):
        message = f"{source.next} should lead to the next page, but it is {type(token).__name__}"
        raise StoreUnreadableError(message)
    if source.uses_cursor:
        return Template(source.path).fill({"cursor": quote(str(token), safe="")})
    return _on_target(str(token), path, origin)


def _on_target(reference: str, path: str, origin: Origin) -> str:
    """The path that a reference leads to. Raises StoreUnreadableError if it is not on the target."""
    if not reference.isprintable() or " " in reference:
        message = f"the next page {reference[:80]!r} is not a URL"
        raise StoreUnreadableError(message)
    base = f"{origin}{path}"
    try:
        whole = urlsplit(urljoin(base, reference))
        there = parse_origin(f"{whole.scheme}://{whole.netloc}")
    except ValueError:
        whole, there = urlsplit(""), None
    if there != origin:
        message = f"the next page {reference[:200]} is not on the target {origin}: only the target is read"
        raise StoreUnreadableError(message)
    return (whole.path or "/") + (f"?{whole.query}" if whole.query else "")


class ItemParser:
    """Turns the items of a JSON list into rows."""

    def __init__(self, fields: ListedFields, name: str, planned: PlannedPages) -> None:
        self._fields = fields
        self._pattern = planned.name_pattern(name)
        self._planned = planned

    def row(self, item: Any) -> StoredRow:
        """The copy that an item describes. Raises StoreUnreadableError if it does not."""
        try:
            return self._row(item)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            message = f"the list has an item that can't be read: {repr(item)[:80]} ({error})"
            raise StoreUnreadableError(message) from None

    def _row(self, item: Any) -> StoredRow:
        fields = self._fields
        values = {name: resolve_pointer(item, getattr(fields, name)) for name in _VALUES}
        if fields.name is None:
            key = tuple(resolve_pointer(item, getattr(fields, name)) for name in ("station", "form", "page"))
            return self._planned.from_values((key[0], key[1], key[2]), values)
        name = resolve_pointer(item, fields.name)
        if not isinstance(name, str):
            message = f"no text at {fields.name}"
            raise TypeError(message)
        return self._planned.from_values(self._planned.named(name.lstrip("/"), self._pattern), values)


_VALUES = ("sha256", "size_bytes", "reading", "stored_at")


# --- S3


def read_s3_listing(source: StoredUrl, reader: DocumentReader, planned: PlannedPages) -> Iterator[StoredRow]:
    """Stored copies by ListObjectsV2 (AWS S3 API), all pages. Raises StoreUnreadableError if the list is not complete."""
    pattern = planned.name_pattern(source.name)
    separator = "&" if "?" in source.path else "?"
    first = path = f"{source.path}{separator}list-type=2&encoding-type=url"
    while path:
        content, _ = reader.read(path)
        listing = parse_s3_listing(content, path)
        for entry in listing.entries:
            key = planned.named(entry.key, pattern)
            if source.etag == "md5":
                yield planned.by_md5(key, entry.etag, entry.size_bytes)
            else:
                yield planned.by_size(key, entry.size_bytes)
        path = f"{first}&continuation-token={quote(listing.next_token, safe='')}" if listing.next_token else ""


@dataclass(frozen=True, slots=True)
class S3Entry:
    """One object of a bucket's list."""

    key: str
    etag: str
    size_bytes: int


@dataclass
class S3Listing:
    """One page of a bucket's list."""

    entries: list[S3Entry] = field(default_factory=list)
    next_token: str = ""
    """"" on the last page."""


def parse_s3_listing(content: bytes, path: str) -> S3Listing:
    """One page of ListObjectsV2's XML. Raises StoreUnreadableError.

    A document type is refused: entities could grow without bound or name files of this machine (XXE, "billion laughs").
    """
    reading = _S3Reading()
    try:
        reading.parse(content)
        return reading.listing()
    except (expat.ExpatError, ValueError, UnicodeError) as error:
        message = f"GET {path}: not the XML of ListObjectsV2: {error}"
        raise StoreUnreadableError(message) from None


class _S3Reading:
    """Collects the few elements that matter while expat reads."""

    def __init__(self) -> None:
        self._stack: list[str] = []
        self._text = ""
        self._entry: dict[str, str] = {}
        self._top: dict[str, str] = {}
        self._entries: list[S3Entry] = []
        self._is_list = False

    def parse(self, content: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.Parse(content, True)

    def listing(self) -> S3Listing:
        if not self._is_list:
            message = "no ListBucketResult"
            raise ValueError(message)
        if self._top.get("IsTruncated") == "true" and not self._top.get("NextContinuationToken"):
            message = "IsTruncated without NextContinuationToken"
            raise ValueError(message)
        is_last = self._top.get("IsTruncated") != "true"
        return S3Listing(self._entries, "" if is_last else self._top["NextContinuationToken"])

    def _start(self, name: str, _: dict[str, str]) -> None:
        if not self._stack:
            self._is_list = name == "ListBucketResult"
        self._stack.append(name)
        self._text = ""
        if self._stack[1:] == ["Contents"]:
            self._entry = {}

    def _characters(self, text: str) -> None:
        self._text += text
        if len(self._text) > _MAX_TEXT_LENGTH:
            message = f"an element of more than {_MAX_TEXT_LENGTH:,} characters"
            raise ValueError(message)

    def _end(self, name: str) -> None:
        inside = self._stack[1:-1]
        if inside == ["Contents"]:
            self._entry[name] = self._text
        elif not inside:
            self._top[name] = self._text
        self._stack.pop()
        self._text = ""
        if name == "Contents" and len(self._stack) == 1:
            self._entries.append(self._finish_entry())

    def _finish_entry(self) -> S3Entry:
        entry = self._entry
        size = entry.get("Size", "").strip()
        if "Key" not in entry or not (size.isascii() and size.isdigit() and len(size) < 19):
            message = "Contents without Key and Size"
            raise ValueError(message)
        return S3Entry(unquote_plus(entry["Key"]), entry.get("ETag", "").strip().strip('"'), int(size))


def _refuse_doctype(*_: object) -> None:
    message = "a document type is not allowed"
    raise ValueError(message)
