"""Who was failed: the pages that were never acknowledged, where they are, and the stations that waited in vain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.analysis.places import Places
from harness.analysis.rows import Rows
from harness.analysis.stored_match import fetch_pages
from harness.base.model import OUTCOMES, Outcome
from harness.run_folder.journal import GiveUpReason
from harness.run_folder.parquet import database, fetch_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from harness.analysis.page_status import PageStatuses
    from harness.run_folder.layout import RunFolder

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

StationEnd = Literal["complete", "gave up", "deadline", "cut off", "not attempted"]
"""How a station's wait ended.

gave up: its retry strategy gave up at least one page. deadline: it was still trying. cut off: the run ended before that.
not attempted: it arrived and sent nothing.
"""
MAX_GROUPS = 100
"""Up to this many regions have a row each; of more, the next larger kind of region has."""
GIVEN_UP_NAMES = {
    0: "",
    GiveUpReason.ATTEMPTS_USED_UP: "attempts used up",
    GiveUpReason.REJECTED_FOR_GOOD: "rejected for good",
    GiveUpReason.DEADLINE: "deadline",
    GiveUpReason.WITHHELD: "withheld",
}
_FORMS = "SELECT DISTINCT form FROM read_parquet(?, hive_partitioning = false) ORDER BY 1"
_FORM_NUMBERS = """
    SELECT list_position((SELECT list(DISTINCT form ORDER BY form) FROM read_parquet(?1, hive_partitioning = false)), form) - 1 AS number
    FROM read_parquet(?1, hive_partitioning = false, file_row_number = true) ORDER BY file_row_number
"""
_ROWS_PER_BATCH = 50_000

CSV_COLUMNS = (
    "station", "kelurahan", "form", "page", "arrived_s", "attempts", "last_outcome", "last_attempt_ended_s", "given_up",
    "on_server",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class UnacknowledgedGroup:
    """The pages of one form in one region that were never acknowledged."""

    region: str
    """Its code; the longer, the smaller the region."""
    name: str
    """Its name, or its code where the name is not known."""
    form: str
    planned: int
    missing: int
    """Pages never acknowledged, of stations that had arrived."""
    on_server: int | None
    """How many of them the server has stored all the same; None if its store could not be read."""
    stations: int
    """Stations with such a page."""


@dataclass(frozen=True, slots=True)
class FailedStations:
    """The stations that arrived and were never complete."""

    count: int
    by_end: dict[StationEnd, int]
    waited_p50_s: float
    """From its arrival until a station gave up or was cut off; half of them waited at least this long."""
    waited_max_s: float


@dataclass(frozen=True)
class UnacknowledgedPages:
    """The pages of stations that arrived, as far as the server never acknowledged them."""

    folder: RunFolder
    rows: Rows
    page: IntArray
    """Rows of the plan, ascending."""
    on_server: BoolArray | None
    """Whether the server has a copy of each page of the plan; None if its store could not be read."""
    groups: list[UnacknowledgedGroup]
    """The most missing pages first."""
    stations: FailedStations | None
    """None if every station that arrived is complete."""

    def csv_rows(self) -> Iterator[tuple[object, ...]]:
        """One row of `CSV_COLUMNS` per page, in the order of the plan; what is not known is empty."""
        rows = self.rows
        last, made = _last_attempts(rows)
        reason = np.zeros(rows.pages, dtype=np.int64)
        within = rows.given_up.page < rows.pages  # the journal of a torn run may name pages beyond the plan
        reason[rows.given_up.page[within]] = rows.given_up.reason[within]
        places = rows.places
        for first in range(0, len(self.page), _ROWS_PER_BATCH):
            pages = self.page[first : first + _ROWS_PER_BATCH]
            found = fetch_pages(self.folder, pages)
            for number, page in enumerate(pages.tolist()):
                code = str(found["station"][number])
                attempt = int(last[page])
                outcome, ended_s = "", ""
                if attempt >= 0:
                    outcome = str(OUTCOMES[int(rows.attempts.outcome[attempt])])
                    done_s = float(rows.attempts.done_s[attempt])
                    ended_s = f"{done_s:.3f}" if np.isfinite(done_s) else ""
                stored = "" if self.on_server is None else "yes" if self.on_server[page] else "no"
                yield (
                    code, places.name(places.of(code)), found["form"][number], int(found["page"][number]),
                    f"{float(rows.station_due_s[page]):.3f}", int(made[page]), outcome, ended_s,
                    GIVEN_UP_NAMES[int(reason[page])], stored,
                )  # fmt: skip


def find_unacknowledged(folder: RunFolder, rows: Rows, statuses: PageStatuses) -> UnacknowledgedPages:
    """The pages that no server acknowledged, and the stations that they belong to. Raises RunFolderError for a broken plan."""
    page = np.flatnonzero(~rows.delivered & (rows.station_due_s < rows.stop_s)).astype(np.int64)
    on_server = None if statuses.stored is None else statuses.copy_counts > 0
    return UnacknowledgedPages(
        folder, rows, page, on_server, _groups(folder, rows, page, on_server), find_failed_stations(rows)
    )


def find_failed_stations(rows: Rows) -> FailedStations | None:
    """The stations that arrived and were never complete; None if there are none."""
    ends, waited_s = station_ends(rows)
    failed = np.flatnonzero((ends != "complete") & (rows.stations.due_s < rows.stop_s))
    if not len(failed):
        return None
    names, counts = np.unique(ends[failed], return_counts=True)
    by_end = dict(sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1]))
    return FailedStations(len(failed), by_end, float(np.median(waited_s[failed])), float(waited_s[failed].max()))


def station_ends(rows: Rows) -> tuple[npt.NDArray[np.str_], FloatArray]:
    """How each station's wait ended (a `StationEnd`), and how long it lasted in seconds. Shapes (stations,)."""
    stations = len(rows.stations.code)
    given_up = rows.given_up.page < rows.pages
    page, at_s, reason = rows.given_up.page[given_up], rows.given_up.at_s[given_up], rows.given_up.reason[given_up]
    missing = ~rows.delivered[page]
    page, at_s, reason = page[missing], at_s[missing], reason[missing]
    station = rows.station_of_page[page]
    gave_up = np.zeros(stations, dtype=np.bool_)
    by_itself = reason != GiveUpReason.DEADLINE
    gave_up[station[by_itself]] = True
    gave_up_s = np.full(stations, -np.inf)
    np.maximum.at(gave_up_s, station[by_itself], at_s[by_itself])
    tried_on = np.zeros(stations, dtype=np.bool_)
    tried_on[station[~by_itself]] = True
    begun = np.zeros(stations, dtype=np.bool_)
    begun[rows.station_of_page[rows.attempted]] = True
    complete = np.isfinite(rows.completed_s)
    conditions = [complete, ~begun & ~gave_up, tried_on, gave_up]
    chosen = np.select(conditions, ["complete", "not attempted", "deadline", "gave up"], "cut off")
    until_s = np.select([complete, tried_on | ~gave_up], [rows.completed_s, rows.stop_s], gave_up_s)
    return chosen, np.clip(until_s - rows.stations.due_s, 0.0, None)


