"""The results of the proofs, and the table that is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmarks.capacity.real import NGINX_PER_S, TOLERANCE
from reports.markdown import markdown_table
from reports.number_format import format_ratio, plural

WIDTH = 0.05
WANTED = 0.95
_NOT_RUN = "not run yet: `make bench PART=capacity`"


class HeldOut(BaseModel):
    """Runs that nothing was fitted to: the mean share of their stations that were complete by the deadline."""

    model_config = ConfigDict(frozen=True)

    name: str
    predicted: float
    measured: float
    is_met: bool


class Proofs(BaseModel):
    """The content of docs/data/capacity.json; None is not run."""

    model_config = ConfigDict(frozen=True)

    at: str
    searches: int
    held: int
    """Of these, the brackets that agree with the truth."""
    repeated: int
    agreeing: int
    """Of the searches that were repeated with other seeds, those that found the same within the width."""
    sabotaged: int
    refused: int
    """Of the searches with a hidden fault, those that gave exit code 3."""
    levels: list[HeldOut] | None = None
    policies: list[HeldOut] | None = None
    nginx_bears_per_s: float | None = None
    nginx_fails_per_s: float | None = None
    nginx_why: str = ""
    """Why nothing was found."""

    @property
    def nginx_is_met(self) -> bool:
        """Whether the rate that nginx limits lies in the bracket, widened by the width."""
        if self.nginx_bears_per_s is None or self.nginx_fails_per_s is None:
            return False
        return self.nginx_bears_per_s / (1 + WIDTH) <= NGINX_PER_S <= self.nginx_fails_per_s * (1 + WIDTH)


def markdown(proofs: Proofs) -> str:
    """The table: what is claimed, how it was tried, and what came out."""
    rows = [
        [
            "(a) planted truth",
            "the claimed bracket holds in at least 95 % of searches",
            _share(proofs.held, proofs.searches),
        ],
        ["(b) held-out levels", _goal("1, 2 and 4 workers"), _predictions(proofs.levels)],
        [
            "(c) held-out policies",
            _goal("1, 2 and 4 workers, a fixed pause and a bounded queue"),
            _predictions(proofs.policies),
        ],
        ["(d) nginx, `limit_req` 30/s", "found within 5 %", _nginx(proofs)],
        [
            "(e) A/A",
            "two searches with different seeds agree within one level in at least 95 %",
            _share(proofs.agreeing, proofs.repeated),
        ],
        [
            "(f) sabotage",
            "a brownout that the model does not know of gives exit code 3",
            _share(proofs.refused, proofs.sabotaged, WANTED),
        ],
    ]
    return "\n".join([f"Made {proofs.at}.", "", *markdown_table(("proof", "goal", "result"), rows)])


def _goal(fitted: str) -> str:
    return f"fitted to runs with {fitted}, the stations by the deadline, mean of three seeds, are predicted within {100 * TOLERANCE:g} points"


def _share(part: int, whole: int, wanted: float = WANTED) -> str:
    if not whole:
        return _NOT_RUN
    return f"{'met' if part >= wanted * whole else '**missed**'}: {part} of {whole} ({format_ratio(part / whole)})"


def _predictions(found: list[HeldOut] | None) -> str:
    if found is None:
        return _NOT_RUN
    met = sum(one.is_met for one in found)
    each = ", ".join(f"{one.name} {format_ratio(one.predicted)} for {format_ratio(one.measured)}" for one in found)
    return f"{'met' if met == len(found) else '**missed**'}: {plural(met, 'prediction')} of {len(found)} ({each})"


def _nginx(proofs: Proofs) -> str:
    if proofs.nginx_bears_per_s is None or proofs.nginx_fails_per_s is None:
        return proofs.nginx_why or _NOT_RUN
    bracket = f"between {proofs.nginx_bears_per_s:.3g}/s and {proofs.nginx_fails_per_s:.3g}/s"
    return f"{'met' if proofs.nginx_is_met else '**missed**'}: {bracket}"


def read_proofs(path: Path) -> Proofs:
    """Earlier results."""
    return Proofs.model_validate_json(path.read_text("utf-8"))


def write_proofs(path: Path, proofs: Proofs) -> None:
    """Write them to be published."""
    content: dict[str, Any] = proofs.model_dump(mode="json")
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
