"""The log of scrapes: one file per target, one gzip member per scrape, so that a crash loses at most the last scrape."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from harness.base.safe_files import parse_json

_CHUNK_BYTES = 16_384
_MAX_SCRAPE_BYTES = 6 * 16 * 1024 * 1024 + 65_536
"""A scrape of the largest response that the scraper accepts (16 MiB), if JSON escapes each of its characters."""


CORRECT_ENDPOINT = "correct its port and path in [[target.metrics]], or remove the entry"
"""What to do about an endpoint that never answers with metrics."""
_STATUS = re.compile(r"HTTP status (\d+)")


@dataclass(frozen=True, slots=True)
class Scrape:
    """One scrape of one target. `text` is the exposition, or "" if the scrape failed; then `error` says why."""

    target: str
    """"server", or "worker-0", "worker-1", … for the generator."""
    t_s: float
    """When the response was complete, in seconds from T0."""
    text: str
    error: str = ""


def describe_failed_scrape(url: str, error: str) -> str:
    """Why a scrape of a URL failed, as the beginning of a sentence.

    >>> describe_failed_scrape("http://127.0.0.1:9/metrics", "HTTP status 404")
    'http://127.0.0.1:9/metrics answered 404 Not Found'
    """
    status = _STATUS.fullmatch(error)
    if status is None:
        return f"{url} can't be scraped ({error})"
    with contextlib.suppress(ValueError):
        return f"{url} answered {status[1]} {HTTPStatus(int(status[1])).phrase}"
    return f"{url} answered {status[1]}"


def append_scrape(folder: Path, scrape: Scrape) -> None:
    """Append a scrape to its target's file in `folder`."""
    # mtime=0: the same scrape gives the same bytes
    member = gzip.compress(json.dumps(asdict(scrape)).encode(), compresslevel=3, mtime=0)
    with (folder / f"{scrape.target}.gz").open("ab") as file:
        file.write(member)


def list_targets(folder: Path) -> list[str]:
    """Names of the scraped targets, sorted."""
    return sorted(path.stem for path in folder.glob("*.gz"))


def read_scrapes(folder: Path, target: str) -> Iterator[Scrape]:
    """Scrapes of a target in the order of time; an incomplete or damaged tail is dropped.

    Holds one scrape in memory at a time, and rejects one that is larger than any the scraper accepts: a small gzip file may
    expand to gigabytes.
    """
    with (folder / f"{target}.gz").open("rb") as file:
        rest = b""
        while True:
            content, rest = _read_member(file, rest)
            if content is None:
                return
            try:
                scrape = Scrape(**parse_json(content))
            except (ValueError, TypeError):
                return
            yield scrape


def _read_member(file: BinaryIO, begun: bytes) -> tuple[bytes | None, bytes]:
    """The content of the next gzip member, or None if there is none, and the bytes read beyond it.

    `begun` are bytes of the member that have been read already.
    """
    # wbits=31: gzip format. `gzip.open` would join all members into one stream.
    member, content, chunk = zlib.decompressobj(wbits=31), bytearray(), begun or file.read(_CHUNK_BYTES)
    while chunk:
        try:
            content += member.decompress(chunk, _MAX_SCRAPE_BYTES - len(content) + 1)
        except zlib.error:
            break
        if len(content) > _MAX_SCRAPE_BYTES:
            break
        if member.eof:
            return bytes(content), member.unused_data
        chunk = file.read(_CHUNK_BYTES)
    return None, b""