def _last_attempts(rows: Rows) -> tuple[IntArray, IntArray]:
    """The row of each page's last attempt that was sent (-1 for none), and the number of its attempts. Shapes (pages,)."""
    sent = np.flatnonzero(~rows.attempts.ended_as({Outcome.WITHHELD}))
    page = rows.attempts.page[sent].astype(np.int64)
    last = np.full(rows.pages, -1, dtype=np.int64)
    # sorted by attempt, the assignment of the highest one comes last and stays
    order = np.argsort(rows.attempts.attempt[sent], kind="stable")
    last[page[order]] = sent[order]
    return last, np.bincount(page, minlength=rows.pages).astype(np.int64)


def _shown_places(places: Places) -> tuple[list[str], IntArray]:
    """The places to show, and that of each station: the smallest kind of which there are not too many."""
    shown: tuple[list[str], IntArray] = ["all"], np.zeros(len(places.codes), dtype=np.int64)
    for label in reversed(places.labels[:-1]):
        shown = places.numbered(label)
        if len(shown[0]) <= MAX_GROUPS:
            break
    return shown


def _groups(folder: RunFolder, rows: Rows, page: IntArray, on_server: BoolArray | None) -> list[UnacknowledgedGroup]:
    if not len(page):
        return []
    regions, region_of_station = _shown_places(rows.places)
    with database() as connection:
        forms = fetch_columns(connection, _FORMS, folder.plan)["form"].tolist()
        form_of_page = fetch_columns(connection, _FORM_NUMBERS, folder.plan)["number"].astype(np.int64)
    group_of_page = region_of_station[rows.station_of_page] * len(forms) + form_of_page
    size = len(regions) * len(forms)
    planned, missing = np.bincount(group_of_page, minlength=size), np.bincount(group_of_page[page], minlength=size)
    stored = None if on_server is None else np.bincount(group_of_page[page], on_server[page], minlength=size)
    pairs = np.unique(np.stack([group_of_page[page], rows.station_of_page[page]], axis=1), axis=0)
    stations = np.bincount(pairs[:, 0], minlength=size)
    groups = [
        UnacknowledgedGroup(
            regions[number // len(forms)],
            rows.places.name(regions[number // len(forms)]),
            forms[number % len(forms)],
            int(planned[number]),
            int(missing[number]),
            None if stored is None else int(stored[number]),
            int(stations[number]),
        )
        for number in np.flatnonzero(missing).tolist()
    ]
    return sorted(groups, key=lambda group: -group.missing)
