"""`python -m benchmarks.peers.tools.ours_run SCENARIO URL FOLDER`: a run as `harness run` makes it, summed up, not drawn."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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
from reports.terminal import QuietView


def main(source: str, url: str, path: str) -> None:
    """Run and sum up. Raises UsageError if the plan doesn't fit this machine, ChildError if the run was broken off."""
    loaded = loader.load_scenario(source, [], None, read_planned_due)
    plan = make_plan(loaded)
    foreign = admit_target(url, loaded, plan, 1, os.environ, allow_command=False)
    misfits = capacity.find_capacity_problems(loaded, plan, 1, foreign.address)
    if misfits:
        raise UsageError("\n".join(misfits))
    folder = RunFolder(Path(path))
    order = RunSpec(loaded, plan, folder, "bench", ["harness", "bench"], [], foreign=foreign)
    with SignalHandler() as signals:
        Run(order, QuietView("bench"), signals).execute()
    ended = folder.read_run().ended
    if ended is None or ended.how not in {"completed", "deadline"}:
        raise ProcessFailedError("the run was broken off" if ended is None else f"{ended.how}: {ended.message}")
    summarise(folder)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except HarnessError as error:
        sys.exit(str(error))
