"""The judgement's results as frozen types: the content of verdict.json and of audit.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.analysis.summary import AuditCounts

Tristate = bool | Literal["unknown"]
"""True, false, or not known: never true for want of evidence."""


class _JudgeModel(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class Window(_JudgeModel):
    """A stretch of the run, in seconds since T0."""

    from_s: float
    to_s: float


class ThresholdResult(_JudgeModel):
    """One threshold, held against the figures."""

    assertion: str = Field(alias="assert", serialization_alias="assert")
    """The threshold as written."""
    observed: float | None
    """In base units (seconds, bytes, ratio); None where there is no such figure."""
    limit: float
    unit: Literal["s", "B", "ratio", "per_s", "B/s", ""]
    window: Window | None = None
    """Where it was observed: of several windows the worst one; None for the whole run."""
    passed: bool
    reason: str
    """Empty when passed; else by how much it is breached, or why there is no figure, in words."""


class Validity(_JudgeModel):
    """Whether the measurement is to be trusted."""

    valid: bool
    reasons: list[str]
    """In words and figures, with what to change."""


class PlannedPage(_JudgeModel):
    """What a page had to be."""

    sha256: str
    size_bytes: int
    reading: str
    """"" where the page carries no votes."""


class StoredCopy(_JudgeModel):
    """One copy that the server holds, as it says."""

    station: str
    form: str
    page: int
    sha256: str
    size_bytes: int
    reading: str | None
    """None where the server doesn't tell readings."""
    stored_at: float | None
    """By the server's clock, Unix seconds."""


class AuditedPage(_JudgeModel):
    """A page of an unsafe category, by its key, with what was expected and what was found."""

    station: str
    form: str
    page: int
    acknowledged_s: float | None
    """When it was first acknowledged; None if it never was."""
    expected: PlannedPage | None
    """None for a copy that is no planned page."""
    found: list[StoredCopy]
    """Every copy that belongs to it, wherever it is held."""


class AuditSets(_JudgeModel):
    """How large the sets are that the audit compares."""

    planned: int
    attempted: int
    acknowledged: int
    refused: int
    """Refused for certain: every attempt that reached the server was answered with a 4xx status."""
    held: int | None
    """Copies that the server holds; None where that could not be read."""


class Audit(_JudgeModel):
    """Whether the server kept what it acknowledged, and whether everything arrived: the content of audit.json."""

    format: int = 1
    run: str
    safety: Tristate
    liveness: Tristate
    doubts: list[str]
    """Why safety can't be told to be true, in words and without the unsafe pages."""
    sets: AuditSets
    counts: AuditCounts
    missed: int | None
    """Pages that were not held under their key with their bytes by the deadline."""
    missed_by: dict[str, int] = {}
    """The same by what became of them, which adds up: `late` are held as planned by now, the others have their category."""
    pages: dict[str, list[AuditedPage]]
    """The pages of each unsafe category."""
    not_listed: dict[str, int]
    """How many of each unsafe category are not in `pages`, for their number."""


class Verdict(_JudgeModel):
    """The judgement of one run."""

    format: int = 1
    """Number of this file's format: a change that breaks readers raises it, a new key does not."""
    verdict: Literal["pass", "fail", "invalid"]
    exit_code: int
    ended: str
    safety: Tristate
    liveness: Tristate
    validity: Validity
    gone: str = ""
    """In words, since when the server has not answered any more; else empty. Such a run doesn't pass."""
    thresholds: list[ThresholdResult]
