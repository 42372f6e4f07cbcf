"""Stock Locust: FastHttpUser, users that pace themselves (constant_throughput), one process."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

from harness.bench.peers.tool import PERCENTILES, Job, Reading, UnreadableOutputError, tail

_LOCUSTFILE = Path(__file__).with_name("stock_locustfile.py")


@dataclass(frozen=True)
class StockLocust:
    """A closed workload: a user that waits for an answer asks nothing, and doesn't make up for it."""

    name: str = "stock Locust"
    advice: str = "pip install locust"
    keeps_rate: bool = True
    marker: bytes = b""

    def find(self) -> str | None:
        """Ours is built on it: it is always there."""
        return sys.executable

    def version(self, binary: str) -> str:  # noqa: ARG002 - the interface's
        """The package's."""
        return installed_version("locust")

    def command(self, binary: str, job: Job) -> list[str]:
        """All users at once."""
        users = ["-u", str(job.connections), "-r", str(job.connections), "-t", f"{math.ceil(job.duration_s)}s"]
        locust = [binary, "-P", "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--only-summary", "--json"]
        return [*locust, *users, "-H", job.url]

    def environment(self, job: Job) -> dict[str, str]:
        """What our locustfile asks for; a ~/.locust.conf of the user's must not steer it."""
        rate = 0.0 if job.rate_per_s is None else job.rate_of_one
        return {"BENCH_BODY": str(job.body), "BENCH_RATE_OF_ONE": f"{rate:g}", "HOME": str(job.folder)}

    def read(self, output: str, job: Job) -> Reading:  # noqa: ARG002 - the interface's
        """Its histogram (whole milliseconds, two digits above 100 ms), read by Locust's own rule."""
        try:
            (entry,) = json.loads(output[output.index("[") :])
            times = {int(ms): count for ms, count in entry["response_times"].items()}
            count = int(entry["num_requests"])
            seconds = {name: percentile_ms(times, count, share) / 1e3 for name, share in PERCENTILES.items()}
            return Reading(count, int(entry["num_failures"]), {**seconds, "max": entry["max_response_time"] / 1e3})
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UnreadableOutputError(tail(output)) from None


def percentile_ms(times: dict[int, int], count: int, share: float) -> int:
    """What Locust tells as a percentile of its histogram {milliseconds: requests}.

    >>> percentile_ms({1: 50, 2: 49, 300: 1}, 100, 0.5), percentile_ms({1: 50, 2: 49, 300: 1}, 100, 0.99)
    (2, 300)

    Not the nearest rank, which would be (1, 2): Locust's own rule, from above.
    """
    wanted, seen = int(count * share), 0
    for ms in sorted(times, reverse=True):
        seen += times[ms]
        if count - seen <= wanted:
            return ms
    return 0


TOOL = StockLocust()
