"""Which pages and stations of a plan have arrived so far, and how long they took: kept up to date from journal records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.places import Places
from harness.base.model import DELIVERED, OUTCOMES
from harness.judge.thresholds.so_far import DurationsSoFar, KeySoFar, RowsSoFar
from harness.plan import Plan
from harness.run_folder.journal import RecordKind

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float32]
    IntArray = npt.NDArray[np.int64]

_DELIVERED = np.array([outcome in DELIVERED for outcome in OUTCOMES])


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """How far the stations of one kelurahan, or of one group of the user's own, are."""

    name: str
    stations: int
    arrived: int
    """Stations that were due to begin."""
    completed: int


class PlanProgress:
    """The state of every page and station of a plan. Not safe for several threads."""

    def __init__(self, plan: Plan, places: Places) -> None:
        """`places` are those of the plan's stations."""
        self._due_s = plan.due_s
        self._slots = len(plan.slots)
        self._page_due_s: FloatArray = np.full(plan.pages, np.nan, dtype=np.float32)
        self._delivery_s: FloatArray = np.full(plan.pages, np.nan, dtype=np.float32)
        self._given_up: BoolArray = np.zeros(plan.pages, dtype=np.bool_)
        self._left: IntArray = np.full(len(plan.stations), self._slots, dtype=np.int64)
        self._completion_s: FloatArray = np.full(len(plan.stations), np.nan, dtype=np.float32)
        self._begun = 0
        """Attempts that were sent, whether or not they have ended."""
        self._outcomes: IntArray = np.zeros(len(OUTCOMES), dtype=np.int64)
        self._names: list[str] = []
        self._number: IntArray = np.empty(0, dtype=np.int64)
        if places.group_label:
            values, self._number = places.numbered(places.group_label)
            self._names = [places.name(value) or "without a group" for value in values]

    def add(self, records: npt.NDArray[np.void]) -> None:
        """Take new records of the journals; records of different workers may come in any order."""
        self._begun += int((records["kind"] == RecordKind.BEGIN).sum())
        first = records[(records["kind"] == RecordKind.BEGIN) | (records["kind"] == RecordKind.END)]
        first = first[first["attempt"] == 1]
        self._page_due_s[first["page"]] = first["due_s"]
        self._given_up[records[records["kind"] == RecordKind.GAVE_UP]["page"]] = True
        ends = records[records["kind"] == RecordKind.END]
        self._outcomes += np.bincount(ends["outcome"], minlength=len(OUTCOMES))
        self._add_delivered(ends[_DELIVERED[ends["outcome"]]])

    def _add_delivered(self, ends: npt.NDArray[np.void]) -> None:
        pages, at = np.unique(ends["page"], return_index=True)
        new = np.isnan(self._delivery_s[pages])
        pages, done_s = pages[new], ends["done_s"][at][new]
        due_s = self._page_due_s[pages]
        self._delivery_s[pages] = done_s - np.where(np.isnan(due_s), done_s, due_s)
        stations = pages // self._slots
        np.subtract.at(self._left, stations, 1)
        for station, done in zip(stations.tolist(), done_s.tolist(), strict=True):
            if self._left[station] == 0:
                self._completion_s[station] = max(0.0, done - self._arrived_s(station))

    def _arrived_s(self, station: int) -> float:
        """When a station arrived: its planned time, or in a closed loop when its first page was due."""
        planned = float(self._due_s[station])
        return planned if np.isfinite(planned) else float(self._page_due_s[station * self._slots])

    def groups(self, now_s: float) -> list[GroupProgress]:
        """Every group in the order of its places; none for stations without groups."""
        if not self._names:
            return []
        size = len(self._names)
        stations = np.bincount(self._number, minlength=size).tolist()
        arrived = np.bincount(self._number[self._arrived(now_s)], minlength=size).tolist()
        completed = np.bincount(self._number[self._left == 0], minlength=size).tolist()
        return [GroupProgress(*one) for one in zip(self._names, stations, arrived, completed, strict=True)]

    def _arrived(self, now_s: float) -> BoolArray:
        begun = ~np.isnan(self._page_due_s[:: self._slots])
        return (self._due_s <= now_s) | begun

    def so_far(self, now_s: float) -> RowsSoFar:
        """What thresholds on rows and figures are evaluated by during the run."""
        open_pages = np.isnan(self._delivery_s)
        waiting = now_s - self._page_due_s[open_pages & ~self._given_up & ~np.isnan(self._page_due_s)]
        open_stations = (self._left > 0) & self._arrived(now_s)
        station_due = np.where(np.isfinite(self._due_s), self._due_s, self._page_due_s[:: self._slots])
        lost_pages = self._given_up & open_pages
        lost_stations = lost_pages.reshape(-1, self._slots).any(axis=1)
        return RowsSoFar(
            durations={
                "delivery_seconds": _durations(self._delivery_s, waiting, len(self._delivery_s), int(lost_pages.sum())),
                "completion_seconds": _durations(
                    self._completion_s, now_s - station_due[open_stations & ~lost_stations], len(self._left), int(lost_stations.sum())
                ),
            },
            keys=self._keys(int(lost_stations.sum()), int(lost_pages.sum())),
            outcomes={str(outcome): int(count) for outcome, count in zip(OUTCOMES, self._outcomes, strict=True)},
        )  # fmt: skip

    def _keys(self, lost_stations: int, lost_pages: int) -> dict[str, KeySoFar]:
        stations, pages = len(self._left), len(self._delivery_s)
        completed, delivered = int((self._left == 0).sum()), int((~np.isnan(self._delivery_s)).sum())
        attempted = int((~np.isnan(self._page_due_s)).sum())
        ratio = KeySoFar(completed / stations, (stations - lost_stations) / stations)
        keys = {
            "stations.completed": KeySoFar(completed, stations - lost_stations),
            "stations.completed_by_deadline": KeySoFar(completed, stations - lost_stations),
            "stations.completed_ratio": ratio,
            "stations.completed_by_deadline_ratio": ratio,
            "pages.delivered": KeySoFar(delivered, pages - lost_pages),
            "pages.delivered_by_deadline": KeySoFar(delivered, pages - lost_pages),
            "attempts.total": KeySoFar(int(self._outcomes.sum()), None),
        }
        if attempted:
            keys["attempts.amplification"] = KeySoFar(
                self._begun / attempted, None, (self._begun + pages - attempted) / pages
            )
        return keys


def _durations(values: FloatArray, waiting: npt.NDArray[np.floating[Any]], planned: int, never: int) -> DurationsSoFar:
    return DurationsSoFar(values[~np.isnan(values)].astype(np.float64), waiting.astype(np.float64), planned, never)  # fmt: skip
