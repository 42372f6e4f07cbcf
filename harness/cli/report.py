"""`harness report`: the report of an earlier run, written again."""

from __future__ import annotations

from harness.cli.options import PrometheusUrl, RunPath, own_assertions, run_folder
from harness.runner.finish import finish_run
from harness.runner.prometheus import reachable_prometheus, reimport_scrapes


def report(path: RunPath, prometheus: PrometheusUrl = None) -> None:
    """Write the report of a run again, from its folder alone."""
    folder = run_folder(path)
    if prometheus is not None:
        reimport_scrapes(folder, folder.read_run(), reachable_prometheus("--prometheus", prometheus))
    # Not to CI: the job that looks at an earlier run has not made it.
    finish_run(folder, own_assertions(folder), to_ci=False)
