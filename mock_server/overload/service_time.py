"""How long a worker needs for an upload: drawn for its page and attempt, whatever was drawn before.

The mock server and a simulation in virtual time draw the same times for the same seed.
"""

from __future__ import annotations

from mock_server.profile.keyed_random import SEPARATOR, keyed_uniform, uniform_of
from mock_server.profile.server_profile import ServerProfile
from mock_server.profile.units import NANOSECONDS


def page_label(form: str, page: int) -> str:
    """A page between station and attempt in the key of an upload: the same for all stations."""
    return f"{SEPARATOR}{form}{SEPARATOR}{page}{SEPARATOR}"


class ServiceTimes:
    """The service times of one profile and seed."""

    def __init__(self, profile: ServerProfile, seed: int) -> None:
        self._seed = seed
        self._prefix = SEPARATOR.join((str(seed), "service", ""))
        self._service_time = profile.service_time.sampler()
        self._bytes_per_s = profile.bytes_per_s
        self._reading_time = profile.reading_time if profile.reading == "asynchronous" else None

    def seconds(self, station: str, form: str, page: int, attempt: int, size_bytes: int) -> float:
        """The time at full capacity and without contention, for the `attempt`-th upload of a page, in whole nanoseconds."""
        return self.seconds_of(f"{station}{page_label(form, page)}{attempt}", size_bytes)

    def seconds_of(self, upload: str, size_bytes: int) -> float:
        """The same for an upload that is named already: by its station, the `page_label` and the attempt."""
        seconds: float = self._service_time(uniform_of(self._prefix + upload))
        if self._bytes_per_s is not None:
            seconds += size_bytes / self._bytes_per_s
        if self._reading_time is not None:
            seconds += self._reading_time.quantile(keyed_uniform(self._seed, "reading", upload))
        return round(seconds, NANOSECONDS)
