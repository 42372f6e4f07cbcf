"""What late uploads do to the recapitulation: when each kelurahan could begin, began and ended. Pure, in election seconds from T0.

Model: the kelurahan of a kecamatan are dealt to its panels, the largest first, each to the panel with the least work (LPT; Graham,
"Bounds on Multiprocessing Timing Anomalies", 1969). The deal does not depend on the uploads, so a later upload never lets a panel
end earlier. A panel never waits while something of its own can be read. A station that was not completely uploaded is entered by
hand: it is there at the upload's deadline, when nobody waits for it any longer. So it is late, and not lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np

from harness.analysis.rows import Rows
from harness.analysis.summary import KecamatanRecapitulation, KelurahanRecapitulation, RecapitulationFigures
from harness.scenario.recapitulation import DAY_S, RecapitulationOptions

_ROUNDING_S = 1e-3
"""Sums of many stations' times must not fall into the next day because of their last bit."""
KECAMATAN_DIGITS = 6
KELURAHAN_DIGITS = 10


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Converts between election time and the hours that a panel has worked since the first day's opening."""

    open_s: float
    close_s: float
    t0_s: float
    first_day: int

    @property
    def day_s(self) -> float:
        """Working time of one day."""
        return self.close_s - self.open_s

    def worked_by(self, at_s: float) -> float:
        """Working time from the first opening until a moment.

        >>> WorkingHours(9 * 3600, 21 * 3600, 0, 1).worked_by((24 + 9 + 2) * 3600) / 3600
        2.0
        """
        day, time_s = divmod(at_s + self.t0_s, DAY_S)
        if day < self.first_day:
            return 0.0
        return (day - self.first_day) * self.day_s + min(max(time_s - self.open_s, 0.0), self.day_s)

    def begin_at(self, worked_s: float) -> float:
        """When work begins after so much working time: at an opening, not at the close of the evening before."""
        days, rest_s = divmod(worked_s + _ROUNDING_S, self.day_s)
        return round((self.first_day + days) * DAY_S + self.open_s + max(rest_s - _ROUNDING_S, 0.0) - self.t0_s, 3)

    def end_at(self, worked_s: float) -> float:
        """When so much working time is over: at a close, not at the opening of the morning after."""
        days, rest_s = divmod(max(worked_s - _ROUNDING_S, 0.0), self.day_s)
        return round((self.first_day + days) * DAY_S + self.open_s + rest_s + _ROUNDING_S - self.t0_s, 3)


@dataclass(frozen=True, slots=True)
class KelurahanUploads:
    """The stations of one kelurahan: when each was complete, and which were not and are entered by hand."""

    code: str
    ready_s: tuple[float, ...]
    by_hand: tuple[bool, ...]

    @property
    def all_there_s(self) -> float:
        """When the last of its stations is there."""
        return max(self.ready_s)


class KelurahanSchedule(NamedTuple):
    """When a kelurahan could begin, began and ended, and on which panel."""

    panel: int
    could_begin_s: float
    began_s: float
    ended_s: float


def recapitulate(uploads: Sequence[KelurahanUploads], options: RecapitulationOptions) -> dict[str, KelurahanSchedule]:
    """When each kelurahan of one kecamatan is worked on, by its code."""
    hours = WorkingHours(options.open, options.close, options.t0, options.first_day)
    make = _schedule_whole if options.begin == "complete" else _schedule_any
    return {
        code: schedule
        for number, dealt in enumerate(deal_to_panels(uploads, options.panels))
        for code, schedule in make(number + 1, dealt, options, hours).items()
    }


def deal_to_panels(uploads: Sequence[KelurahanUploads], panels: int) -> list[list[KelurahanUploads]]:
    """Each panel's kelurahan, the largest first; always to the panel that has the fewest stations so far."""
    dealt: list[list[KelurahanUploads]] = [[] for _ in range(panels)]
    stations = [0] * panels
    for one in sorted(uploads, key=lambda one: (-len(one.ready_s), one.code)):
        panel = stations.index(min(stations))
        dealt[panel].append(one)
        stations[panel] += len(one.ready_s)
    return dealt


def _schedule_whole(
    panel: int, dealt: Sequence[KelurahanUploads], options: RecapitulationOptions, hours: WorkingHours
) -> dict[str, KelurahanSchedule]:
    """One kelurahan after the other; of those that are complete the largest first, else the one that is complete next."""
    schedules: dict[str, KelurahanSchedule] = {}
    waiting, free_s = list(dealt), 0.0
    while waiting:
        # in working time, so that all that was completed overnight is there in the morning, and the largest goes first
        begin_s = max(free_s, min(hours.worked_by(one.all_there_s) for one in waiting))
        chosen = next(one for one in waiting if hours.worked_by(one.all_there_s) <= begin_s)
        waiting.remove(chosen)
        free_s = begin_s + sum(_work_s(by_hand, options) for by_hand in chosen.by_hand)
        schedules[chosen.code] = KelurahanSchedule(
            panel, chosen.all_there_s, hours.begin_at(begin_s), hours.end_at(free_s)
        )
    return schedules


