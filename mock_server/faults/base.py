"""What every fault has in common, and the one interface that each kind fills in.

Pure: knows neither the HTTP library nor the clock. A fault is its own frozen description (what the profile says) plus
what it does at the few places where it can act; a kind overrides the places that it needs and leaves the others.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Protocol

from pydantic import Field, model_validator

from mock_server.units import Duration, Frozen, Probability

Draw = Annotated[float, "a uniform number in (0, 1), the same for the same rule, page and attempt"]


class Target(NamedTuple):
    """What a request is about: what faults match on, and what their dice are keyed on."""

    station: str
    form: str
    page: int
    attempt: int
    method: str
    phase: str


PHASES = ("login", "upload", "status", "public")
"""Which part of an evening a request belongs to: `status` asks after an upload, `public` reads the results."""


class Match(Frozen):
    """Which requests a fault may hit. What is left out matches everything."""

    station: str | None = None
    """A station's 13-digit code or its beginning: "3509191001" is all of one kelurahan."""
    form: str | None = None
    method: str | None = None
    """HTTP method, in capitals."""
    phase: str | None = None
    """login, upload, status or public."""

    @model_validator(mode="after")
    def _is_known(self) -> Match:
        if self.phase is not None and self.phase not in PHASES:
            message = f'phase = "{self.phase}" is not one of {", ".join(PHASES)}'
            raise ValueError(message)
        return self

    def fits(self, target: Target) -> bool:
        """Whether a request about `target` is one of those."""
        return (
            (self.station is None or target.station.startswith(self.station))
            and (self.form is None or target.form == self.form)
            and (self.method is None or target.method == self.method)
            and (self.phase is None or target.phase == self.phase)
        )


class Exchange(Protocol):
    """A request and its answer, as far as a fault may touch them."""

    target: Target

    async def sleep(self, delay_s: float) -> None:
        """Wait; ends early when the client leaves or the fault is healed."""

    def refuse(self, status: int, title: str, retry_after_s: float | None = None) -> Exception:
        """An exception to raise: the request is answered with this problem."""


class Fault(Frozen):
    """A rule that makes the server misbehave for a while."""

    name: str = ""
    """What reports and metrics call it; its kind if left out."""
    kind: str
    start: Duration = 0.0
    """When it sets in, counted from T0 (alone: from the server's start)."""
    duration: Duration | None = None
    """How long it lasts; left out: until the end."""
    ramp: Duration = 0.0
    """Time over which it grows from nothing to its full strength (or probability)."""
    probability: Probability = 1.0
    """Share of the matching requests that it hits."""
    match: Match = Match()
    count: Annotated[int, Field(ge=1)] | None = None
    """Greatest number of hits."""
    skip_first: Annotated[int, Field(ge=0)] = 0
    """Matching requests that are let through before the first hit."""
    seed: int = 0
    """Another seed hits other pages."""

    @model_validator(mode="before")
    @classmethod
    def _is_named_after_its_kind(cls, content: Any) -> Any:
        if isinstance(content, dict) and not content.get("name") and isinstance(content.get("kind"), str):
            return {**content, "name": content["kind"]}
        return content

    @property
    def end(self) -> float | None:
        """Seconds from T0 at which it is over; None if it lasts."""
        return None if self.duration is None else self.start + self.duration

    def strength(self, now_s: float) -> float:
        """How far it has grown at `now_s`: 0 when off, 1 at its full strength.

        >>> Fault(kind="x", start="2s", duration="4s", ramp="2s").strength(3.0)
        0.5
        """
        if now_s < self.start or (self.end is not None and now_s >= self.end):
            return 0.0
        return 1.0 if self.ramp <= 0 else min(1.0, (now_s - self.start) / self.ramp)

    async def on_request(self, exchange: Exchange, draw: Draw) -> None:
        """The headers are read, the body is not: may wait, or raise what `exchange` offers."""

    def capacity_factor(self, strength: float) -> float:  # noqa: ARG002
        """What the server's speed is multiplied with at this strength."""
        return 1.0

    @property
    def is_level(self) -> bool:
        """Whether it changes the server as a whole, so that there are no single requests to count."""
        return False
