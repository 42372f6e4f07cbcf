"""The places that the stations of a run belong to: digits of Indonesian codes, or the groups of the user's own list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from harness.base.errors import ConfigurationError
from harness.plan.own_stations import ListedStation, load_station_list
from harness.plan.regions import load_kelurahan_names
from harness.scenario.stations import PLACE_LABELS, REGIONS, StationOptions, recorded_place_labels

if TYPE_CHECKING:
    import numpy.typing as npt

    IntArray = npt.NDArray[np.int64]

PLACE_DIGITS = dict(zip(PLACE_LABELS, (2, 4, 6, 10, 13), strict=True))
"""Labels that name a place of a built-in region, and how many leading digits of the station code identify it."""
STATION = "station"
KELURAHAN = "kelurahan"


@dataclass(frozen=True)
class Places:
    """The places of one run's stations, which are in the order of their codes."""

    codes: npt.NDArray[np.object_]
    """Shape (stations,)."""
    labels: tuple[str, ...] = PLACE_LABELS
    """The labels of places, the largest first, the station last."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of kelurahan by their codes."""
    groups_of: Mapping[str, Sequence[str]] | None = None
    """Code of a station -> its groups, for a list of the user's own; None for a region."""

    @property
    def is_region(self) -> bool:
        """Whether the codes' digits name the places."""
        return self.groups_of is None

    @property
    def group_label(self) -> str:
        """The label of the places that charts and tables show: kelurahan, or the smallest group; "" without groups."""
        if self.is_region:
            return KELURAHAN
        return self.labels[-2] if len(self.labels) > 1 else ""

    def numbered(self, label: str) -> tuple[list[str], IntArray]:
        """The distinct values of a label, ascending, and the number of each station's value. Shape (stations,)."""
        if self.is_region:
            # The codes are sorted, so each place is one stretch of them.
            values = self._texts.astype(f"U{PLACE_DIGITS.get(label, 13)}")
            first = np.ones(len(values), dtype=np.bool_)
            first[1:] = values[1:] != values[:-1]
            return values[first].tolist(), np.cumsum(first) - 1
        if label == STATION:
            return self._texts.tolist(), np.arange(len(self._texts))
        values = np.array([self._group(code, label) for code in self.codes.tolist()], dtype=object)
        distinct, number = np.unique(values.astype(str), return_inverse=True)
        return distinct.tolist(), number.astype(np.int64)

    def of(self, code: str) -> str:
        """The place of a station that charts and tables show, by its code or name; "" without groups."""
        return code[: PLACE_DIGITS[KELURAHAN]] if self.is_region else self._group(code, self.group_label)

    def name(self, place: str) -> str:
        """A place's name, or its code where the name is not known."""
        return self.names.get(place, place)

    def _group(self, code: str, label: str) -> str:
        groups = (self.groups_of or {}).get(code, ())
        position = self.labels.index(label) if label in self.labels else len(groups)
        return groups[position] if position < len(groups) else ""

    @cached_property
    def _texts(self) -> npt.NDArray[np.str_]:
        return self.codes.astype(str)


def load_places(
    codes: npt.NDArray[np.object_], scenario: Mapping[str, Any], region: Path | None, stations: Path | None
) -> Places:
    """The places of a run; `region` and `stations` are the run folder's copies of what does not ship with the package.

    A name is decoration: a file that cannot be read leaves codes in the place of names, and groups empty; nothing breaks.
    """
    options = scenario.get("stations") or {}
    labels = recorded_place_labels(scenario)
    if options.get("file"):
        return Places(codes, labels, groups_of=_groups(options, stations))
    copy = None if region is None or not region.is_file() else str(region)
    name = options.get("region") if options.get("region") in REGIONS else copy
    return Places(codes, labels, _kelurahan_names(name))


def _kelurahan_names(region: str | None) -> dict[str, str]:
    if region is None:
        return {}
    try:
        return load_kelurahan_names(region)
    except (OSError, ConfigurationError):
        return {}


def _groups(options: Mapping[str, Any], copy: Path | None) -> dict[str, tuple[str, ...]]:
    if copy is None or not copy.is_file():
        return {}
    try:
        listed = load_station_list(StationOptions.model_validate({**options, "file": str(copy)}))
    except (OSError, ConfigurationError, ValidationError):
        return {}
    return {one.code: one.groups for one in listed if isinstance(one, ListedStation)}
