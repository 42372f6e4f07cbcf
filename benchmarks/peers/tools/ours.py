"""Our own generator as `harness run` drives it: Locust with our locustfile; journal, histograms and metrics on.

An open workload: a station's first page is due when it arrives, the next when the one before has ended. Only the report is
not drawn. `python -m benchmarks.peers.tools.ours SCENARIO URL FOLDER` is the process that is measured.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

from benchmarks.peers.tools.tool import PERCENTILES, Tool, ToolJob, ToolReport
from harness import __version__
from harness.analysis.summarise import summarise
from harness.base.errors import HarnessError, ProcessFailedError, UsageError
from harness.base.signals import SignalHandler
from harness.plan import capacity, make_plan
from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import read_planned_due
from harness.runner.run import Run
from harness.runner.run_spec import RunSpec
from harness.scenario import loader
from harness.target.external import admit_target
from reports.live_view import QuietView

PAGES = 3
"""Pages of the form ppwp: the uploads of a station, one after the other."""
_PATH = "/{station}-{form}-{page}"
_FASTEST_PER_S = 40_000
"""More than one core can send: the rate that is planned for a test without a rate."""


def _command(binary: str, job: ToolJob) -> list[str]:
    """The command; writes the scenario into the job's folder."""
    file = job.folder / "scenario.toml"
    file.write_text(scenario(job), "utf-8")
    return [binary, "-P", "-m", "benchmarks.peers.tools.ours", str(file), job.url, str(folder_of(job).path)]


def _parse(_: str, job: ToolJob) -> ToolReport:
    """From the run's summary.json; a percentile for which the sample is too small is null there and missing here."""
    # stdout is ignored: the run folder has exact figures
    summary = json.loads(folder_of(job).summary.read_bytes())
    answered = summary["response_seconds"]
    seconds = {name: answered[name] for name in (*PERCENTILES, "max") if answered[name] is not None}
    by_outcome = {name: distribution["count"] for name, distribution in answered["by_outcome"].items()}
    made = int(summary["attempts"]["total"])
    return ToolReport(made, made - by_outcome.get("accepted", 0), seconds)


def folder_of(job: ToolJob) -> RunFolder:
    """The run folder of a job."""
    return RunFolder(job.folder / "run")


def scenario(job: ToolJob) -> str:
    """The scenario of a job as TOML: as many uploads per second, with bodies of the same size, as the other tools send.

    Stations arrive at equal intervals. Without a rate the workload is closed: phones that never pause.
    """
    # a closed workload needs a plan, too: more stations than can be served within the duration
    rate = job.rate_per_s or _FASTEST_PER_S
    stations = math.ceil(rate * job.duration_s / PAGES)
    if job.rate_per_s is None:
        deadline_s, arrivals = job.duration_s, f'kind = "closed"\nphones = {job.connections}\nthink = "0s"'
    else:
        # the last stations still need time for their second and third page
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
    """The URL path of a page."""
    return _PATH.format(station=station, form=form, page=page)


TOOL = Tool(
    name="ours",
    advice="",
    keeps_rate=True,
    version=lambda _: __version__,
    command=_command,
    parse=_parse,
    marker=b"locustfile.py",
)


def main(source: str, url: str, path: str) -> None:
    """Run and summarise. Raises UsageError if the plan does not fit this machine, ProcessFailedError if the run was aborted."""
    loaded = loader.load_scenario(source, [], None, read_planned_due)
    plan = make_plan(loaded)
    external = admit_target(url, loaded, plan, 1, os.environ, allow_command=False)
    # as `harness run` does: a plan that exceeds the ports or descriptors would fail halfway
    problems = capacity.find_capacity_problems(loaded, plan, 1, external.address)
    if problems:
        raise UsageError("\n".join(problems))
    folder = RunFolder(Path(path))
    spec = RunSpec(loaded, plan, folder, "bench", ["python", "-m", "benchmarks.peers"], [], external=external)
    with SignalHandler() as signals:
        Run(spec, QuietView("bench"), signals).execute()
    ended = folder.read_run().ended
    if ended is None or ended.how not in {"completed", "deadline"}:
        raise ProcessFailedError("the run has no end" if ended is None else f"{ended.how}: {ended.message}")
    summarise(folder)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except HarnessError as error:
        sys.exit(str(error))
