"""Load-test consent: the document that a target publishes, and the rules under which a run may start and continue. Pure.

A load tester can take down a server, so only loopback needs no consent. Any other target publishes, at
/.well-known/load-test-consent, the token that this machine derived for it, a contact, an end time and a maximum rate. The
reasons are in docs/how-to/consent.md.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from harness.base.address import Origin
from harness.base.errors import UsageError
from harness.base.safe_files import parse_json

CONSENT_PATH = "/.well-known/load-test-consent"
MAX_CONSENT_BYTES = 4_096
POLL_INTERVAL_S = 0.5
"""Pause between the end of one read and the start of the next."""
READ_TIMEOUT_S = 1.0
"""For reading the whole document, connecting included."""
MAX_UNREAD_S = 1.75
"""A consent that could not be read for this long has ended. With the time that stopping takes, load ends within 2 s."""
MAX_AHEAD_S = 31 * 86_400.0
"""A consent that ends later than this is refused: one that its owner has forgotten must not stay valid forever."""
RATE_WINDOW_S = 1.0


class ConsentError(UsageError):
    """The target has not consented, or not to this run."""


class Consent(BaseModel):
    """The consent document. Unknown keys are ignored, so that the format can grow."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    token: Annotated[str, Field(min_length=16, max_length=200)]
    contact: Annotated[str, Field(min_length=3, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    until: AwareDatetime
    """When the consent ends, with a time zone."""
    max_requests_per_s: Annotated[float, Field(strict=True, ge=1, le=1e7, allow_inf_nan=False)]
    """Requests of any kind in any second, over all workers. Strict: `true` or "10" would be a mistake, so they are refused."""


def derive_token(secret: bytes, origin: Origin) -> str:
    """The token for a target: the same whenever this machine asks, and no hint to that of another origin or machine."""
    digest = hmac.new(secret, f"load-test-consent/1\n{origin}".encode(), hashlib.sha256)
    return f"ltc1-{digest.hexdigest()[:40]}"


def parse_consent(body: bytes, token: str, now: datetime) -> Consent:
    """The consent in a document, checked: it names our token and is valid at `now`.

    Raises ConsentError with the reason otherwise.
    """
    if len(body) > MAX_CONSENT_BYTES:
        message = f"{CONSENT_PATH} is larger than {MAX_CONSENT_BYTES:,} bytes"
        raise ConsentError(message)
    try:
        consent = Consent.model_validate(parse_json(body))
    except ValidationError as error:  # a ValueError too, so it has to come first
        detail = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in detail["loc"]) or "the document"
        message = f"{CONSENT_PATH}: {key}: {detail['msg']}"
        raise ConsentError(message) from None
    except ValueError:
        message = f"{CONSENT_PATH} is not JSON"
        raise ConsentError(message) from None
    if not hmac.compare_digest(consent.token.encode(), token.encode()):
        message = f"{CONSENT_PATH} names another token than this machine's"
        raise ConsentError(message)
    left_s = (consent.until - now).total_seconds()
    if left_s <= 0:
        message = f"the consent ended at {consent.until:%Y-%m-%d %H:%M:%S %Z}"
        raise ConsentError(message)
    if left_s > MAX_AHEAD_S:
        message = (
            f"the consent ends more than {MAX_AHEAD_S / 86_400:.0f} days ahead: choose an earlier end and renew it"
        )
        raise ConsentError(message)
    return consent


def check_covers(consent: Consent, now: datetime, longest_s: float, peak_per_s: float, workers: int) -> None:
    """Raise ConsentError if a run may outlast the consent, or its plan exceeds the rate."""
    left_s = (consent.until - now).total_seconds()
    if left_s < longest_s:
        message = f"the consent ends in {left_s:.0f} s, and the run may take {longest_s:.0f} s"
        raise ConsentError(message)
    rate = consent.max_requests_per_s
    if peak_per_s > rate:
        message = (
            f"the plan has {peak_per_s:,.0f} requests in its busiest second, and the target consents to {rate:g}/s"
        )
        raise ConsentError(message)
    if rate_per_worker(rate, workers) < 1:
        message = f"{rate:g} requests per second cannot be shared by {workers} workers: use fewer"
        raise ConsentError(message)


def rate_per_worker(rate_per_s: float, workers: int) -> int:
    """Requests that each worker may send in any second: rounded down, so that all together never exceed the rate.

    >>> rate_per_worker(10, 3)
    3
    """
    return math.floor(rate_per_s / workers)


class ConsentMonitor:
    """Whether the consent is still valid. Give it the result of every read; ask `halted` before every request.

    All times are seconds on one monotonic clock, the caller's. Once ended, a consent does not come back within a run.
    """

    def __init__(self, consent: Consent, now_s: float) -> None:
        """`consent` is valid; reading it began at `now_s`."""
        self._rate = consent.max_requests_per_s
        self._valid_s = now_s
        self._last_failure = ""
        self._ended = ""

    def read(self, consent: Consent, began_s: float) -> None:
        """The consent was read again. It counts from the start of the read, when the target was certainly not asked yet.

        A lower rate ends it: the plan was made for the higher one.
        """
        if consent.max_requests_per_s < self._rate:
            self.withdraw(f"the rate was lowered to {consent.max_requests_per_s:g}/s")
        self._valid_s, self._last_failure = max(self._valid_s, began_s), ""

    def unreadable(self, why: str) -> None:
        """A read failed: no answer, or not in time. That alone does not end the consent."""
        self._last_failure = why

    def withdraw(self, why: str) -> None:
        """The consent has ended; the first reason is kept."""
        self._ended = self._ended or why

    def halted(self, now_s: float) -> str:
        """Why the run must stop now, or "" while it may continue."""
        if not self._ended and now_s - self._valid_s > MAX_UNREAD_S:
            reason = self._last_failure or "no answer"
            self._ended = f"{CONSENT_PATH} could not be read for {MAX_UNREAD_S:g} s: {reason}"
        return self._ended


@dataclass(slots=True)
class RateLimiter:
    """Admits at most `max_requests` in any second, in the order of asking.

    A sliding window over the times of the last requests. A token bucket would admit up to twice the rate within a second that
    begins in the middle of a burst; the consent is for any second, wherever it begins.
    """

    max_requests: int
    _admitted: deque[float]

    def __init__(self, max_requests: int) -> None:
        self.max_requests = max_requests
        self._admitted = deque(maxlen=max_requests)

    def free_s(self) -> float:
        """From when on the next request may be sent; -inf if it could always have been."""
        return self._admitted[0] + RATE_WINDOW_S if len(self._admitted) == self.max_requests else -math.inf

    def take(self, now_s: float) -> float:
        """Reserve the next place; returns when it may be used, at or after `now_s`."""
        at_s = max(now_s, self.free_s())
        self._admitted.append(at_s)
        return at_s