def _schedule_any(
    panel: int, dealt: Sequence[KelurahanUploads], options: RecapitulationOptions, hours: WorkingHours
) -> dict[str, KelurahanSchedule]:
    """Station by station in the order in which they are there, whatever kelurahan of the panel they belong to."""
    stations = sorted(
        (ready_s, order, one.code, by_hand)
        for order, one in enumerate(dealt)
        for ready_s, by_hand in zip(one.ready_s, one.by_hand, strict=True)
    )
    schedules: dict[str, KelurahanSchedule] = {}
    free_s = 0.0
    for ready_s, _, code, by_hand in stations:
        begin_s = max(free_s, hours.worked_by(ready_s))
        free_s = begin_s + _work_s(by_hand, options)
        before = schedules.get(code, KelurahanSchedule(panel, ready_s, hours.begin_at(begin_s), 0.0))
        schedules[code] = before._replace(ended_s=hours.end_at(free_s))
    return schedules


def _work_s(by_hand: bool, options: RecapitulationOptions) -> float:
    return options.per_station + (options.by_hand if by_hand else 0.0)


def forecast_recapitulation(
    uploads: Sequence[KelurahanUploads], options: RecapitulationOptions, names: dict[str, str]
) -> RecapitulationFigures:
    """The figures of a whole region, whose kecamatan work independently, from when each station was there.

    Raises ValueError if there are no stations.
    """
    kelurahan: list[KelurahanRecapitulation] = []
    for _, group in groupby(sorted(uploads, key=lambda one: one.code), key=lambda one: one.code[:KECAMATAN_DIGITS]):
        kelurahan += _forecast_kecamatan(list(group), options, names)
    kecamatan = [
        _sum_up(code, list(group), options)
        for code, group in groupby(kelurahan, key=lambda one: one.code[:KECAMATAN_DIGITS])
    ]
    ended_s, undelayed_s = (max(getattr(one, key) for one in kecamatan) for key in ("ended_s", "undelayed_ended_s"))
    in_time = sum(one.ended_s <= options.deadline for one in kelurahan)
    return RecapitulationFigures(
        t0_s=options.t0, deadline_s=options.deadline, stations=sum(one.stations for one in kelurahan),
        by_hand=sum(one.by_hand for one in kelurahan), ended_s=ended_s, undelayed_ended_s=undelayed_s,
        late_s=ended_s - undelayed_s, spare_s=options.deadline - ended_s, in_time_ratio=in_time / len(kelurahan),
        kecamatan=kecamatan, kelurahan=kelurahan,
    )  # fmt: skip


def _forecast_kecamatan(
    uploads: list[KelurahanUploads], options: RecapitulationOptions, names: dict[str, str]
) -> list[KelurahanRecapitulation]:
    """The kelurahan of one kecamatan, against a recapitulation for which everything had been there from the beginning."""
    undelayed = [KelurahanUploads(one.code, (0.0,) * len(one.ready_s), (False,) * len(one.ready_s)) for one in uploads]
    actual, ideal = recapitulate(uploads, options), recapitulate(undelayed, options)
    return [
        KelurahanRecapitulation(
            code=one.code, name=names.get(one.code, one.code), stations=len(one.ready_s), by_hand=sum(one.by_hand),
            **actual[one.code]._asdict(), undelayed_began_s=ideal[one.code].began_s,
            undelayed_ended_s=ideal[one.code].ended_s, late_s=actual[one.code].ended_s - ideal[one.code].ended_s,
        )
        for one in uploads
    ]  # fmt: skip


def _sum_up(
    code: str, kelurahan: list[KelurahanRecapitulation], options: RecapitulationOptions
) -> KecamatanRecapitulation:
    ended_s, undelayed_s = (max(getattr(one, key) for one in kelurahan) for key in ("ended_s", "undelayed_ended_s"))
    return KecamatanRecapitulation(
        code=code, stations=sum(one.stations for one in kelurahan), by_hand=sum(one.by_hand for one in kelurahan),
        ended_s=ended_s, undelayed_ended_s=undelayed_s, late_s=ended_s - undelayed_s,
        spare_s=options.deadline - ended_s,
    )  # fmt: skip


def compute_recapitulation(rows: Rows, names: dict[str, str]) -> RecapitulationFigures | None:
    """The recapitulation that a run leads to; None if its scenario has none, or the run was cut short.

    A run that was interrupted or aborted does not show which stations would have been complete by the deadline.
    """
    table = rows.record.scenario.get("recapitulation")
    ended = rows.record.ended
    if table is None or ended is None or ended.how not in {"completed", "deadline"} or not len(rows.stations.code):
        return None
    options = RecapitulationOptions.model_validate(table)
    scale = rows.record.time_scale
    by_hand = ~np.isfinite(rows.completed_s)
    ready_s = np.where(by_hand, rows.record.deadline_s, rows.completed_s) * scale
    stations = zip(rows.stations.code, ready_s.tolist(), by_hand.tolist(), strict=True)
    uploads = []
    for code, group in groupby(stations, key=lambda station: station[0][:KELURAHAN_DIGITS]):
        _, ready, missing = zip(*group, strict=True)
        uploads.append(KelurahanUploads(code, ready, missing))
    return forecast_recapitulation(uploads, options, names)
