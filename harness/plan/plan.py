"""The plan: every page that has to arrive, with its due time, its photo's digest and its reading.

Held as columns, so that a million pages fit; a page is worked out when it is asked for.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.base.errors import ConfigurationError
from harness.base.model import Page, PageKey, Station
from harness.plan.arrivals import assign_due_times
from harness.plan.closed_loop import ClosedLoop, earliest_due_times, first_due_times, plan_closed_loop
from harness.plan.photos import PhotoBody, make_photo_bank, make_tail
from harness.plan.regions import load_region
from harness.scenario.arrivals import ClosedArrivals
from harness.scenario.scenario import PAGES_OF_FORM, Scenario, StationOptions

if TYPE_CHECKING:
    import numpy.typing as npt

PAIR_IDS = ("100025", "100026", "100027")
"""KPU's ids of the three pairs."""
VOTES_PAGE_OF_FORM = {"ppwp": 2}
"""The page of a form that carries the votes; only PPWP's is published."""


@dataclass(frozen=True)
class Plan:
    """Everything that has to arrive. Pages are numbered station by station, in the order of the stations' codes."""

    stations: Sequence[Station]
    due_s: npt.NDArray[np.float64]
    """Shape (stations,): when each turns up; +infinity where that depends on the server (all but a phone's first)."""
    slots: tuple[tuple[str, int], ...]
    """(form, page number) of each page of a station, in the order of sending."""
    bank: tuple[PhotoBody, ...]
    body_of_page: npt.NDArray[np.uint8]
    """Shape (pages,): which body of the bank."""
    seed: int
    rounds: ClosedLoop | None = None
    """What each phone of a closed workload does; None for an open one."""

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return len(self.stations) * len(self.slots)

    @property
    def total_bytes(self) -> int:
        """Bytes of all photos."""
        sizes = np.array([body.size_bytes for body in self.bank], dtype=np.int64)
        return int(sizes[self.body_of_page].sum())

    @property
    def soonest_s(self) -> npt.NDArray[np.float64]:
        """Shape (stations,): when each turns up if the server takes no time; with open arrivals it turns up just then."""
        return self.due_s if self.rounds is None else earliest_due_times(self.rounds, self.due_s)

    def key(self, index: int) -> PageKey:
        """Key of a page."""
        station, slot = divmod(index, len(self.slots))
        form, page = self.slots[slot]
        return PageKey(self.stations[station].code, form, page)

    def page(self, index: int) -> Page:
        """A page, with digest and reading worked out."""
        key = self.key(index)
        body = self.bank[self.body_of_page[index]]
        return Page(
            index=index,
            station=key.station,
            form=key.form,
            page=key.page,
            due_s=float(self.due_s[index // len(self.slots)]),
            size_bytes=body.size_bytes,
            sha256=body.sha256(make_tail(key)),
            reading=make_reading(key, self.seed),
        )

    def sent(self, index: int, *, claims: bool = True) -> tuple[PageKey, memoryview, bytes, str, str]:
        """What is sent of a page: its key, its photo's body (shared, not copied) and tail, the photo's digest, its reading.

        The same as `page` and `photo` say, worked out once: it is asked in the middle of a run, for each page. Where nobody
        is told digest and reading (no `claims`), they are "".
        """
        key = self.key(index)
        body, tail = self.bank[self.body_of_page[index]], make_tail(key)
        if not claims:
            return key, body.view, tail, "", ""
        return key, body.view, tail, body.sha256(tail), make_reading(key, self.seed)

    def pages_of(self, station: int) -> range:
        """Page numbers of a station."""
        return range(station * len(self.slots), (station + 1) * len(self.slots))

    def photo(self, index: int) -> tuple[memoryview, bytes]:
        """Body (shared, not copied) and tail of a page's photo."""
        return self.bank[self.body_of_page[index]].view, make_tail(self.key(index))

    def shard(self, rank: int, workers: int) -> npt.NDArray[np.int64]:
        """Station numbers of one of `workers` equal shares, in the order of their due times.

        Stations are dealt out like cards in the order of their due times, so that every share has the same curve. In a
        closed workload phones are dealt out, each with all of its stations.
        """
        if self.rounds is not None:
            phones = self.rounds.of_worker(rank, workers)
            return np.concatenate(phones) if phones else np.empty(0, dtype=np.int64)
        return np.argsort(self.due_s, kind="stable")[rank::workers]

    def __iter__(self) -> Iterator[Page]:
        """Every page, in the order of the plan."""
        return (self.page(index) for index in range(self.pages))


def make_plan(scenario: Scenario) -> Plan:
    """The plan of a scenario: the same scenario and seed give the same bytes, digests and due times.

    Raises ConfigurationError where the region file is wrong, a replayed run doesn't know a station, or there are more phones
    than stations.
    """
    stations = _select_stations(load_region(scenario.stations.region), scenario.stations)
    rng = np.random.default_rng([scenario.seed, 0xA221])
    slots = tuple((form, page + 1) for form in scenario.stations.forms for page in range(PAGES_OF_FORM[form]))
    rounds = None
    if isinstance(scenario.arrivals, ClosedArrivals):
        rounds = plan_closed_loop(scenario.arrivals, stations, scenario.seed)
        due = first_due_times(scenario.arrivals, rounds)
    else:
        due = assign_due_times(scenario.arrivals, stations, rng, scenario.seed)
    bodies = scenario.photos.bank
    return Plan(
        stations=stations,
        due_s=due,
        slots=slots,
        bank=make_photo_bank(scenario.photos.size, bodies, scenario.seed),
        body_of_page=rng.integers(0, bodies, len(stations) * len(slots), dtype=np.uint8),
        seed=scenario.seed,
        rounds=rounds,
    )


def _select_stations(stations: list[Station], wanted: StationOptions) -> list[Station]:
    """All stations, or `count` of them spread evenly. Raises ConfigurationError where there aren't as many."""
    count = wanted.count
    if count is None:
        return stations
    if count > len(stations):
        problem = f"stations.count = {count}: {wanted.region} has {len(stations):,} stations"
        raise ConfigurationError(wanted.region, [problem])
    return [stations[number * len(stations) // count] for number in range(count)]


def make_reading(key: PageKey, seed: int) -> str:
    """The figures that the officers confirmed, as canonical JSON; "" for a page without votes. They add up.

    Names of the parts as in KPU's public API.
    """
    if VOTES_PAGE_OF_FORM.get(key.form) != key.page:
        return ""
    # Numbers out of a digest: to seed a generator for each station costs ten times as much, in the middle of a run.
    draws = struct.unpack("<5I", hashlib.blake2b(f"{seed}/{key.station}".encode(), digest_size=20).digest())
    votes = [5 + draw % 106 for draw in draws[: len(PAIR_IDS)]]
    invalid = draws[3] % 13
    valid = sum(votes)
    chart = ",".join(f'"{candidate}":{count}' for candidate, count in zip(PAIR_IDS, votes, strict=True))
    return (
        f'{{"administrasi":{{"pemilih_dpt_j":{valid + invalid + draws[4] % 61},"suara_sah":{valid},'
        f'"suara_tidak_sah":{invalid},"suara_total":{valid + invalid}}},"chart":{{{chart}}}}}'
    )
