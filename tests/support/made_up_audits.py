"""Audits of the made-up run, written by hand: a safe one, an unsafe one, and one without data."""

from __future__ import annotations

from typing import Any

from harness.judge.results import Audit

KEY = {"station": "3509191001001", "form": "ppwp", "page": 2}
READING = '{"chart":{"100025":%d,"100026":7}}'


def audit(**changed: Any) -> Audit:
    """A safe and live run of 1,086 pages; `changed` replaces fields, counts by name."""
    names = ("misfiled", "corrupted", "altered", "duplicated", "resurrected", "lost", "unexpected")
    counts = {**dict.fromkeys(names, 0), "ok": 1086, "recovered": 0, "undelivered": 0, "unattempted": 0, "unsafe": 0}
    content = {
        "run": "r", "safety": True, "liveness": True, "doubts": [], "counts": counts, "missed": 0, "pages": {}, "not_listed": {},
        "sets": {"planned": 1086, "attempted": 1086, "acknowledged": 1086, "refused": 0, "held": 1086},
    }  # fmt: skip
    counts.update({name: changed.pop(name) for name in list(changed) if name in counts})
    return Audit.model_validate({**content, **changed})


def unsafe() -> Audit:
    copy = {**KEY, "sha256": "cd" * 32, "size_bytes": 9, "stored_at": 1.0}
    expected = {"sha256": "ab" * 32, "size_bytes": 9, "reading": READING % 105}
    seen = {**KEY, "acknowledged_s": 1.25, "expected": expected}
    pages = {
        "altered": [{**seen, "found": [{**copy, "sha256": "ab" * 32, "reading": READING % 705}]}],
        "lost": [{**seen, "page": number, "found": []} for number in range(1, 31)],
        "unexpected": [
            {
                **seen,
                "station": "<script>",
                "acknowledged_s": None,
                "expected": None,
                "found": [{**copy, "reading": ""}],
            }
        ],
    }
    return audit(
        safety=False, liveness=False, missed=30, pages=pages, altered=1, lost=30, unexpected=1, ok=1055, unsafe=32
    )


def unknown() -> Audit:
    return audit(
        safety="unknown", liveness="unknown", missed=None, unsafe=None, lost=None, ok=None,
        doubts=["what the server holds is not known: gone"],
    )  # fmt: skip
