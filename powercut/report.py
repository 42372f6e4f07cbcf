"""What a power cut took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CutReport:
    """Counts of what was not synced when the power failed."""

    lost_pages: int
    """Pages of 4 KiB that are gone."""
    lost_names: int
    """Operations on directories that are gone: files created, renamed, removed."""
    kept_pages: int = 0
    """Pages that are on the disk although nobody synced them, in a torn cut."""
    kept_names: int = 0

    def __str__(self) -> str:
        kept = (
            f"; {self.kept_pages:,} pages and {self.kept_names:,} names were torn off and stayed"
            if self.kept_pages or self.kept_names
            else ""
        )
        return f"lost {self.lost_pages:,} pages of 4 KiB and {self.lost_names:,} names that were not synced{kept}"
