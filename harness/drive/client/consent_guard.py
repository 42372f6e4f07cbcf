"""One worker's check of the target's consent: reads the document itself, keeps to its share of the rate, stops when it ends.

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
"""Shorter waits for the rate are not counted: they are noise of the scheduler, not a limit that changed the load."""


class ConsentGuard:
    """Lets requests through while the target consents to the load.

    Every worker has its own, so that a worker stops by itself even if its leader is gone. Times are on the monotonic clock,
    not since T0: the consent must be known before T0 is.
    """

    def __init__(
        self,
        origin: Origin,
        address: str,
        token: str,
        workers: int,
        context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the consent once. Raises ConsentError if there is none: this worker must then send nothing.

        `address` is the pinned IP address of `origin`, `token` what the document must name, `workers` how many share the
        rate; `context` is that of the uploads if the target speaks TLS.
        """
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
            message = (
                f"the target consents to {consent.max_requests_per_s:g} requests per second, which is less than one for "
                f"each of {workers} workers: use fewer workers"
            )
            raise ConsentError(message)
        self._monitor = ConsentMonitor(consent, began_s)
        self._limiter = RateLimiter(share)
        self._loops: list[gevent.Greenlet] = []
        self.held_back = 0
        """How often an attempt or a request had to wait for the rate."""

    @property
    def halted(self) -> str:
        """Why nothing more may be sent; "" while sending is allowed."""
        return self._monitor.halted(self._clock())

    def start(self, on_halt: Callable[[], None]) -> None:
        """Read the consent regularly from now on; `on_halt` is called once, when it has ended."""
        self._loops = [gevent.spawn(self._read), gevent.spawn(self._poll, on_halt)]

    def wait_for_rate(self) -> None:
        """Wait until the rate has room for a request. Call before an attempt begins.

        So the wait counts as lateness of the generator, not as response time of the server.
        """
        began_s = self._clock()
        while (left_s := self._limiter.free_s() - self._clock()) > 0:
            gevent.sleep(left_s)
        self.held_back += self._clock() - began_s > REPORTED_WAIT_S

    def before_request(self) -> None:
        """Count a request against the rate, after waiting if need be. Ends the greenlet if the consent has ended."""
        self._exit_if_halted()
        left_s = self._limiter.take(now := self._clock()) - now
        if left_s > 0:
            self.held_back += left_s > REPORTED_WAIT_S
            gevent.sleep(left_s)
            self._exit_if_halted()

    def check_redirect(self, status: int, location: str) -> None:
        """Check a response: a redirect to another origin ends the consent, which was given for this one alone."""
        elsewhere = cross_origin_redirect(self._origin, status, location)
        if elsewhere:
            self._monitor.withdraw(f"the target redirects elsewhere: {elsewhere[:200]!r}")

    def _exit_if_halted(self) -> None:
        if self.halted:
            raise gevent.GreenletExit

    def _read(self) -> None:
        while not self.halted:
            # A reading counts from its beginning: what it says may have been true only then.
            began_s = self._clock()
            try:
                self._monitor.read(read_consent(self._origin, self._address, self._token, self._context), began_s)
            except ConsentUnreadableError as error:
                self._monitor.unreadable(str(error))
            except ConsentError as error:
                self._monitor.withdraw(str(error))
            gevent.sleep(POLL_INTERVAL_S)

    def _poll(self, on_halt: Callable[[], None]) -> None:
        # A loop of its own: a reading that hangs must not delay the moment at which the consent runs out.
        while not self.halted:
            gevent.sleep(_POLL_S)
        on_halt()
