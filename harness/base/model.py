"""The words of the domain as frozen types: Station, Page, Attempt, Outcome, Phase.

All times are seconds since T0 of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """How an attempt ended: a fixed list, also the only values of the metric label `outcome`."""

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
    """What the generator had too little of for an attempt: the causes of a generator_error."""

    DESCRIPTORS = "descriptors"
    PORTS = "ports"
    MEMORY = "memory"
    MAX_IN_FLIGHT = "max_in_flight"
    """The scenario's own limit: more stations at once than a worker may hold."""


OUTCOMES = tuple(Outcome)
"""Their order is the number that the journal stores: append, never reorder."""

DELIVERED = frozenset({Outcome.ACCEPTED, Outcome.REPLAYED})
"""The page is acknowledged."""

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
"""A whole HTTP answer came."""

TIMED_OUT = frozenset({Outcome.TIMEOUT_CONNECT, Outcome.TIMEOUT_SEND, Outcome.TIMEOUT_RESPONSE})

NOT_FAILURES = DELIVERED | {Outcome.PENDING, Outcome.CENSORED, Outcome.WITHHELD}
"""Outcomes that a failures chart leaves out."""


class PageKey(NamedTuple):
    """What identifies a page: station code (13 digits), form, page number from 1."""

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
        """The village's 10-digit code."""
        return self.code[:10]


@dataclass(frozen=True, slots=True)
class Page:
    """One photo that has to arrive: a row of the plan."""

    index: int
    """Row number in the plan, from 0: what the journal names a page by."""
    station: str
    form: str
    page: int
    due_s: float
    """When its station turns up."""
    size_bytes: int
    sha256: str
    reading: str
    """The figures confirmed for the form as canonical JSON, or "" on pages that carry no votes."""

    @property
    def key(self) -> PageKey:
        """Station, form and page number."""
        return PageKey(self.station, self.form, self.page)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver one page; a row of attempts.parquet. Times that were not reached are None."""

    due_s: float
    """When the station was ready to make it."""
    sent_s: float | None = None
    """Just before connecting."""
    connected_s: float | None = None
    body_sent_s: float | None = None
    first_byte_s: float | None = None
    done_s: float | None = None
    outcome: Outcome = Outcome.CENSORED
    status: int = 0
    sent_bytes: int = 0
    resent_bytes: int = 0
    retry_after_s: float | None = None
    login_s: float | None = None
    queue_s: float | None = None
    server_s: float | None = None

    def response_s(self) -> float | None:
        """Seconds that someone who came on schedule waited; None while unfinished.

        Counts from `due_s`, not `sent_s`, so a stalled generator cannot hide its own stall (wrk2's rule).

        >>> Attempt(due_s=1.0, sent_s=4.0, done_s=4.5, outcome=Outcome.ACCEPTED).response_s()
        3.5
        """
        return None if self.done_s is None else self.done_s - self.due_s

    def service_s(self) -> float | None:
        """Seconds from just before connecting to the end of the answer; None while unfinished.

        >>> Attempt(due_s=1.0, sent_s=4.0, done_s=4.5, outcome=Outcome.ACCEPTED).service_s()
        0.5
        """
        return None if self.done_s is None or self.sent_s is None else self.done_s - self.sent_s

    def lateness_s(self) -> float | None:
        """Seconds by which the generator itself was late; None if never sent.

        >>> Attempt(due_s=1.0, sent_s=1.25).lateness_s()
        0.25
        """
        return None if self.sent_s is None else self.sent_s - self.due_s


@dataclass(frozen=True, slots=True)
class Phase:
    """An interval between fault edges, named by the active faults joined with "+", else "clear"."""

    name: str
    start_s: float
    end_s: float
