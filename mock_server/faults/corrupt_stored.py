"""corrupt_stored: other bytes are stored than were sent."""

from __future__ import annotations

import hashlib
from typing import ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Row, Scope


class CorruptStored(Fault):
    """The digest of what is stored differs (and a byte of the photo, if photos are kept); the receipt looks normal."""

    scope: ClassVar[Scope] = "rows"
    kind: Literal["corrupt_stored"]

    def on_rows(self, request: RequestActions, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Corrupts the rows."""
        return tuple(_corrupted(row) for row in rows)


def _corrupted(row: Row) -> Row:
    if row.photo is None:  # only the digest is kept: it has to look like a digest of other bytes
        return row._replace(sha256=hashlib.sha256(row.sha256.encode()).hexdigest())
    # One bit in the middle: the photo's start and end stay a JPEG's.
    middle = len(row.photo) // 2
    photo = row.photo[:middle] + bytes([row.photo[middle] ^ 0x40]) + row.photo[middle + 1 :]
    return row._replace(photo=photo, sha256=hashlib.sha256(photo).hexdigest())
