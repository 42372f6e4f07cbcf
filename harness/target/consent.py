"""Whether a target wants to be loaded: the consent that it publishes, and the rules under which a run goes on. Pure.

A load tester is a weapon. Loopback needs nothing; any other target publishes, at /.well-known/load-test-consent, the token that
this machine worked out for it, a contact, an end time and a greatest rate. See docs/how-to/consent.md for the reasons.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from harness.base.address import Origin
from harness.base.errors import UsageError

CONSENT_PATH = "/.well-known/load-test-consent"
MAX_CONSENT_BYTES = 4_096
POLL_INTERVAL_S = 0.5
"""A read begins so long after the one before has ended."""
READ_TIMEOUT_S = 1.0
"""For the whole document, from connecting on."""
MAX_UNREAD_S = 1.75
"""A consent that nobody could read for so long is none any more: with what stopping takes, that keeps within 2 s."""
MAX_AHEAD_S = 31 * 86_400.0
"""A consent that ends later is refused: one that was forgotten must not stand for ever."""
RATE_WINDOW_S = 1.0


class ConsentError(UsageError):
    """The target hasn't consented, or not to this."""


class Consent(BaseModel):
    """What a target publishes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    token: Annotated[str, Field(min_length=16, max_length=200)]
    contact: Annotated[str, Field(min_length=3, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    until: AwareDatetime
    """When the consent ends; with a time zone."""
    max_requests_per_s: Annotated[float, Field(strict=True, ge=1, le=1e7, allow_inf_nan=False)]
    """Requests of any kind in any second, over all workers. A number: `true` and "10" are none, and nobody's rate."""


def derive_token(secret: bytes, origin: Origin) -> str:
    """The token for a target: the same for this machine and this origin, and no other can be worked out from it."""
    digest = hmac.new(secret, f"load-test-consent/1\n{origin}".encode(), hashlib.sha256)
    return f"ltc1-{digest.hexdigest()[:40]}"


def parse_consent(body: bytes, token: str, now: datetime) -> Consent:
    """The consent in a document's body, if it is one, names our token and holds now.

    Raises ConsentError with what is wrong.
    """
    if len(body) > MAX_CONSENT_BYTES:
        message = f"{CONSENT_PATH} is larger than {MAX_CONSENT_BYTES:,} bytes"
        raise ConsentError(message)
    try:
        consent = Consent.model_validate(json.loads(body))
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in detail["loc"]) or "the document"
        message = f"{CONSENT_PATH}: {key}: {detail['msg']}"
        raise ConsentError(message) from None
    except (ValueError, RecursionError):
        message = f"{CONSENT_PATH} is no JSON"
        raise ConsentError(message) from None
    if not hmac.compare_digest(consent.token.encode(), token.encode()):
        message = f"{CONSENT_PATH} names another token than this machine's"
        raise ConsentError(message)
    left_s = (consent.until - now).total_seconds()
    if left_s <= 0:
        message = f"the consent ended at {consent.until:%Y-%m-%d %H:%M:%S %Z}"
        raise ConsentError(message)
    if left_s > MAX_AHEAD_S:
        message = f"the consent ends more than {MAX_AHEAD_S / 86_400:.0f} days ahead: it must be renewed now and then"
        raise ConsentError(message)
    return consent


def check_covers(consent: Consent, now: datetime, longest_s: float, peak_per_s: float, workers: int) -> None:
    """Raise ConsentError if a run would outlast the consent or its plan goes beyond the rate."""
    left_s = (consent.until - now).total_seconds()
    if left_s < longest_s:
        message = f"the consent ends in {left_s:.0f} s, and the run may take {longest_s:.0f} s"
        raise ConsentError(message)
    rate = consent.max_requests_per_s
    if peak_per_s > rate:
        message = f"the plan has {peak_per_s:,.0f} requests in its busiest second, and the target consents to {rate:g} a second"
        raise ConsentError(message)
    if rate_per_worker(rate, workers) < 1:
        message = f"{rate:g} requests a second can't be shared by {workers} workers: use fewer"
        raise ConsentError(message)


def rate_per_worker(rate_per_s: float, workers: int) -> int:
    """How many requests each of the workers may send in any second: together never more than the rate.

    >>> share_of(10, 3)
    3
    """
    return math.floor(rate_per_s / workers)


class ConsentMonitor:
    """Knows whether the consent still stands. Give it every reading; ask it before every request.

    All times are seconds on one monotonic clock, the caller's.
    """

    def __init__(self, consent: Consent, now_s: float) -> None:
        """`consent` was read and found good; the reading began at `now_s`."""
        self._rate = consent.max_requests_per_s
        self._good_s = now_s
        self._unread = ""
        self._ended = ""

    def read(self, consent: Consent, began_s: float) -> None:
        """The consent was read again; counts from when the reading began. A lower rate ends it: the plan was for more."""
        if consent.max_requests_per_s < self._rate:
            self.withdraw(f"the rate was lowered to {consent.max_requests_per_s:g} a second")
        self._good_s, self._unread = max(self._good_s, began_s), ""

    def unreadable(self, why: str) -> None:
        """It couldn't be read this time: no answer, or not in time."""
        self._unread = why

    def withdraw(self, why: str) -> None:
        """It doesn't stand any more; only the first reason is kept."""
        self._ended = self._ended or why

    def halted(self, now_s: float) -> str:
        """Why the run must stop now; "" while it may go on."""
        if not self._ended and now_s - self._good_s > MAX_UNREAD_S:
            self._ended = f"{CONSENT_PATH} could not be read for {MAX_UNREAD_S:g} s: {self._unread or 'no answer'}"
        return self._ended


@dataclass(slots=True)
class RateLimiter:
    """Lets through so many requests in any second, in the order of asking; the rest wait.

    A sliding window over the moments at which requests were let through: a burst costs nothing until the second is full, and
    no second, wherever it begins, has more.
    """

    most: int
    """Requests in any second."""
    _let: deque[float]

    def __init__(self, most: int) -> None:
        self.most = most
        self._let = deque(maxlen=most)

    def free_s(self) -> float:
        """From when on there is room for a request; -inf if there always was."""
        return self._let[0] + RATE_WINDOW_S if len(self._let) == self.most else -math.inf

    def take(self, now_s: float) -> float:
        """Take the next place; the moment at which it may be used, at or after now."""
        moment = max(now_s, self.free_s())
        self._let.append(moment)
        return moment
