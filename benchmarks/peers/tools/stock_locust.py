"""Stock Locust: FastHttpUser, users that pace themselves (constant_throughput), one process.

A closed workload: a user that waits for an answer asks nothing, and doesn't make up for it.
"""

from __future__ import annotations

import json
import math
from importlib.metadata import version as installed_version
from pathlib import Path

from benchmarks.peers.tools.tool import PERCENTILES, Tool, ToolJob, ToolReport

_LOCUSTFILE = Path(__file__).with_name("stock_locustfile.py")


def _command(binary: str, job: ToolJob) -> list[str]:
    """All users at once."""
    users = ["-u", str(job.connections), "-r", str(job.connections), "-t", f"{math.ceil(job.duration_s)}s"]
    locust = [binary, "-P", "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--only-summary", "--json"]
    return [*locust, *users, "-H", job.url]


def _environment(job: ToolJob) -> dict[str, str]:
    """What our locustfile asks for; a ~/.locust.conf of the user's must not steer it."""
    rate = 0.0 if job.rate_per_s is None else job.rate_of_one
    return {"BENCH_BODY": str(job.body), "BENCH_RATE_OF_ONE": f"{rate:g}", "HOME": str(job.folder)}


def _told(output: str, _: ToolJob) -> ToolReport:
    """Its histogram (whole milliseconds, two digits above 100 ms), read by Locust's own rule."""
    (entry,) = json.loads(output[output.index("[") :])
    times = {int(ms): count for ms, count in entry["response_times"].items()}
    count = int(entry["num_requests"])
    seconds = {name: percentile_ms(times, count, share) / 1e3 for name, share in PERCENTILES.items()}
    return ToolReport(count, int(entry["num_failures"]), {**seconds, "max": entry["max_response_time"] / 1e3})


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


TOOL = Tool(
    name="stock Locust",
    advice="pip install locust",  # ours is built on it: it is always there
    keeps_rate=True,
    version=lambda _: installed_version("locust"),
    command=_command,
    environment=_environment,
    told=_told,
)
