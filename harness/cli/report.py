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
    # An earlier run is no result of the CI job that looks at it.
    finish_run(folder, own_assertions(folder), to_ci=False)
