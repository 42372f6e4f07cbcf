"""Scrapes as they came: one file a target, a gzip member a scrape, so that a torn tail costs the last scrape only."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from harness.base.safe_files import parse_json

_CHUNK_BYTES = 16_384
_MAX_SCRAPE_BYTES = 6 * 16 * 1024 * 1024 + 65_536
"""A scrape of the greatest answer that is taken (16 MiB), each of its characters escaped."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of one target. `text` is the exposition, or "" where the target didn't answer (then `error` says)."""

    target: str
    """"server", or "worker-0", "worker-1", … for the generator."""
    t_s: float
    """When the answer was complete."""
    text: str
    error: str = ""


def append_scrape(folder: Path, scrape: Scrape) -> None:
    """Add a scrape to its target's file."""
    member = gzip.compress(json.dumps(asdict(scrape)).encode(), compresslevel=3, mtime=0)
    with (folder / f"{scrape.target}.gz").open("ab") as file:
        file.write(member)


def list_targets(folder: Path) -> list[str]:
    """Names of the targets that were scraped, sorted."""
    return sorted(path.stem for path in folder.glob("*.gz"))


def read_scrapes(folder: Path, target: str) -> Iterator[Scrape]:
    """Scrapes of a target in the order of their time; a torn or broken tail is dropped.

    Holds one scrape at a time, and none that no exporter's answer can be: a small file may stand for very much.
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
    """The content of the next gzip member, of which `begun` is read already, and what was read beyond; None if there is none."""
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
