"""Whether the server stopped answering for good: the stretch at the end of a run in which nothing came back any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.summary import Silence
from harness.base.model import ANSWERED, OUTCOMES, TIMED_OUT, Outcome

if TYPE_CHECKING:
    from harness.analysis.rows import Rows

MIN_UNANSWERED_ATTEMPTS = 3
MIN_SILENCE_S = 1.0
"""Fewer attempts, or a shorter stretch, is how any run with a failure or two can end."""
UNANSWERED = TIMED_OUT | {Outcome.REFUSED, Outcome.RESET, Outcome.CLOSED, Outcome.MALFORMED, Outcome.TLS_FAILED}
"""The attempt is over, and no answer came. What was in flight, held back or failed on our side tells nothing."""


def find_silence(rows: Rows) -> Silence | None:
    """The silence that a run ended in; None where answers came to the end.

    Counts attempts that were sent after the last answer of any kind, an error included, had come: one that times out says
    by that alone that the silence lasted as long as the client's timeout.
    """
    attempts = rows.attempts
    answered = attempts.ended_as(ANSWERED)
    since_s = float(attempts.done_s[answered].max()) if answered.any() else None
    after = attempts.ended_as(UNANSWERED) & (attempts.sent_s >= (0.0 if since_s is None else since_s))
    if int(after.sum()) < MIN_UNANSWERED_ATTEMPTS:
        return None
    until_s = float(attempts.done_s[after].max())
    lasted_s = until_s - (float(attempts.sent_s[after].min()) if since_s is None else since_s)
    if lasted_s < MIN_SILENCE_S:
        return None
    counts = np.bincount(attempts.outcome[after], minlength=len(OUTCOMES))
    found = {str(outcome): int(count) for outcome, count in zip(OUTCOMES, counts, strict=True) if count}
    return Silence(
        since_s=since_s,
        until_s=until_s,
        attempts=sum(found.values()),
        by_outcome=dict(sorted(found.items(), key=lambda item: -item[1])),
    )
