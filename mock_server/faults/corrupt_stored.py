"""corrupt_stored: other bytes are held than were sent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar, Literal

from mock_server.faults.base import Fault, RequestActions, Scope

if TYPE_CHECKING:
    from mock_server.storage.records import PageRow


class CorruptStored(Fault):
    """The digest of what is held differs (and a byte of the photo, if photos are kept); the receipt is as if not."""

    reach: ClassVar[Scope] = "rows"
    kind: Literal["corrupt_stored"]

    def on_rows(self, exchange: RequestActions, rows: tuple[PageRow, ...], draw: float) -> tuple[PageRow, ...]:  # noqa: ARG002
        """Spoils the rows."""
        return tuple(_corrupted(row) for row in rows)


def _corrupted(row: PageRow) -> PageRow:
    if row.photo is None:
        return row._replace(sha256=hashlib.sha256(row.sha256.encode()).hexdigest())
    middle = len(row.photo) // 2
    photo = row.photo[:middle] + bytes([row.photo[middle] ^ 0x40]) + row.photo[middle + 1 :]
    return row._replace(photo=photo, sha256=hashlib.sha256(photo).hexdigest())
