"""What a scenario must fulfil before it is run or simulated, besides being valid by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.base.errors import ConfigurationError, RunFolderError
from harness.judge.thresholds.abort_on_fail import AbortThreshold, check_abortable
from harness.judge.thresholds.evaluate import find_problems
from harness.judge.thresholds.planned_run import planned_run
from harness.plan.idle_faults import find_idle_faults
from harness.plan.own_stations import find_station_problems
from harness.run_folder.layout import RunFolder
from harness.scenario.scenario import Scenario


def assertions_of(loaded: Scenario) -> list[str]:
    """The assertions of a scenario."""
    return [threshold.assertion for threshold in loaded.thresholds]


def abortable_thresholds(loaded: Scenario) -> list[AbortThreshold]:
    """The thresholds of a scenario that end a run as soon as they can't be passed any more."""
    return [AbortThreshold(one.assertion, one.grace) for one in loaded.thresholds if one.abort]


def own_assertions(folder: RunFolder) -> list[str]:
    """The assertions of a run's own scenario. Raises RunFolderError if they can't be read."""
    try:
        return [str(threshold["assert"]) for threshold in folder.read_run().scenario.get("thresholds", [])]
    except (TypeError, KeyError, AttributeError):
        message = f"{folder.run_json}: the thresholds of its scenario can't be read"
        raise RunFolderError(message) from None


@contextmanager
def planning(source: str) -> Iterator[None]:
    """Tell what is wrong with a plan together with the scenario it is of: by itself it names a key or another file.

    Raises ConfigurationError.
    """
    try:
        yield
    except ConfigurationError as error:
        if error.source == source:
            raise
        raise ConfigurationError(source, [f"{error.source}: {problem}" for problem in error.problems]) from None


def check_scenario(source: str, loaded: Scenario) -> None:
    """Raise ConfigurationError for faults that hit nothing, and for thresholds that judge nothing.

    A threshold judges nothing if it can't be evaluated, can't pass or can't fail, or can't end a run early as it is to.
    """
    problems = [
        *find_station_problems(loaded),
        *find_idle_faults(loaded),
        *find_problems(assertions_of(loaded), planned_run(loaded)),
    ]
    if problems:
        raise ConfigurationError(source, problems)
    check_abortable([threshold.assertion for threshold in abortable_thresholds(loaded)], source)
