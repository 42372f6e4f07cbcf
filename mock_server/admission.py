"""When to refuse an upload at once instead of letting it wait, and what pause to ask for."""

from __future__ import annotations

from collections.abc import Callable

from mock_server.profile import ServerProfile
from mock_server.service import Pool


class Admission:
    """Asked twice for each upload: before its body is read, and before it joins the queue."""

    def __init__(self, profile: ServerProfile, pool: Pool) -> None:
        self._profile = profile
        self._pool = pool
        self._refuses = _POLICIES[profile.shed]

    def refusal(self, client_timeout_s: float | None = None) -> str | None:
        """Why an upload is refused now (a label for the metric), or None."""
        return self._refuses(self._pool, client_timeout_s)

    def retry_after_s(self, draw: float) -> float | None:
        """The pause that a refusal asks for; `draw` is a uniform number for the jittered one."""
        profile = self._profile
        if profile.retry_after == "none":
            return None
        if profile.retry_after == "queue_estimate":
            return self._pool.expected_wait_s()
        return profile.retry_after_time * (1 + (draw if profile.retry_after == "jittered" else 0))


def _none(_pool: Pool, _timeout_s: float | None) -> str | None:
    return None


def _queue_full(pool: Pool, _timeout_s: float | None) -> str | None:
    return "queue_full" if pool.is_full else None


_POLICIES: dict[str, Callable[[Pool, float | None], str | None]] = {"none": _none, "queue_full": _queue_full}
