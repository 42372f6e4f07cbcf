"""What an own client implements (`Delivery`) and what it is given (`Sender`, `Response`), by contract."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.base.model import Outcome
from harness.protocol.photo import Photo, PhotoSlice
from harness.station.response_outcome import classify_status

BodyPart = bytes | Photo | PhotoSlice
Body = BodyPart | Sequence[BodyPart]
"""The body of a request: bytes, a photo, a slice of one, or several of these one after another. Nothing of it is copied."""


class ResponseError(Exception):
    """The server's response is not what the client needs to go on: the attempt ends as `malformed`.

    Raise it for a response that the server should not have sent. Any other exception counts as a bug of the client.
    """


@dataclass(frozen=True, slots=True)
class Response:
    """A complete HTTP response. Redirects are responses too: the harness never follows one."""

    status: int
    headers: Mapping[str, str]
    """Values by lower-case name; the last value of a repeated header."""
    body: bytes
    """At most 1 MiB of it; the rest was read and dropped."""

    @property
    def outcome(self) -> Outcome:
        """What the status alone means, as for the mock: 200 replayed, 201 accepted, 202 pending, 422 unreadable, 429 throttled,
        503 unavailable, other 4xx rejected, other 5xx server_error, anything else malformed.

        >>> Response(503, {}, b"").outcome
        <Outcome.UNAVAILABLE: 'unavailable'>
        """  # noqa: D205 - the list of statuses is the summary
        return classify_status(self.status)

    def json(self) -> Any:
        """The value of a JSON body. Raises ResponseError if the body is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            message = f"status {self.status} with a body that is not JSON: {self.body[:80]!r}"
            raise ResponseError(message) from None


class Sender(Protocol):
    """Sends the requests of one attempt, one after another, over a connection of its station; valid during that attempt only.

    A request that gets no response (refused, reset, timed out …) raises. That error ends the attempt with the outcome that it
    stands for, whatever the client does with it: don't catch it, it is not the client's to judge. The next attempt, if the
    scenario's retry strategy makes one, calls `attempt` again.
    """

    @property
    def attempt(self) -> int:
        """Which attempt at this page it is, from 1."""

    @property
    def remaining_s(self) -> float:
        """Seconds left of the attempt's time (client.timeout). When it is over, whatever waits here raises."""

    @property
    def pin(self) -> str:
        """The station's PIN: what it logs in with at the mock; elsewhere the last six digits of its code."""

    @property
    def memory(self) -> MutableMapping[str, Any]:
        """What the client keeps for this station from page to page (a token, a session id); no other station has it."""

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment variables whose name begins with TARGET_, those of the leader if workers run on other machines."""

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: Body = b"",
        timeout_s: float | None = None,
    ) -> Response:  # fmt: skip
        """Send one request and return its response.

        `path` begins with "/", or is an absolute URL on the server under test, as a server may hand out. A URL that leads to
        another host raises: the server's consent to be loaded does not extend to it, and the outcome is `malformed`.

        Host and Content-Length are added, and Connection is the harness's too: naming one of them in `headers`, or a value with
        a line break, raises ValueError, a bug of the client.

        `timeout_s` shortens the time for this request; the attempt's own limit always holds.
        """

    def sleep(self, seconds: float) -> None:
        """Wait, as for the next poll of a server's answer, while other stations go on. It is part of the attempt's time."""


class Delivery(Protocol):
    """The upload of one page, over as many attempts as it takes. What its object remembers, its later attempts know.

    An instance is made with the page's photo when the first attempt begins: `MyDelivery(photo)`.
    """

    def attempt(self, sender: Sender) -> Outcome:
        """Try once to deliver the page; return what the responses mean for it.

        `accepted` and `replayed` acknowledge the page: the audit then holds the server to having it. `pending` means that the
        server took it and has not decided, so that the page is tried again; `rejected`, `unreadable`, `throttled`,
        `unavailable` and `server_error` are refusals, `malformed` is a response that fits none of these. Every other outcome is
        the harness's to give, and returning one is a bug, as is returning one before any response was received.
        """
