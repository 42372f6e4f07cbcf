"""A scenario with more or fewer stations: the load of a capacity search, as a factor on the scenario's own."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness.base.errors import ConfigurationError, UsageError
from harness.base.model import Station
from harness.plan.plan import load_stations
from harness.scenario.arrivals import ClosedArrivals, ConstantArrivals, PoissonArrivals, ReplayArrivals
from harness.scenario.scenario import Scenario

_LOAD_OPTION = "--load"
_MAX_STATIONS_PER_KELURAHAN = 999
_FACTOR = re.compile(r"\s*([\d.]+)\s*x\s*")


def parse_loads(text: str) -> tuple[float, ...]:
    """The factors of "0.5x,1x,2x", ascending. Raises UsageError for anything else.

    >>> parse_loads("2x, 0.5x,1x")
    (0.5, 1.0, 2.0)
    """
    found = []
    for part in text.split(","):
        match = _FACTOR.fullmatch(part)
        try:
            found.append(float(match[1]) if match else 0.0)
        except ValueError:
            found.append(0.0)
        if not 0 < found[-1] <= 1000:
            message = f'--load "{part.strip()}" should be a factor above 0, as in 0.5x,1x,2x'
            raise UsageError(message)
    return tuple(sorted(set(found)))


def scale_load(scenario: Scenario, factor: float, folder: Path) -> Scenario:
    """The scenario with `factor` times its stations, which arrive in the same time; in a closed loop also its phones.

    More stations than the region has are made by enlarging each kelurahan: the region file goes into `folder`. Raises
    ConfigurationError for a replay, which has a due time for each of its stations and for no others.
    """
    if factor == 1:
        return scenario
    if isinstance(scenario.arrivals, ReplayArrivals):
        problem = "a replayed run can't be scaled: it has due times for its own stations only"
        raise ConfigurationError(_LOAD_OPTION, [problem])
    arrivals = scenario.arrivals
    if isinstance(arrivals, ConstantArrivals | PoissonArrivals) and arrivals.rate is not None:
        return scenario.model_copy(update={"arrivals": arrivals.model_copy(update={"rate": arrivals.rate * factor})})
    own = scenario.stations.count or len(load_stations(scenario.stations))
    scaled = with_stations(scenario, max(1, round(own * factor)), folder)
    if isinstance(scenario.arrivals, ClosedArrivals):
        phones = max(1, round(scenario.arrivals.phones * factor))
        return scaled.model_copy(update={"arrivals": scenario.arrivals.model_copy(update={"phones": phones})})
    return scaled


def with_stations(scenario: Scenario, count: int, folder: Path) -> Scenario:
    """The scenario with `count` stations; if its region has fewer, each kelurahan is enlarged and the file goes into `folder`."""
    stations = load_stations(scenario.stations)
    if count <= len(stations):
        changed = scenario.stations.model_copy(update={"count": count})
    elif scenario.stations.file is not None:
        problem = f"{count:,} stations: the list {scenario.stations.file} has {len(stations):,}, and only a region can be enlarged"
        raise ConfigurationError(_LOAD_OPTION, [problem])
    else:
        path = folder / f"region-{count}.csv"
        if not path.exists():  # simulations that were begun ahead may be reading it
            unfinished = path.with_suffix(".new")
            unfinished.write_text(_enlarged(stations, count), "utf-8")
            unfinished.replace(path)
        changed = scenario.stations.model_copy(update={"region": str(path), "count": None})
    return scenario.model_copy(update={"stations": changed})


def _enlarged(stations: Sequence[Station], count: int) -> str:
    """A region file with `count` stations, in the kelurahan of these stations and in their proportions."""
    sizes = Counter((one.kelurahan, one.kelurahan_name) for one in stations)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["code", "name", "stations"])
    before = made = 0
    for (code, name), size in sorted(sizes.items()):
        before += size
        # rounding the running total, not each size, makes the sum exact
        wanted, made = round(count * before / len(stations)) - made, round(count * before / len(stations))
        if wanted > _MAX_STATIONS_PER_KELURAHAN:
            problem = f"{count:,} stations: {name} would have {wanted:,}, a kelurahan has at most {_MAX_STATIONS_PER_KELURAHAN}"
            raise ConfigurationError(_LOAD_OPTION, [problem])
        writer.writerow([code, name, wanted])
    return text.getvalue()
