"""SharedLink against the definition of max-min fairness, computed from scratch at every event."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server.overload.line_schedule import LineSchedule
from mock_server.overload.shared_link import SharedLink, Transfer

_SIZES = st.integers(1, 1000).map(float)
_LIMITS = st.one_of(st.just(math.inf), st.integers(1, 300).map(float))


@dataclass(frozen=True)
class _Arrival:
    at_s: float
    size_bytes: float
    limit_bytes_per_s: float
    cancelled_after_s: float


_ARRIVALS = st.lists(
    st.builds(
        _Arrival,
        at_s=st.integers(0, 40).map(lambda tenths: tenths / 4),
        size_bytes=_SIZES,
        limit_bytes_per_s=_LIMITS,
        cancelled_after_s=st.one_of(st.just(math.inf), st.integers(0, 20).map(lambda tenths: tenths / 4)),
    ),
    max_size=12,
).map(lambda arrivals: sorted(arrivals, key=lambda one: one.at_s))


def _fair_rates(limits: dict[int, float], rate: float) -> dict[int, float]:
    """Water-filling: a transfer that takes less than an equal part leaves the rest to the others."""
    rates: dict[int, float] = {}
    left = rate
    for number, key in enumerate(sorted(limits, key=limits.__getitem__)):
        rates[key] = min(limits[key], left / (len(limits) - number))
        left -= rates[key]
    return rates


def _finish_times(arrivals: list[_Arrival], rate: float) -> list[float]:
    """When each arrival is finished, by stepping from event to event with rates from scratch."""
    finished = [math.inf] * len(arrivals)
    left: dict[int, float] = {}
    now, coming = 0.0, list(range(len(arrivals)))
    while coming or left:
        rates = _fair_rates({key: arrivals[key].limit_bytes_per_s for key in left}, rate)
        ends = {key: now + left[key] / rates[key] for key in left}
        leaves = {key: arrivals[key].at_s + arrivals[key].cancelled_after_s for key in left}
        moment = min([*ends.values(), *leaves.values(), *(arrivals[key].at_s for key in coming[:1])])
        for key in left:
            left[key] -= rates[key] * (moment - now)
        now = moment
        for key in [key for key in left if ends[key] <= now + 1e-9]:
            finished[key] = now
            del left[key]
        for key in [key for key in left if leaves[key] <= now]:
            del left[key]
        while coming and arrivals[coming[0]].at_s <= now:
            left[coming[0]] = arrivals[coming[0]].size_bytes
            coming.pop(0)
    return finished


def _play(arrivals: list[_Arrival], rate: float) -> list[float]:
    """The same by the link itself, every call at the time of its event."""
    link, started = SharedLink(rate), list[Transfer]()
    events = [(one.at_s, 0, number) for number, one in enumerate(arrivals)]
    events += [
        (one.at_s + one.cancelled_after_s, 1, number)
        for number, one in enumerate(arrivals)
        if one.cancelled_after_s < math.inf
    ]
    for at_s, is_cancel, number in sorted(events):
        if is_cancel:
            link.cancel(at_s, started[number])
        else:
            started.append(link.start(at_s, arrivals[number].size_bytes, arrivals[number].limit_bytes_per_s))
    while (at_s := link.next_finish_s()) < math.inf:
        assert link.take_finished(at_s)
    assert len(link) == 0
    return [transfer.finished_s for transfer in started]


@given(_ARRIVALS, st.integers(1, 400).map(float))
def test_transfers_finish_when_max_min_fairness_says(arrivals: list[_Arrival], rate: float) -> None:
    expected, found = _finish_times(arrivals, rate), _play(arrivals, rate)
    for number, one in enumerate(arrivals):
        if abs(expected[number] - one.at_s - one.cancelled_after_s) < 1e-6:
            continue  # finished and cancelled at the same moment: either may come first
        assert found[number] == pytest.approx(expected[number], rel=1e-9, abs=1e-6)


@given(_ARRIVALS.filter(bool), st.integers(1, 400).map(float))
def test_a_link_is_never_faster_than_its_rate(arrivals: list[_Arrival], rate: float) -> None:
    lasting = [_Arrival(one.at_s, one.size_bytes, one.limit_bytes_per_s, math.inf) for one in arrivals]
    finished = _play(lasting, rate)
    total = sum(one.size_bytes for one in lasting)
    assert max(finished) - lasting[0].at_s >= total / rate * (1 - 1e-9)
    for one, at_s in zip(lasting, finished, strict=True):
        assert at_s - one.at_s >= one.size_bytes / min(rate, one.limit_bytes_per_s) * (1 - 1e-9)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 60)), min_size=1, max_size=8), st.integers(1, 20))
def test_pieces_in_turn_finish_when_the_shared_link_says(uploads: list[tuple[int, int]], rate: int) -> None:
    """The server passes pieces in turn, the simulation shares continuously: two rounds of pieces apart at most."""
    piece = 1.0
    order = sorted((float(at), float(size)) for at, size in uploads)
    link = SharedLink(float(rate))
    transfers = [link.start(at, size) for at, size in order]
    while (at_s := link.next_finish_s()) < math.inf:
        link.take_finished(at_s)
    schedule = LineSchedule(float(rate), slack_s=0.0)
    turns = [(at, number, size) for number, (at, size) in enumerate(order)]
    ended = [0.0] * len(order)
    while turns:
        turns.sort()
        at, number, left = turns.pop(0)
        ended[number] = schedule.admit(at, min(piece, left))
        if left > piece:
            turns.append((ended[number], number, left - piece))
    for transfer, end_s in zip(transfers, ended, strict=True):
        assert end_s == pytest.approx(transfer.finished_s, abs=2 * len(order) * piece / rate)
