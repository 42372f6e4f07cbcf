"""The plan: every page that has to arrive, with its due time, its photo's digest and its reading.

Held as columns so that millions of pages fit into memory; a page is computed when it is asked for.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.base.errors import ConfigurationError
from harness.base.model import Page, PageKey, Phase, Station
from harness.plan.arrivals import ClosedRounds, assign_due_times, earliest_due_times, first_due_times, plan_closed_loop
from harness.plan.own_photos import load_photo_folder
from harness.plan.own_stations import load_station_list
from harness.plan.photos import PhotoBody, PhotoType, make_photo_bank
from harness.plan.regions import load_region
from harness.scenario.arrivals import ClosedArrivals
from harness.scenario.scenario import Scenario
from harness.scenario.stations import StationOptions

if TYPE_CHECKING:
    import numpy.typing as npt

PAIR_IDS = ("100025", "100026", "100027")
"""KPU's ids of the three pairs of candidates."""
_FIVE_NUMBERS = struct.Struct("<5I")
_READING = (
    '{"administrasi":{"pemilih_dpt_j":%d,"suara_sah":%d,"suara_tidak_sah":%d,"suara_total":%d},"chart":{'
    + ",".join(f'"{pair}":%d' for pair in PAIR_IDS)
    + "}}"
)
VOTES_PAGE_OF_FORM = {"ppwp": 2}
"""The page of a form that carries the votes. Only PPWP's is published; the other forms are sent without a reading."""


