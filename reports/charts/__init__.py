"""The charts of a run, in the order of the page: each a module with its finding (words) and its drawing (a Figure).

To add one: write a module with `finding`, `draw` and `CHART`, and name it here. The page, the files in `report/` and
the tests that hold for every chart follow.
"""

from reports.charts import (
    completion,
    failures,
    generator,
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
    failures.CHART,
    responses.CHART,
    spectrum.CHART,
    timespent.CHART,
    tries.CHART,
    server.CHART,
    generator.CHART,
)

__all__ = ["CHARTS", "Chart"]
