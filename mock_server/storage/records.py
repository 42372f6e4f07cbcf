"""What the store is asked to hold, and what it answers. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple


class PageRow(NamedTuple):
    """A page to be stored."""

    station: str
    form: str
    page: int
    sha256: str
    """Digest of what is held."""
    size_bytes: int
    reading: str
    stored_at: float
    sent_sha256: str
    """Digest of what was sent: what a repetition is known by, whatever a fault made of the rest."""
    idempotency_key: str
    receipt: str
    photo: bytes | None = None


class StoreResult(NamedTuple):
    """What became of an upload: `new`, `replay` of a page already held, or `conflict` with another photo of it."""

    kind: Literal["new", "replay", "conflict"]
    receipt: str
    sha256: str
    size_bytes: int


class StoreRequest(NamedTuple):
    """An upload as it came, and the rows to hold for it (one, unless a fault is at work)."""

    sent: PageRow
    rows: tuple[PageRow, ...]
    upload_id: str = ""
    """The resumable upload that it completes."""
    injections: tuple[str, ...] = ()
    """Lines for the injection log: what faults made of the rows, committed with them."""
