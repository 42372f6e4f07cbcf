"""The schemas of verdict.json and audit.json, as frozen types."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.analysis.summary import AuditCounts

Tristate = bool | Literal["unknown"]
"""True, false, or not known; without evidence never true."""


class _JudgeModel(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True, defer_build=True)


class Window(_JudgeModel):
    """A part of the run, in seconds since T0."""

    from_s: float
    to_s: float


class ThresholdResult(_JudgeModel):
    """The result of one threshold."""

    assertion: str = Field(alias="assert", serialization_alias="assert")
    """The threshold as written."""
    observed: float | None
    """In base units (seconds, bytes, ratio); None if there is no such figure."""
    limit: float
    unit: Literal["s", "B", "ratio", "per_s", "B/s", "bool", ""]
    """`bool`: 1 is true and 0 is false."""
    window: Window | None = None
    """Where it was observed: of several windows the worst; None for the whole run."""
    passed: bool
    """False also if it was not judged."""
    judged: bool = True
    """False if the measurement is invalid: then it has neither passed nor been breached."""
    reason: str
    """Empty if passed; else by how much the limit is breached, why there is no figure, or that it was not judged."""


class Validity(_JudgeModel):
    """Whether the measurement can be trusted."""

    valid: bool
    reasons: list[str]
    """What is wrong, with figures, and what to change; empty if valid."""


class PlannedPage(_JudgeModel):
    """What a page should be."""

    sha256: str
    size_bytes: int
    reading: str
    """Empty if the page carries no votes."""


class StoredCopy(_JudgeModel):
    """One copy that the server has stored, as it reports it."""

    station: str
    form: str
    page: int
    sha256: str
    size_bytes: int
    reading: str | None
    """None if the server does not report readings."""
    stored_at: float | None
    """By the server's clock, in Unix seconds; None if it does not report it."""


class AuditedPage(_JudgeModel):
    """A page with an unsafe status, by its key, with what was expected and what was found."""

    station: str
    form: str
    page: int
    acknowledged_s: float | None
    """When it was first acknowledged; None if it never was."""
    expected: PlannedPage | None
    """None for a copy that belongs to no planned page."""
    found: list[StoredCopy]
    """Every copy that belongs to it, under whatever key it is stored."""
    trace_ids: list[str] = []
    """With client.trace: the trace ids of the attempts at it, in their order."""


class AuditSets(_JudgeModel):
    """The sizes of the sets that the audit compares."""

    planned: int
    attempted: int
    acknowledged: int
    refused: int
    """Certainly refused: every attempt that reached the server was answered with a 4xx status."""
    held: int | None
    """Copies that the server has stored; None if the store could not be read."""
    by_size: int = 0
    """How many of them were matched by name and size only: their bytes were not compared."""
    same_bytes: int = 0
    """Planned pages that share their bytes with another: which of them a copy is, its key alone says."""
    earlier: int = 0
    """Copies that were stored before the run began, and count neither for the server nor against it."""


class Audit(_JudgeModel):
    """The content of audit.json: whether the server kept what it acknowledged, and whether everything arrived."""

    format: int = 1
    run: str
    safety: Tristate
    liveness: Tristate
    doubts: list[str]
    """Why safety cannot be confirmed, the unsafe pages aside; one sentence each."""
    sets: AuditSets
    counts: AuditCounts
    missed: int | None
    """Pages that were not stored under their key and with their bytes by the deadline; None if that is not known."""
    missed_by: dict[str, int] = {}
    """The same by status, adding up: `late` pages are stored as planned by now, the others have a status of the audit."""
    pages: dict[str, list[AuditedPage]]
    """The pages with each unsafe status."""
    not_listed: dict[str, int]
    """How many pages with each unsafe status are left out of `pages` because there are too many."""


class Verdict(_JudgeModel):
    """The content of verdict.json: the judgement on one run."""

    format: int = 1
    """Version of the file format: raised by a change that breaks readers, not by a new key."""
    verdict: Literal["pass", "fail", "invalid"]
    exit_code: int
    ended: str
    simulated: bool = False
    """The run was played in virtual time: nothing was measured."""
    safety: Tristate
    liveness: Tristate
    validity: Validity
    gone: str = ""
    """Since when the server has given no usable answer, as a sentence; empty if it did. Such a run does not pass."""
    thresholds: list[ThresholdResult]
