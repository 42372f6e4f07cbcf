"""The domain as frozen types: Outcome, Station, Page, Phase.

All times are seconds since T0 of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """How an attempt ended. The list is fixed: its values are also those of the metric label `outcome`."""

    ACCEPTED = "accepted"
    REPLAYED = "replayed"
    PENDING = "pending"
    REJECTED = "rejected"
    UNREADABLE = "unreadable"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    SERVER_ERROR = "server_error"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_SEND = "timeout_send"
    TIMEOUT_RESPONSE = "timeout_response"
    REFUSED = "refused"
    RESET = "reset"
    CLOSED = "closed"
    MALFORMED = "malformed"
    CENSORED = "censored"
    WITHHELD = "withheld"
    GENERATOR_ERROR = "generator_error"
    TLS_FAILED = "tls_failed"


class Shortage(StrEnum):
    """The resource that the generator lacked for an attempt: the cause of a `generator_error`."""

    DESCRIPTORS = "descriptors"
    PORTS = "ports"
    MEMORY = "memory"
    MAX_IN_FLIGHT = "max_in_flight"
    """The scenario's own limit, client.max_in_flight: more stations at once than a worker may have active."""
    OWN_CLIENT = "own_client"
    """Not a resource: the scenario's own client raised an error, or returned what it may not."""


class MalformedReason(StrEnum):
    """Why an attempt's outcome is `malformed`: the texts of the column `reason` in attempts.parquet."""

    NONE = ""
    STATUS = "status does not confirm the upload"
    NOT_HTTP = "not HTTP"
    HEAD_TOO_LONG = "head longer than 64 KiB"
    HEADER = "invalid header line"
    CONTENT_LENGTH = "invalid Content-Length"
    CONTENT_LENGTHS = "two different Content-Length"
    TRANSFER_ENCODING = "invalid Transfer-Encoding"
    CHUNK = "invalid chunk"
    FRAMING = "chunk framing or trailers out of proportion to the body"
    UPGRADE = "switched protocols"
    TOKEN = "no usable token in the login response"  # noqa: S105 - not a password
    LOCATION = "Location points outside the target"
    OFFSET = "invalid Upload-Offset"
    UNEXPECTED = "unexpected error (the worker's log has its text)"
    VALUE = "no usable value in the answer of a step"
    URL = "URL points outside the targets"
    SUCCESS = "body does not confirm the step"
    OWN_CLIENT = "not what the own client needs to go on"


REASONS = tuple(MalformedReason)
"""The journal stores a reason as its index here: append, never reorder."""

OUTCOMES = tuple(Outcome)
"""The journal stores an outcome as its index here: append, never reorder."""

DELIVERED = frozenset({Outcome.ACCEPTED, Outcome.REPLAYED})
"""The server acknowledged the page."""

ANSWERED = frozenset(
    {
        Outcome.ACCEPTED,
        Outcome.REPLAYED,
        Outcome.PENDING,
        Outcome.REJECTED,
        Outcome.UNREADABLE,
        Outcome.THROTTLED,
        Outcome.UNAVAILABLE,
        Outcome.SERVER_ERROR,
    }
)
"""A complete HTTP response arrived."""

TIMED_OUT = frozenset({Outcome.TIMEOUT_CONNECT, Outcome.TIMEOUT_SEND, Outcome.TIMEOUT_RESPONSE})

NOT_FAILURES = DELIVERED | {Outcome.PENDING, Outcome.CENSORED, Outcome.WITHHELD}
"""Outcomes that the failures chart leaves out: success, and attempts that say nothing about the server."""

FAILURES = frozenset(OUTCOMES) - NOT_FAILURES - {Outcome.GENERATOR_ERROR}
"""Refused, failed or timed out: the server's doing, or the way to it."""


class PageKey(NamedTuple):
    """Identifies a page: station code (13 digits), form, page number from 1."""

    station: str
    form: str
    page: int


@dataclass(frozen=True, slots=True)
class Station:
    """One polling station."""

    code: str
    kelurahan_name: str

    @property
    def kelurahan(self) -> str:
        """Code of the kelurahan (village): the first 10 of the station's 13 digits."""
        return self.code[:10]


@dataclass(frozen=True, slots=True)
class Page:
    """One photo that has to arrive; one row of the plan."""

    index: int
    """Row number in the plan, from 0; the journal refers to pages by it."""
    station: str
    form: str
    page: int
    due_s: float
    """When its station arrives."""
    size_bytes: int
    sha256: str
    reading: str
    """The confirmed vote figures as canonical JSON, or "" for a page without votes."""

    @property
    def key(self) -> PageKey:
        """Station, form and page number."""
        return PageKey(self.station, self.form, self.page)


@dataclass(frozen=True, slots=True)
class Phase:
    """An interval between two fault edges, named after the active faults joined by "+", or "clear"."""

    name: str
    start_s: float
    end_s: float


class PageStatus(StrEnum):
    """What became of a page. A page has the first status that fits, in this order of precedence."""

    MISFILED = "misfiled"
    """Its bytes are stored under another key."""
    CORRUPTED = "corrupted"
    """Under its key are bytes that belong to no planned page."""
    ALTERED = "altered"
    """Stored with another reading than was sent."""
    DUPLICATED = "duplicated"
    """Stored more than once."""
    RESURRECTED = "resurrected"
    """Stored although every answer to it was a refusal."""
    LOST = "lost"
    """Acknowledged and not stored."""
    UNEXPECTED = "unexpected"
    """A stored copy with neither the key nor the bytes of a planned page."""
    OK = "ok"
    """Acknowledged and stored, once and as it was sent."""
    RECOVERED = "recovered"
    """Stored, once and as it was sent, but never acknowledged."""
    UNDELIVERED = "undelivered"
    """Attempted, neither acknowledged nor stored."""
    UNATTEMPTED = "unattempted"
    """Never attempted and not stored."""


ALL_STATUSES = tuple(PageStatus)
UNSAFE_STATUSES = ALL_STATUSES[: ALL_STATUSES.index(PageStatus.OK)]
"""Statuses that no correct server causes."""
