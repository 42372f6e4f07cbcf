"""Scrapes as they came: one file a target, a gzip member a scrape, so that a torn tail costs the last scrape only."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of one target. `text` is the exposition, or "" where the target didn't answer (then `error` says)."""

    target: str
    """"server", or "worker-0", "worker-1", … for the generator."""
    t_s: float
    """When the answer was complete."""
    text: str
    error: str = ""


def append(folder: Path, scrape: Scrape) -> None:
    """Add a scrape to its target's file."""
    member = gzip.compress(json.dumps(asdict(scrape)).encode(), compresslevel=3, mtime=0)
    with (folder / f"{scrape.target}.gz").open("ab") as file:
        file.write(member)


def targets(folder: Path) -> list[str]:
    """Names of the targets that were scraped, sorted."""
    return sorted(path.stem for path in folder.glob("*.gz"))


def read(folder: Path, target: str) -> Iterator[Scrape]:
    """Scrapes of a target in the order of their time; a torn or broken tail is dropped."""
    data = memoryview((folder / f"{target}.gz").read_bytes())
    offset = 0
    while offset < len(data):
        member, content = zlib.decompressobj(wbits=31), bytearray()
        while not member.eof and offset < len(data):
            chunk = data[offset : offset + 16_384]
            try:
                content += member.decompress(chunk)
            except zlib.error:
                return
            offset += len(chunk) - len(member.unused_data)
        if not member.eof:
            return
        try:
            scrape = Scrape(**json.loads(content))
        except (ValueError, TypeError):
            return
        yield scrape
