"""corrupt_stored: other bytes are held than were sent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Exchange, Fault, Reach

if TYPE_CHECKING:
    from mock_server.storage.records import Row


class CorruptStored(Fault):
    """The digest of what is held differs (and a byte of the photo, if photos are kept); the receipt is as if not."""

    reach: ClassVar[Reach] = "rows"
    kind: Literal["corrupt_stored"]

    def on_rows(self, exchange: Exchange, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Spoils the rows."""
        return tuple(_spoilt(row) for row in rows)


def _spoilt(row: Row) -> Row:
    if row.photo is None:
        return row._replace(sha256=hashlib.sha256(row.sha256.encode()).hexdigest())
    middle = len(row.photo) // 2
    photo = row.photo[:middle] + bytes([row.photo[middle] ^ 0x40]) + row.photo[middle + 1 :]
    return row._replace(photo=photo, sha256=hashlib.sha256(photo).hexdigest())
