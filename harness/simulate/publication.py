"""The simulated server's published results: how long each response is, and which snapshot it shows, without figures.

The sizes are those of the mock server's read API (mock_server/api/public.py), measured.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from itertools import pairwise

from harness.plan.plan import VOTES_PAGE_OF_FORM, Plan
from harness.scenario.readers import LEVEL_DIGITS
from harness.simulate.clock import VirtualClock
from harness.simulate.page_store import PageStore

HEAD_BYTES = 197
"""Of a response with a body."""
NOT_MODIFIED_BYTES = 156
"""A response to If-None-Match whose snapshot is still the latest."""
_REGION_BYTES, _CHILD_BYTES = 148, 101
"""Body of a region's sums, and for each place directly below it; within 4 % of any number of votes."""
_STATION_BYTES, _PUBLISHED_STATION_BYTES = 152, 486
_STATION_DIGITS = LEVEL_DIGITS["station"]


class Publication:
    """What the read API would respond; computed anew at most once per `cache_s`, when it is asked."""

    def __init__(self, plan: Plan, store: PageStore, cache_s: float, clock: VirtualClock) -> None:
        self._plan = plan
        self._store = store
        self._cache_s = cache_s
        self._clock = clock
        self._computed_s = float("-inf")
        self._snapshots = 0
        slots = dict(VOTES_PAGE_OF_FORM)
        self._votes_slot = next((n for n, (form, page) in enumerate(plan.slots) if slots.get(form) == page), None)

    def snapshot(self) -> int:
        """The number of the snapshot that is shown now: what an ETag says of it."""
        if self._clock.now_s - self._computed_s >= self._cache_s:
            self._computed_s = self._clock.now_s
            self._snapshots += 1
        return self._snapshots

    def forget(self) -> None:
        """The process has died: the next one computes anew."""
        self._computed_s = float("-inf")

    def body_bytes(self, path: str) -> int:
        """Length of the response to a path of harness.plan.readers.result_path."""
        code = path.removesuffix(".json").rpartition("/")[2]
        place = code if code.isdigit() else ""  # the nation's path has no code
        if len(place) < _STATION_DIGITS:
            return _REGION_BYTES + _CHILD_BYTES * self._children[place]
        return _PUBLISHED_STATION_BYTES if self._is_published(place) else _STATION_BYTES

    def _is_published(self, station: str) -> bool:
        if self._votes_slot is None:
            return False
        return self._store.has(self._plan.pages_of(self._number_of_station[station])[self._votes_slot])

    @cached_property
    def _number_of_station(self) -> dict[str, int]:
        return {station.code: number for number, station in enumerate(self._plan.stations)}

    @cached_property
    def _children(self) -> Counter[str]:
        """How many places lie directly below each."""
        levels = list(LEVEL_DIGITS.values())
        places: set[tuple[str, str]] = set()
        for code in self._number_of_station:
            places.update(pairwise(code[:digits] for digits in levels))
        return Counter(above for above, _ in places)