@dataclass(frozen=True)
class Plan:
    """Everything that has to arrive. Pages are numbered station by station, in the order of the stations' codes."""

    stations: Sequence[Station]
    due_s: npt.NDArray[np.float64]
    """Shape (stations,): when each arrives; +infinity if that depends on the server (closed arrivals, but each phone's first)."""
    slots: tuple[tuple[str, int], ...]
    """(form, page number) of each page of a station, in the order of sending."""
    bank: tuple[PhotoBody, ...]
    body_of_page: npt.NDArray[np.uint8]
    """Shape (pages,): index into `bank`."""
    seed: int
    closed_loop: ClosedRounds | None = None
    """What each phone does, for closed arrivals; None for open ones."""

    @cached_property
    def _body_numbers(self) -> memoryview:
        """`body_of_page` as plain numbers: an element of an array costs three times as much."""
        return self.body_of_page.data

    @property
    def pages(self) -> int:
        """Number of pages."""
        return len(self.stations) * len(self.slots)

    @property
    def total_bytes(self) -> int:
        """Bytes of all photos together."""
        sizes = np.array([body.size_bytes for body in self.bank], dtype=np.int64)
        return int(sizes[self.body_of_page].sum())

    @property
    def earliest_due_s(self) -> npt.NDArray[np.float64]:
        """Shape (stations,): when each arrives if the server takes no time; for open arrivals the same as `due_s`."""
        return self.due_s if self.closed_loop is None else earliest_due_times(self.closed_loop, self.due_s)

    def key(self, index: int) -> PageKey:
        """Key of a page."""
        station, slot = divmod(index, len(self.slots))
        form, page = self.slots[slot]
        return PageKey(self.stations[station].code, form, page)

    def page(self, index: int) -> Page:
        """A page with its digest and reading."""
        key = self.key(index)
        body = self.bank[self.body_of_page[index]]
        return Page(
            index=index,
            station=key.station,
            form=key.form,
            page=key.page,
            due_s=float(self.due_s[index // len(self.slots)]),
            size_bytes=body.size_bytes,
            sha256=body.sha256(body.tail(key)),
            reading=make_reading(key, self.seed),
        )

    def sent(self, index: int, *, claims: bool = True) -> tuple[PageKey, memoryview, bytes, str, str, PhotoType]:
        """What an upload of a page sends: key, photo body (shared, not copied), photo tail, SHA-256 of both, reading, type.

        The same values as `page` and `photo`, computed together: this is called for every page during a run. Without
        `claims` digest and reading are "", for servers that receive neither.
        """
        key = self.key(index)
        body = self.bank[self._body_numbers[index]]
        tail = body.tail(key)
        if not claims:
            return key, body.view, tail, "", "", body.kind
        return key, body.view, tail, body.sha256(tail), make_reading(key, self.seed), body.kind

    def column_batches(self, stations_each: int = 20_000) -> Iterator[dict[str, Any]]:
        """The columns of all pages, as `run_folder.tables.write_plan_batches` takes them, for so many stations at a time.

        The same values as those of `page`, at a fifth of the cost: no object is made for a page.
        """
        forms, numbers = [form for form, _ in self.slots], [page for _, page in self.slots]
        have_votes = [VOTES_PAGE_OF_FORM.get(form) == page for form, page in self.slots]
        slots, sizes = self.slots, np.array([body.size_bytes for body in self.bank], dtype=np.int64)
        for first in range(0, len(self.stations), stations_each):
            codes = [station.code for station in self.stations[first : first + stations_each]]
            bodies = self.body_of_page[first * len(slots) : (first + len(codes)) * len(slots)]
            keys = [(code, form, page) for code in codes for form, page in slots]
            yield {
                "station": [code for code in codes for _ in slots],
                "form": forms * len(codes),
                "page": numbers * len(codes),
                "due_s": np.repeat(self.due_s[first : first + len(codes)], len(slots)),
                "size_bytes": sizes[bodies],
                "sha256": [
                    self.bank[body].sha256(self.bank[body].tail(key))
                    for key, body in zip(keys, bodies.tolist(), strict=True)
                ],
                "reading": [
                    _draw_reading(code, self.seed) if has_votes else "" for code in codes for has_votes in have_votes
                ],
            }

    @property
    def same_bytes(self) -> int:
        """How many pages share their bytes with another one, because their format has no room for a tail."""
        bodies, counts = np.unique(self.body_of_page, return_counts=True)
        shared = [self.bank[body].marking == "none" for body in bodies.tolist()]
        return int(counts[(counts > 1) & np.array(shared, dtype=np.bool_)].sum())

    def pages_of(self, station: int) -> range:
        """Indices of a station's pages."""
        return range(station * len(self.slots), (station + 1) * len(self.slots))

    def photo(self, index: int) -> tuple[memoryview, bytes]:
        """Body (shared, not copied) and tail of a page's photo."""
        body = self.bank[self.body_of_page[index]]
        return body.view, body.tail(self.key(index))

    def shard(self, rank: int, workers: int) -> npt.NDArray[np.int64]:
        """Indices of the stations of one of `workers` workers, in the order of their due times.

        Stations are assigned round-robin in the order of their due times, so that all workers have the same arrival curve.
        For closed arrivals phones are assigned round-robin, each with all of its stations.
        """
        if self.closed_loop is not None:
            phones = self.closed_loop.of_worker(rank, workers)
            return np.concatenate(phones) if phones else np.empty(0, dtype=np.int64)
        return np.argsort(self.due_s, kind="stable")[rank::workers]

    def __iter__(self) -> Iterator[Page]:
        """All pages, in the order of the plan."""
        return (self.page(index) for index in range(self.pages))


def make_plan(scenario: Scenario, bank: tuple[PhotoBody, ...] | None = None) -> Plan:
    """The plan of a scenario: the same scenario and seed give the same bytes, digests and due times.

    `bank` are the photo bodies if another process has already made them from the same scenario: drawing them is nine tenths of
    the work (of 3 s of CPU for `kaliwates`; 7 ms are left without it).

    Raises ConfigurationError if the region file is wrong, a replayed run lacks a station, or there are more phones than
    stations.
    """
    stations = select_stations(scenario)
    rng = np.random.default_rng([scenario.seed, 0xA221])
    slots = tuple((form, page + 1) for form, pages in scenario.stations.forms.items() for page in range(pages))
    closed_loop = None
    if isinstance(scenario.arrivals, ClosedArrivals):
        closed_loop = plan_closed_loop(scenario.arrivals, stations, scenario.seed)
        due = first_due_times(scenario.arrivals, closed_loop)
    else:
        due = assign_due_times(scenario.arrivals, stations, rng, scenario.seed)
    bank = bank or make_bank(scenario)
    return Plan(
        stations=stations,
        due_s=due,
        slots=slots,
        bank=bank,
        body_of_page=rng.integers(0, len(bank), len(stations) * len(slots), dtype=np.uint8),
        seed=scenario.seed,
        closed_loop=closed_loop,
    )


def make_bank(scenario: Scenario) -> tuple[PhotoBody, ...]:
    """The photo bodies of a scenario: drawn, or of the user's own files. Raises ConfigurationError for a wrong folder."""
    photos = scenario.photos
    if photos.folder is not None:
        return load_photo_folder(photos.folder)
    return make_photo_bank(photos.size, photos.bank, scenario.seed)


def digest_plan(plan: Plan) -> str:
    """SHA-256 (hex) over everything that is sent, and when: stations, due times, photos, and each phone's stations.

    Remote workers make the plan again and compare digests: another version of numpy or Pillow may give other bytes.
    """
    state = hashlib.sha256()
    for station in plan.stations:
        state.update(f"{station.code}\n".encode())
    state.update(plan.due_s.astype("<f8").tobytes())
    state.update(repr((plan.slots, plan.seed)).encode())
    for body in plan.bank:
        state.update(body.sha256(b"").encode())
    state.update(plan.body_of_page.tobytes())
    if plan.closed_loop is not None:
        for phone in plan.closed_loop.phones:
            state.update(phone.astype("<i8").tobytes())
        state.update(plan.closed_loop.think_s.astype("<f8").tobytes())
    return state.hexdigest()


def compute_phases(windows: Sequence[tuple[str, float, float]], warm_up_s: float, end_s: float) -> list[Phase]:
    """Phases from T0 to `end_s`, without gaps. `windows` are (fault name, start, end); `end` may be infinite.

    A phase is named after the active faults, joined by "+" in the order of their starts; "clear" if there are none. The
    warm-up comes first, whatever happens during it.

    >>> [phase.name for phase in compute_phases([("brownout", 10.0, 20.0), ("abort", 15.0, 30.0)], 0.0, 60.0)]
    ['clear', 'brownout', 'brownout+abort', 'abort', 'clear']
    """
    edges = {0.0, warm_up_s, end_s, *(edge for _, start, end in windows for edge in (start, end))}
    moments = sorted(edge for edge in edges if 0.0 <= edge <= end_s)
    found: list[Phase] = []
    for start, end in pairwise(moments):
        active = [name for name, on, off in sorted(windows, key=lambda window: window[1]) if on <= start < off]
        name = "warm_up" if start < warm_up_s else "+".join(active) or "clear"
        if found and found[-1].name == name:  # an edge within the warm-up, or two windows of one fault that touch
            found[-1] = Phase(name, found[-1].start_s, end)
        else:
            found.append(Phase(name, start, end))
    return found


def derive_pin(code: str, secret: str) -> str:
    """A station's PIN: six digits derived from the run's secret, so that no list of PINs has to reach the workers.

    Without a secret it is the code's last six digits: what a server other than the mock receives.

    >>> derive_pin("3509191001001", "")
    '001001'
    """
    if not secret:
        return code[-6:]
    return f"{int.from_bytes(hashlib.sha256(f'{secret}/{code}'.encode()).digest()[:8]) % 10**6:06d}"


def make_reading(key: PageKey, seed: int) -> str:
    """The figures that the officers confirmed, as canonical JSON, or "" for a page without votes.

    The figures add up; the keys are those of KPU's public API.
    """
    return _draw_reading(key.station, seed) if VOTES_PAGE_OF_FORM.get(key.form) == key.page else ""


def _draw_reading(station: str, seed: int) -> str:
    # Numbers taken from a digest: seeding a generator per station costs ten times as much, in the middle of a run.
    draws = _FIVE_NUMBERS.unpack(hashlib.blake2b(f"{seed}/{station}".encode(), digest_size=20).digest())
    votes = tuple(5 + draw % 106 for draw in draws[: len(PAIR_IDS)])
    valid, invalid = sum(votes), draws[3] % 13
    voters = valid + invalid + draws[4] % 61
    return _READING % (voters, valid, invalid, valid + invalid, *votes)


def load_stations(wanted: StationOptions) -> Sequence[Station]:
    """All stations of the region or of the user's own list, in the order of their codes. Raises ConfigurationError."""
    return load_region(wanted.region) if wanted.file is None else load_station_list(wanted)


def select_stations(scenario: Scenario) -> list[Station]:
    """All stations of the region, or as many as the scenario takes, spread evenly.

    Raises ConfigurationError if there are fewer, or the region file is wrong.
    """
    region = scenario.stations.file or scenario.stations.region
    stations, count = load_stations(scenario.stations), scenario.station_count
    if count is None:
        return list(stations)
    if count > len(stations):
        key, why = "stations.count", f"{count:,}"
        if scenario.rated_stations is not None:
            key, why = "arrivals.rate", f"times over = {count:,} stations"
        problem = f"{why}: {region} has {len(stations):,} stations"
        raise ConfigurationError(key, [problem])
    return [stations[number * len(stations) // count] for number in range(count)]
