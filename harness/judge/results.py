"""The judgement's results as frozen types: the content of verdict.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class ThresholdResult(_Result):
    """One threshold, held against the figures."""

    assertion: str = Field(alias="assert", serialization_alias="assert")
    """The threshold as written."""
    observed: float | None
    """In base units (seconds, bytes, ratio); None where there is no such figure."""
    limit: float
    unit: Literal["s", "B", "ratio", "per_s", "B/s", ""]
    passed: bool
    reason: str
    """Empty when passed; else by how much it is breached, or why there is no figure, in words."""


class Validity(_Result):
    """Whether the measurement is to be trusted."""

    valid: bool
    reasons: list[str]
    """In words and figures, with what to change."""


class Verdict(_Result):
    """The judgement of one run."""

    format: int = 1
    verdict: Literal["pass", "fail", "invalid"]
    exit_code: int
    ended: str
    validity: Validity
    thresholds: list[ThresholdResult]
