"""What every kind of fault has in common, and the interfaces through which it acts.

Pure: knows neither the HTTP library nor the clock. A fault is its own frozen description (what the profile says) plus
what it does at the few places where it can act; a kind overrides the places that it needs and leaves the others.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, NamedTuple, NoReturn, Protocol, Self, TypeVar

from pydantic import Field, model_validator

from mock_server.profile.units import Duration, FrozenModel, Probability

Scope = Literal["request", "rows", "acknowledgement", "resumable", "work", "server"]
"""What a fault acts on: any request, rows about to be stored, an upload about to be acknowledged (201, 200 or 202), a
resumable upload that is queried or continued, the work on an upload, the server."""

PHASES = ("login", "upload", "status", "public")
"""What a request is for: `status` asks what became of an upload, `public` reads the published results."""


class RequestKey(NamedTuple):
    """What a request is about: faults match on it, and their random numbers are keyed on it."""

    station: str
    form: str
    page: int
    attempt: int
    method: str
    phase: str
    trace_id: str = ""
    """Of the request's `traceparent`; "" without one. Faults neither match on it nor draw by it."""


class Match(FrozenModel):
    """Which requests a fault may hit. A key that is left out matches everything."""

    station: str | None = None
    """A station's code or its beginning: "3509191001" is every station of one kelurahan."""
    form: str | None = None
    """A form, as in "ppwp"."""
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

    def matches(self, key: RequestKey) -> bool:
        """Whether a fault with this match may hit a request about `key`."""
        return (
            (self.station is None or key.station.startswith(self.station))
            and (self.form is None or key.form == self.form)
            and (self.method is None or key.method == self.method)
            and (self.phase is None or key.phase == self.phase)
        )


class StorableRow(Protocol):
    """A page about to be stored, as far as a fault may change it."""

    @property
    def station(self) -> str:
        """Code of the station that it is stored under."""

    @property
    def sha256(self) -> str:
        """Digest of what will be stored."""

    @property
    def reading(self) -> str:
        """The figures, as JSON; "" if there are none."""

    @property
    def photo(self) -> bytes | None:
        """The photo, if photos are kept."""

    def _replace(self, *args: Any, **changes: Any) -> Self:
        """A copy with other fields."""


Row = TypeVar("Row", bound=StorableRow)


class ResumableState(Protocol):
    """A resumable upload, as far as a fault may touch it."""

    offset: int
    """Bytes received."""
    is_pretended: bool
    """Whether a fault already claims that it is complete."""
    rollbacks: set[tuple[str, int]]
    """Faults that cut it down, each with the attempt that it hit."""

    def truncate(self, size: int) -> None:
        """Drops everything after the first `size` bytes."""

    def pretend_complete(self) -> None:
        """Drops its bytes and reports the whole length as received."""

    def expire(self) -> None:
        """Makes it answer 410 from now on."""


class RequestActions(Protocol):
    """A request and its response, as far as a fault may touch them."""

    key: RequestKey
    hit_at_s: float
    """Seconds since T0 at which the fault that acts now hit the request."""

    async def sleep(self, delay_s: float) -> None:
        """Waits; ends early when the client disconnects or the fault is over."""

    async def hold(self, max_s: float | None = None) -> None:
        """Waits until the client disconnects, the fault is over, or `max_s` have passed."""

    async def write(self, data: bytes) -> None:
        """Sends bytes as they are."""

    def refuse(self, status: int, detail: str, retry_after_s: float | None = None) -> Exception:
        """An exception to raise: the request is answered with this problem."""

    def reset(self) -> NoReturn:
        """Ends the connection with RST, and the request with it."""

    def close(self) -> NoReturn:
        """Ends the connection with FIN, and the request with it."""

    def delete_later(self, delay_s: float) -> None:
        """Deletes what this request stores, `delay_s` after it is stored."""

    def kill(self, restart_after_s: float | None) -> NoReturn:
        """Ends the process at once, as `kill -9` would; restarted after this time, or never if it is None."""


class ServerActions(Protocol):
    """The server as a whole, as far as a fault may touch it."""

    def close_port(self) -> None:
        """Stops listening and resets every connection."""

    def open_port(self) -> None:
        """Listens again on the same port."""

    def kill(self, restart_after_s: float | None) -> None:
        """Ends the process at once, as `kill -9` would; restarted after this time, or never if it is None."""

    def cut_power(self, restart_after_s: float | None, *, torn: bool) -> None:
        """The same, and what was not synced to the disk is lost, or with `torn` some of it."""


class Fault(FrozenModel):
    """A rule that makes the server misbehave for a while.

    A hit is counted and logged if one of the places below returns True or ends the request (on_request: if the kind has
    one; on_rows: if other rows are stored, or a deletion is scheduled). `draw` is a uniform number in (0, 1), the same
    for a fault, page and attempt.
    """

    scope: ClassVar[Scope] = "request"
    """What it acts on: whether it hits is drawn, and its hits are counted, when such a thing comes up."""
    replaces_response: ClassVar[bool] = False
    """Whether it ends the connection instead of responding: such faults act before those that respond slowly."""
    kills_process: ClassVar[bool] = False
    """Whether it kills the server: its profile needs a supervisor, and it does not hit the restarted process again."""
    name: str = ""
    """What reports and metrics call it; its kind if left out."""
    kind: str
    """Which fault it is."""
    start: Duration = 0.0
    """When it begins, counted from T0 (without a harness: from the server's start)."""
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
        """How far it has grown at `now_s`: 0 when off, 1 at its full strength.

        >>> Fault(kind="x", start="2s", duration="4s", ramp="2s").strength(3.0)
        0.5
        """
        if now_s < self.start or (self.end is not None and now_s >= self.end):
            return 0.0
        if self.ramp <= 0 or self.scope == "server":  # a port is closed or open, there is nothing to ramp
            return 1.0
        return min(1.0, (now_s - self.start) / self.ramp)

    def applies(self, key: RequestKey, now_s: float, memory: dict[str, Any]) -> bool:  # noqa: ARG002
        """Whether a matching request may be hit, asked before the random draw.

        `memory` belongs to this fault alone and lives as long as it is in force.
        """
        return True

    def capacity_factor(self, strength: float) -> float:  # noqa: ARG002
        """What the workers' speed is multiplied by at this strength."""
        return 1.0

    async def on_request(self, request: RequestActions, draw: float) -> None:
        """Called when the header has been read and the body has not."""

    async def on_body(self, request: RequestActions, size_bytes: int, total_bytes: int) -> bool:  # noqa: ARG002
        """Called when another `size_bytes` of the body have come, `total_bytes` in all; True if it did anything."""
        return False

    def on_rows(self, request: RequestActions, rows: tuple[Row, ...], draw: float) -> tuple[Row, ...]:  # noqa: ARG002
        """Called when the work is done; returns what to store instead of `rows`."""
        return rows

    def on_resumable(self, request: RequestActions, upload: ResumableState, draw: float) -> bool:  # noqa: ARG002
        """Called when a resumable upload that no other request holds is queried or continued; True if it did anything."""
        return False

    async def on_response(self, request: RequestActions, response: bytes, draw: float) -> bool:  # noqa: ARG002
        """Called with the response as it would be sent; True if the fault sent it, or suppressed it."""
        return False

    def on_begin(self, server: ServerActions, *, late: bool) -> None:
        """Called when it begins; `late` if it began before this process was there to notice."""

    def on_end(self, server: ServerActions) -> None:
        """Called when it is over."""
