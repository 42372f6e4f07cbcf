"""The charts of a run in the order of the page, one module each.

To add one, write a module with `finding` (a sentence), `draw` (a Figure) and `CHART`, and list it here. The page, the files
in `report/` and the tests for every chart pick it up.
"""

from reports.charts import (
    completion,
    failures,
    generator,
    recapitulation,
    responses,
    server,
    spectrum,
    throughput,
    timespent,
    tries,
)
from reports.charts.style import Chart

CHARTS: tuple[Chart, ...] = (
    throughput.CHART,
    completion.CHART,
    recapitulation.CHART,
    failures.CHART,
    responses.CHART,
    spectrum.CHART,
    timespent.CHART,
    tries.CHART,
    server.CHART,
    generator.CHART,
)

__all__ = ["CHARTS", "Chart"]
