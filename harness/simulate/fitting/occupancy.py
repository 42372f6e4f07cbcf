"""How many uploads were in a server, and how fast it finished them, from the attempts that its clients made.

An upload is in the server from the moment its last byte has arrived until its response leaves. What a client saw is enough
for that, so any server can be measured; one that is given up by its client stays for a time that no client knows, and what
follows is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.base.model import OUTCOMES, Outcome
from harness.simulate.fitting.costs import MeasuredRun
from harness.station.link import draw_link_model

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]
    BoolArray = npt.NDArray[np.bool_]

_REFUSALS = (429, 503)
_NOT_SERVED = frozenset({
    Outcome.TIMEOUT_CONNECT, Outcome.TIMEOUT_SEND, Outcome.REFUSED, Outcome.GENERATOR_ERROR, Outcome.TLS_FAILED,
})  # fmt: skip
_ABANDONED = frozenset({Outcome.TIMEOUT_RESPONSE, Outcome.CENSORED})
_HALF = 0.5


@dataclass(frozen=True)
class Occupancy:
    """The uploads of one run as the server had them. Arrays of uploads have shape (uploads,), sorted by arrival."""

    arrived_s: FloatArray
    left_s: FloatArray
    size_bytes: FloatArray
    found: IntArray
    """How many others each upload found in the server."""
    clean: BoolArray
    """Whether it arrived at a time when all uploads in the server were known."""
    is_answered: BoolArray
    """Whether it was served; the others left when their client gave up."""
    refused_at: IntArray
    """How many were in the server at each refusal (429, 503)."""
    retry_after_s: FloatArray
    """Retry-After of those refusals; NaN without."""
    time_s: FloatArray
    """Known seconds by the number of uploads in the server: index 0 is an empty server."""
    departures: FloatArray
    """Uploads that were served in those seconds, by the number in the server before."""

    @property
    def service_alone_s(self) -> FloatArray:
        """How long uploads took that found the server empty: no queue, no contention."""
        return np.asarray((self.left_s - self.arrived_s)[self._alone])

    @property
    def size_alone_bytes(self) -> FloatArray:
        """The sizes of those uploads."""
        return np.asarray(self.size_bytes[self._alone])

    @property
    def served(self) -> BoolArray:
        """Which uploads were served while all others in the server were known."""
        return np.asarray(self.is_answered & self.clean)

    def count_beyond(self, beyond: int) -> tuple[float, float]:
        """Uploads served, and the known seconds, while more than `beyond` were in the server."""
        return float(self.departures[beyond + 1 :].sum()), float(self.time_s[beyond + 1 :].sum())

    @property
    def _alone(self) -> BoolArray:
        return np.asarray(self.is_answered & self.clean & (self.found == 0))


def measure_occupancy(run: MeasuredRun) -> Occupancy:
    """The server's occupancy over a run."""
    timings = run.timings
    names = np.array([outcome.value for outcome in OUTCOMES])[timings.outcome]
    refused = np.isin(timings.status, _REFUSALS)
    half_s = _half_round_trips(run)
    response_s = np.where(np.isfinite(timings.first_byte_s), timings.first_byte_s, timings.done_s) - half_s
    reached = np.isfinite(timings.body_sent_s) & ~refused & ~np.isin(names, list(_NOT_SERVED))
    arrived_s = np.minimum(timings.body_sent_s[reached], response_s[reached])
    order = np.argsort(arrived_s, kind="stable")
    arrived_s, left_s = arrived_s[order], response_s[reached][order]
    abandoned = np.isin(names[reached][order], list(_ABANDONED))
    unknown = _unknown_intervals(left_s[abandoned], run.scenario.client.timeout, run.faulty)
    times, counts = _steps(arrived_s, left_s)
    refused_s = response_s[refused]
    known = _outside(refused_s, unknown)
    seconds, departures = _by_number(times, counts, left_s[~abandoned], unknown)
    return Occupancy(
        arrived_s=arrived_s, left_s=left_s, size_bytes=timings.size_bytes[reached][order].astype(np.float64),
        found=np.maximum(_count_at(times, counts, arrived_s) - 1, 0), clean=_outside(arrived_s, unknown), is_answered=~abandoned,
        refused_at=_count_at(times, counts, refused_s[known]), retry_after_s=timings.retry_after_s[refused][known].astype(np.float64),
        time_s=seconds, departures=departures,
    )  # fmt: skip


def _half_round_trips(run: MeasuredRun) -> FloatArray:
    """How long each response was under way."""
    link, seed = run.scenario.client.link, run.scenario.seed
    drawn: dict[str, float] = {}
    for station in set(run.timings.station.tolist()):
        model = draw_link_model(link, seed, station)
        drawn[station] = 0.0 if model is None else _HALF * model.rtt_s
    return np.array([drawn[station] for station in run.timings.station.tolist()])


def _unknown_intervals(
    given_up_s: FloatArray, timeout_s: float, faulty: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """When the number in the server is not known: after each client that gave up, and while faults act.

    What it left behind has waited for the client's patience already; it is taken to be done after as long again.
    """
    found = sorted([*((at_s, at_s + timeout_s) for at_s in given_up_s.tolist()), *faulty])
    merged: list[tuple[float, float]] = []
    for begin_s, end_s in found:
        if merged and begin_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end_s))
        else:
            merged.append((begin_s, end_s))
    return merged


def _outside(times: FloatArray, intervals: Sequence[tuple[float, float]]) -> BoolArray:
    begins, ends = np.array([one[0] for one in intervals]), np.array([one[1] for one in intervals])
    if not len(begins):
        return np.ones(len(times), dtype=np.bool_)
    place = np.searchsorted(begins, times, side="right") - 1
    return np.asarray((place < 0) | (times >= ends[np.maximum(place, 0)]))


def _steps(arrived_s: FloatArray, left_s: FloatArray) -> tuple[FloatArray, IntArray]:
    """The moments at which the number in the server changes, and the number from each on."""
    times = np.concatenate([arrived_s, left_s])
    changes = np.concatenate([np.ones(len(arrived_s), np.int64), -np.ones(len(left_s), np.int64)])
    order = np.lexsort((-changes, times))  # an arrival first: an upload of no duration was in the server, too
    return times[order], np.cumsum(changes[order])


def _count_at(times: FloatArray, counts: IntArray, at_s: FloatArray) -> IntArray:
    """How many were in the server after the last change at or before each moment."""
    if not len(times):
        return np.zeros(len(at_s), dtype=np.int64)
    place = np.searchsorted(times, at_s, side="right") - 1
    return np.asarray(np.where(place < 0, 0, counts[np.maximum(place, 0)]))


def _by_number(
    times: FloatArray, counts: IntArray, served_s: FloatArray, unknown: Sequence[tuple[float, float]]
) -> tuple[FloatArray, FloatArray]:
    """Known seconds and departures by the number in the server."""
    if not len(times):
        return np.zeros(1), np.zeros(1)
    edges = np.unique(np.concatenate([times, np.array([edge for one in unknown for edge in one])]))
    begins = edges[:-1]
    numbers = _count_at(times, counts, begins)
    known = _outside(begins, unknown)
    length = int(counts.max()) + 1
    seconds = np.bincount(numbers[known], np.diff(edges)[known], length)
    kept = np.sort(served_s[_outside(served_s, unknown)])
    before = np.searchsorted(times, kept, side="left") - 1
    departures = np.bincount(counts[np.maximum(before, 0)], minlength=length).astype(np.float64)
    return np.asarray(seconds[:length], dtype=np.float64), departures[:length]
