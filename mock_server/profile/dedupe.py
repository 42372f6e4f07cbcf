"""What makes an upload a duplicate of one that is stored, or a conflict with it."""

from __future__ import annotations

from typing import Literal

Dedupe = Literal["page", "key", "none"]


def finds_duplicates(dedupe: Dedupe, idempotency_key: str) -> bool:
    """Whether an upload is compared with what is stored at all; without it every upload is new.

    Compared are the copies stored under the same page, and with dedupe = "key" of those the ones with the same key.
    """
    return dedupe == "page" or (dedupe == "key" and idempotency_key != "")


def classify_duplicate(stored_sha256: str, sent_sha256: str) -> Literal["replay", "conflict"]:
    """What an upload is whose page (or key) is stored with this digest: the same photo again, or another one."""
    return "replay" if stored_sha256 == sent_sha256 else "conflict"
