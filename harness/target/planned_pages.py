"""Finds the planned page of each copy that a target lists: by its key, its name, its digest, or its size alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from harness.base.model import PageKey
from harness.plan import Plan
from harness.plan.photos import PhotoBody
from harness.scenario.templating import match_pattern

StoredRow = dict[str, Any]
"""A stored copy, with the keys of the mock's `GET /stored`; `UNVERIFIED` marks one that was matched by its size only."""
UNVERIFIED = "unverified"
"""Key of a row whose bytes nobody has compared: the store gave a size and no digest."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")
_MAX_NAME_LENGTH = 200


def stored_row(key: tuple[str, str, int], sha256: str, size_bytes: int) -> StoredRow:
    """A stored copy. A size of 0 means unknown, as do a reading of None and a missing time."""
    station, form, page = key
    return {"station": station, "form": form, "page": page, "sha256": sha256, "size_bytes": size_bytes, "reading": None}


def parse_digest(text: str) -> str:
    """The text itself. Raises ValueError unless it is a SHA-256 as the plan writes it."""
    if not _DIGEST.fullmatch(text):
        message = "not a lowercase hexadecimal SHA-256"
        raise ValueError(message)
    return text


class PlannedPages:
    """The pages of a plan, to be found by what a store tells of its copies."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def from_values(self, key: tuple[object, object, object], values: dict[str, Any]) -> StoredRow:
        """A copy of which the store tells the key. Of `values`, `sha256` or `size_bytes` is needed, the rest is optional.

        Raises ValueError, TypeError or OverflowError for a value that cannot be one.
        """
        station, form, number = key
        if station is None or form is None or number is None:
            message = "station, form or page is missing"
            raise ValueError(message)
        page, size = int(str(number)), values.get("size_bytes")
        size_bytes = 0 if size is None else int(size)
        if not (0 <= page < 2**31 and 0 <= size_bytes < 2**63):
            message = "a number is out of range"  # of the columns of stored.parquet
            raise ValueError(message)
        found = self._identified(PageKey(str(station), str(form), page), values.get("sha256"), size)
        reading, stored_at = values.get("reading"), values.get("stored_at")
        found["reading"] = None if reading is None else str(reading)
        found["stored_at"] = None if stored_at is None else float(stored_at)
        return found

    def _identified(self, key: PageKey, digest: object, size: object) -> StoredRow:
        if digest is not None:
            return stored_row(key, parse_digest(str(digest)), 0 if size is None else int(str(size)))
        if size is None:
            message = "neither sha256 nor size_bytes"
            raise ValueError(message)
        return self.by_size(key, int(str(size)))

    def name_pattern(self, template: str) -> re.Pattern[str]:
        """Finds station, form and page in a name that was made from a template such as "/{station}-{form}-{page}.jpg".

        Only the plan's forms are found, so that a form or station may have the template's separators in its own name.
        """
        own = ".{1,64}" if any("/" in station.code for station in self._plan.stations) else "[^/]{1,64}"
        forms = sorted({re.escape(form) for form, _ in self._plan.slots}, key=len, reverse=True)
        return match_pattern(template, {"station": "[0-9]{13}" if self._has_digits else own, "form": "|".join(forms)})

    def by_name(self, path: str, pattern: re.Pattern[str]) -> PageKey | None:
        """The key in a file's name; None if the name does not match the template."""
        for text in dict.fromkeys((f"/{path}", f"/{unquote(path)}")):  # listings may have names as they stand in URLs
            found = [
                match
                for match in self._matches(pattern, text)
                if {"station", "form", "page"} <= match.groupdict().keys()
            ]
            keys = [PageKey(match["station"], match["form"], int(match["page"])) for match in found]
            if keys:
                # a code may have the template's own separators: then several readings are possible
                return next((key for key in keys if self.index_of(key) is not None), keys[0])
        return None

    def _matches(self, pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
        """The readings of a name that reach to its end, the longest first; of digits there is only one."""
        if self._has_digits:
            yield from (match for match in pattern.finditer(text) if match.end() == len(text))
            return
        for start in range(len(text)):
            match = pattern.fullmatch(text, start)
            if match is not None:
                yield match

    def named(self, path: str, pattern: re.Pattern[str]) -> PageKey:
        """The key in a file's name. One that does not match the template stays in `station`, so that it counts as unexpected."""
        return self.by_name(path, pattern) or PageKey(path[-_MAX_NAME_LENGTH:], "", 0)

    def by_digest(self, digest: str) -> StoredRow:
        """A copy of which only the digest is known: it is the planned page with that digest, if there is one."""
        index = self._index_of_digest.get(digest)
        return stored_row(("", "", 0) if index is None else self._plan.key(index), digest, 0)

    def by_size(self, key: PageKey, size_bytes: int) -> StoredRow:
        """A copy whose bytes the store does not tell: taken for the planned ones if it has their size, else for others."""
        index = self.index_of(key)
        page = None if index is None else self._plan.page(index)
        same = page is not None and page.size_bytes == size_bytes
        row = stored_row(key, page.sha256 if page is not None and same else "", size_bytes)
        row[UNVERIFIED] = same
        return row

    def by_md5(self, key: PageKey, md5: str, size_bytes: int) -> StoredRow:
        """A copy of which the store tells the MD5: the planned page with these bytes, whatever its key; else other bytes.

        A text that is not an MD5 (of an object uploaded in parts) leaves the size.
        """
        if not _MD5.fullmatch(md5):
            return self.by_size(key, size_bytes)
        index = self.index_of(key)
        if index is None or self._md5(index) != md5:
            index = self._index_of_md5.get(md5)
        return stored_row(key, f"md5:{md5}" if index is None else self._plan.page(index).sha256, size_bytes)

    def index_of(self, key: PageKey) -> int | None:
        """Row of a page in the plan; None if it is not planned."""
        station, slot = self._station_number.get(key.station), self._slot_number.get((key.form, key.page))
        return None if station is None or slot is None else station * len(self._plan.slots) + slot

    def has_planned_bytes(self, row: StoredRow) -> bool:
        """Whether a copy has the bytes of a planned page, under whatever key."""
        return row["sha256"] in self._index_of_digest

    def _md5(self, index: int) -> str:
        body: PhotoBody = self._plan.bank[self._plan.body_of_page[index]]
        return body.md5(body.tail(self._plan.key(index)))

    @cached_property
    def _has_digits(self) -> bool:
        """Whether all codes are those of a region."""
        return all(
            len(station.code) == 13 and station.code.isascii() and station.code.isdigit()
            for station in self._plan.stations
        )

    @cached_property
    def _station_number(self) -> dict[str, int]:
        return {station.code: number for number, station in enumerate(self._plan.stations)}

    @cached_property
    def _slot_number(self) -> dict[tuple[str, int], int]:
        return {slot: number for number, slot in enumerate(self._plan.slots)}

    @cached_property
    def _index_of_digest(self) -> dict[str, int]:
        # a million digests take seconds: only if the format needs them
        return {page.sha256: page.index for page in self._plan}

    @cached_property
    def _index_of_md5(self) -> dict[str, int]:
        return {self._md5(index): index for index in range(self._plan.pages)}
