"""`token_bucket`: a retry costs a token, a delivery earns a tenth of one; without a token there is no retry.

Marc Brooker, "Fixing retries with token buckets and circuit breakers" (2022), the adaptive strategy. His clients make many
calls; a station has three pages to send, so its bucket is smaller (capacity 3, not 10). It is full to begin with.
"""

from __future__ import annotations

from harness.base.model import DELIVERED, Outcome
from harness.run_folder.journal import GiveUpReason
from harness.scenario.retry import TokenBucketRetry
from harness.station.retry.backoff import full_jitter_s
from harness.station.retry.rng import RandomSource
from harness.station.retry.strategy import FailedAttempt, RetryStrategy

_DECIMALS = 9
"""Ten tenths are a whole token, whatever binary fractions make of them."""


class TokenBucket(RetryStrategy):
    """Retries while there are tokens, after U(0, v)."""

    def __init__(self, config: TokenBucketRetry, rng: RandomSource) -> None:
        """`rng` is the station's own, so that stations don't share their luck."""
        self._config = config
        self._rng = rng
        self.tokens = config.capacity

    def ended(self, outcome: Outcome, now_s: float) -> None:  # noqa: ARG002
        """Earn by a delivery."""
        if outcome in DELIVERED:
            self.tokens = round(min(self._config.capacity, self.tokens + self._config.earned), _DECIMALS)

    def pause(self, failure: FailedAttempt) -> float | GiveUpReason:
        """Pay for a retry, or give the page up."""
        if self.tokens < 1:
            return GiveUpReason.WITHHELD
        self.tokens = round(self.tokens - 1, _DECIMALS)
        return full_jitter_s(self._config, failure.attempts - 1, self._rng)
