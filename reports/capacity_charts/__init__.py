"""The charts of a capacity search, in the order of the page."""

from reports.capacity_charts.axes import CapacityChart
from reports.capacity_charts.conditions import CONDITIONS
from reports.capacity_charts.demand import DEMAND
from reports.capacity_charts.levels import FINISH, PROBABILITY
from reports.capacity_charts.measured import MEASURED
from reports.capacity_charts.resources import BINDS

CAPACITY_CHARTS: tuple[CapacityChart, ...] = (DEMAND, PROBABILITY, FINISH, MEASURED, CONDITIONS, BINDS)
