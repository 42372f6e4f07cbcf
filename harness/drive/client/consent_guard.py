"""One worker's part of a consent: it reads the document itself, keeps to its share of the rate, and stops when it ends.

Targets on loopback have no guard.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable

import gevent

from harness.base.address import Origin, cross_origin_redirect
from harness.target.consent import POLL_INTERVAL_S, ConsentError, ConsentMonitor, RateLimiter, rate_per_worker
from harness.target.consent_reader import ConsentUnreadableError, read_consent

_POLL_S = 0.05
REPORTED_WAIT_S = 0.001
"""A shorter wait for the rate is not worth telling."""


class ConsentGuard:
    """Lets requests through while the target consents. Its clock is the monotonic one, as nothing counts from T0 here."""

    def __init__(
        self,
        origin: Origin,
        address: str,
        token: str,
        workers: int,
        context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`context` is the uploads' own, where the target speaks TLS. Read the consent once. Raises ConsentError where there is none: this worker then sends nothing."""
        self._origin = origin
        self._address = address
        self._token = token
        self._context = context
        self._clock = clock
        began_s = clock()
        try:
            consent = read_consent(origin, address, token, context)
        except ConsentUnreadableError as error:
            raise ConsentError(str(error)) from None
        share = rate_per_worker(consent.max_requests_per_s, workers)
        if share < 1:
            message = f"{consent.max_requests_per_s:g} requests a second can't be shared by {workers} workers"
            raise ConsentError(message)
        self._watch = ConsentMonitor(consent, began_s)
        self._limit = RateLimiter(share)
        self._loops: list[gevent.Greenlet] = []
        self.held_back = 0
        """How often an attempt or a request had to wait for the rate."""

    @property
    def halted(self) -> str:
        """Why nothing more may be sent; "" while it may."""
        return self._watch.halted(self._clock())

    def start(self, on_halt: Callable[[], None]) -> None:
        """Read the consent again and again from now on; `on_halt` is called once, when it has ended."""
        self._loops = [gevent.spawn(self._read), gevent.spawn(self._look, on_halt)]

    def hold(self) -> None:
        """Wait until there is room for a request: before an attempt begins, so that the wait isn't the server's."""
        began_s = self._clock()
        while (left_s := self._limit.free_s() - self._clock()) > 0:
            gevent.sleep(left_s)
        self.held_back += self._clock() - began_s > REPORTED_WAIT_S

    def before_request(self) -> None:
        """Take a place within the rate and wait for it. Ends the greenlet where the consent has ended."""
        self._stop_if_halted()
        left_s = self._limit.take(now := self._clock()) - now
        if left_s > 0:
            self.held_back += left_s > REPORTED_WAIT_S
            gevent.sleep(left_s)
            self._stop_if_halted()

    def heard(self, status: int, location: str) -> None:
        """Look at an answer: a redirect to somewhere else ends the consent, which was for this place alone."""
        elsewhere = cross_origin_redirect(self._origin, status, location)
        if elsewhere:
            self._watch.withdraw(f"the target redirects elsewhere: {elsewhere[:200]!r}")

    def _stop_if_halted(self) -> None:
        if self.halted:
            raise gevent.GreenletExit

    def _read(self) -> None:
        while not self.halted:
            began_s = self._clock()
            try:
                self._watch.read(read_consent(self._origin, self._address, self._token, self._context), began_s)
            except ConsentUnreadableError as error:
                self._watch.unreadable(str(error))
            except ConsentError as error:
                self._watch.withdraw(str(error))
            gevent.sleep(POLL_INTERVAL_S)

    def _look(self, on_halt: Callable[[], None]) -> None:
        while not self.halted:
            gevent.sleep(_POLL_S)
        on_halt()
