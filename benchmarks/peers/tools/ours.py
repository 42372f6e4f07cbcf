"""Our own generator, as `harness run` drives it: Locust on our locustfile, journal, histograms and metrics on.

An open workload: a station's first page when it turns up, the next when the one before has ended. The only thing left out is
the drawing of the report, which comes when all is measured.
"""

from __future__ import annotations

import json
import math

from benchmarks.peers.tools.tool import PERCENTILES, Tool, ToolJob, ToolReport
from harness import __version__
from harness.run_folder.layout import RunFolder

PAGES = 3
"""Of the form ppwp: a station's uploads, one after another."""
_PATH = "/{station}-{form}-{page}"
_FASTEST_PER_S = 40_000
"""More than one core can do: so many uploads a second are planned where there is no rate."""


def _command(binary: str, job: ToolJob) -> list[str]:
    """Writes the scenario into the job's folder."""
    file = job.folder / "scenario.toml"
    file.write_text(scenario(job), "utf-8")
    return [binary, "-P", "-m", "benchmarks.peers.tools.ours_run", str(file), job.url, str(folder_of(job).path)]


def _told(_: str, job: ToolJob) -> ToolReport:
    """The run's own summary.json; a percentile that the sample can't bear is missing there, and so here."""
    summary = json.loads(folder_of(job).summary.read_bytes())
    answered = summary["response_seconds"]
    seconds = {name: answered[name] for name in (*PERCENTILES, "max") if answered[name] is not None}
    by_outcome = {name: spread["count"] for name, spread in answered["by_outcome"].items()}
    made = int(summary["attempts"]["total"])
    return ToolReport(made, made - by_outcome.get("accepted", 0), seconds)


def folder_of(job: ToolJob) -> RunFolder:
    """Where a job's run is."""
    return RunFolder(job.folder / "run")


def scenario(job: ToolJob) -> str:
    """The scenario of a job: the same number of uploads, due a second, of bodies of the same size.

    Stations turn up in equal steps. At saturation phones go round without a pause (closed arrivals).
    """
    rate = job.rate_per_s or _FASTEST_PER_S
    stations = math.ceil(rate * job.duration_s / PAGES)
    if job.rate_per_s is None:
        deadline_s, arrivals = job.duration_s, f'kind = "closed"\nphones = {job.connections}\nthink = "0s"'
    else:
        deadline_s, arrivals = job.duration_s + 4, f'kind = "constant"\nover = "{job.duration_s:g}s"'
    return _SCENARIO.format(
        deadline_s=f"{deadline_s:g}",
        stations=stations,
        size_bytes=job.body.stat().st_size,
        arrivals=arrivals,
        path=_PATH,
    )


_SCENARIO = """\
name = "bench"
seed = 1
deadline = "{deadline_s}s"
[stations]
region = "provinces"
count = {stations}
[photos]
size = "{size_bytes}B"
bank = 1
[arrivals]
{arrivals}
[client]
protocol = "put"
connection = "reuse"
timeout = "10s"
retry = {{ strategy = "none" }}
[target]
method = "PUT"
path = "{path}"
accept_unknown_safety = true
"""


def page_path(station: str, form: str, page: int) -> str:
    """Under which path a page goes out."""
    return _PATH.format(station=station, form=form, page=page)


TOOL = Tool(
    name="ours",
    advice="",
    keeps_rate=True,
    version=lambda _: __version__,
    command=_command,
    told=_told,
    marker=b"locustfile.py",
)
