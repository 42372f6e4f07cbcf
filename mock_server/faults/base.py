"""What every fault has in common, and the one interface that each kind fills in.

Pure: knows neither the HTTP library nor the clock. A fault is its own frozen description (what the profile says) plus
what it does at the few places where it can act; a kind overrides the places that it needs and leaves the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, NoReturn, Protocol

from pydantic import Field, model_validator

from mock_server.profile.units import Duration, FrozenModel, Probability

if TYPE_CHECKING:
    from mock_server.storage.records import PageRow
    from mock_server.storage.resumable import ResumableUpload

Scope = Literal["request", "rows", "acknowledgement", "resumable", "work", "server"]
"""Any request, rows about to be stored, an upload about to be acknowledged (201, 200, or 202), a resumable upload asked
for or going on, the work on an upload, the server."""

PHASES = ("login", "upload", "status", "public")
"""Which part of an evening a request belongs to: `status` asks after an upload, `public` reads the results."""


class RequestKey(NamedTuple):
    """What a request is about: what faults match on, and what their dice are keyed on."""

    station: str
    form: str
    page: int
    attempt: int
    method: str
    phase: str


class Match(FrozenModel):
    """Which requests a fault may hit. What is left out matches everything."""

    station: str | None = None
    """A station's 13-digit code or its beginning: "3509191001" is all of one kelurahan."""
    form: str | None = None
    """ppwp, pdpr, pdpd, pdprdp or pdprdk."""
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

    def fits(self, target: RequestKey) -> bool:
        """Whether a request about `target` is one of those."""
        return (
            (self.station is None or target.station.startswith(self.station))
            and (self.form is None or target.form == self.form)
            and (self.method is None or target.method == self.method)
            and (self.phase is None or target.phase == self.phase)
        )


class RequestActions(Protocol):
    """A request and its answer, as far as a fault may touch them."""

    target: RequestKey
    struck_s: float
    """Seconds since T0 at which the fault that acts now struck."""

    async def sleep(self, delay_s: float) -> None:
        """Waits; ends early when the client leaves or the fault is over."""

    async def hold(self, longest_s: float | None = None) -> None:
        """Waits for the client to leave, the fault to be over, or the time to pass."""

    async def write(self, data: bytes) -> None:
        """Puts bytes on the wire as they are."""

    def refuse(self, status: int, detail: str, retry_after_s: float | None = None) -> Exception:
        """An exception to raise: the request is answered with this problem."""

    def reset(self) -> NoReturn:
        """Ends the connection with RST, and the request with it."""

    def close(self) -> NoReturn:
        """Ends the connection with FIN, and the request with it."""

    def forget_later(self, delay_s: float) -> None:
        """Deletes what this request stored, after a while."""

    def kill(self, restart_after_s: float | None) -> NoReturn:
        """Ends the process at once, as `kill -9` would; it is started again after a while, or never."""


class ServerActions(Protocol):
    """The server as a whole, as far as a fault may touch it."""

    def close_port(self) -> None:
        """Stops to listen and resets every connection."""

    def open_port(self) -> None:
        """Listens again on the same port."""

    def kill(self, restart_after_s: float | None) -> None:
        """Ends the process at once, as `kill -9` would; it is started again after a while, or never."""


class Fault(FrozenModel):
    """A rule that makes the server misbehave for a while."""

    reach: ClassVar[Scope] = "request"
    """What it strikes: its dice are thrown (and its hits counted) when such a thing comes up."""
    ends_answers: ClassVar[bool] = False
    """Whether it ends the connection in the place of an answer: such faults come before those that send it slowly."""
    ends_process: ClassVar[bool] = False
    """Whether it kills the server: such a profile needs a keeper, and what came back is not struck by it again."""
    name: str = ""
    """What reports and metrics call it; its kind if left out."""
    kind: str
    """Which fault it is."""
    start: Duration = 0.0
    """When it sets in, counted from T0 (alone: from the server's start)."""
    duration: Duration | None = None
    """How long it lasts; left out: until the end."""
    ramp: Duration = 0.0
    """Time over which it grows from nothing to its full strength (or probability)."""
    probability: Probability = 1.0
    """Share of the matching requests that it hits."""
    match: Match = Match()
    """Which requests it may hit: {station, form, method, phase}."""
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
        """How far it has grown at `now_s`: 0 when off, 1 at its full strength. A port is closed or open: no ramp there.

        >>> Fault(kind="x", start="2s", duration="4s", ramp="2s").strength(3.0)
        0.5
        """
        if now_s < self.start or (self.end is not None and now_s >= self.end):
            return 0.0
        return 1.0 if self.ramp <= 0 or self.reach == "server" else min(1.0, (now_s - self.start) / self.ramp)

    # Places where a fault can act; a hit is counted and logged if one of them answers True or ends the request
    # (on_request: if the kind has one; on_rows: if other rows are stored, or a loss is promised). `draw` is a uniform number in (0, 1), the same for a rule, page and attempt.

    def applies(self, target: RequestKey, now_s: float, memory: dict[str, Any]) -> bool:  # noqa: ARG002
        """Whether a matching request is hit, asked before the dice; `memory` is the rule's own to keep."""
        return True

    def capacity_factor(self, strength: float) -> float:  # noqa: ARG002
        """What the workers' speed is multiplied with at this strength."""
        return 1.0

    async def on_request(self, exchange: RequestActions, draw: float) -> None:
        """The header is read, the body is not."""

    async def on_body(self, exchange: RequestActions, size_bytes: int, total_bytes: int) -> bool:  # noqa: ARG002
        """Another `size_bytes` of the body have come, `total_bytes` in all; whether it did anything."""
        return False

    def on_rows(self, exchange: RequestActions, rows: tuple[PageRow, ...], draw: float) -> tuple[PageRow, ...]:  # noqa: ARG002
        """The work is done: what shall be stored instead of `rows`."""
        return rows

    def on_resumable(self, exchange: RequestActions, upload: ResumableUpload, draw: float) -> bool:  # noqa: ARG002
        """A resumable upload that is in nobody's use is asked for or goes on; whether it did anything."""
        return False

    async def on_answer(self, exchange: RequestActions, answer: bytes, draw: float) -> bool:  # noqa: ARG002
        """The answer is ready as it would go on the wire: True if it was sent, or not sent, here."""
        return False

    def on_begin(self, server: ServerActions, *, late: bool) -> None:
        """It sets in; `late` if that was before this process could know."""

    def on_end(self, server: ServerActions) -> None:
        """It is over."""
