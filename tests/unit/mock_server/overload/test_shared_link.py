"""A link that transfers share: equal parts, limits, and what is through when."""

from __future__ import annotations

import math

import pytest

from mock_server.overload.shared_link import SharedLink
from tests.support.counted_work import CountedKey, count_lines


def test_a_transfer_alone_has_the_whole_rate() -> None:
    link = SharedLink(100.0)
    link.start(1.0, 50.0)
    assert link.next_finish_s() == 1.5


def test_two_at_once_have_half_each_and_the_second_all_of_it_once_the_first_is_through() -> None:
    link = SharedLink(100.0)
    small, large = link.start(0.0, 50.0), link.start(0.0, 150.0)
    assert link.next_finish_s() == 1.0
    assert link.take_finished(1.0) == [small]
    assert link.next_finish_s() == 2.0
    assert link.take_finished(2.0) == [large]


def test_what_one_cannot_take_goes_to_the_others() -> None:
    link = SharedLink(100.0)
    slow, fast = link.start(0.0, 10.0, limit_bytes_per_s=10.0), link.start(0.0, 90.0)
    assert set(link.take_finished(1.0)) == {slow, fast}
    assert slow.finished_s == fast.finished_s == 1.0


def test_a_limit_above_the_equal_part_binds_once_the_others_have_left() -> None:
    link = SharedLink(100.0)
    limited = link.start(0.0, 110.0, limit_bytes_per_s=60.0)
    other = link.start(0.0, 50.0)
    assert link.take_finished(1.0) == [other]
    assert link.used_bytes_per_s == 60.0
    assert link.next_finish_s() == pytest.approx(2.0)
    assert math.isinf(limited.finished_s)


def test_a_slow_sender_that_is_through_leaves_what_the_others_have_received_as_it_was() -> None:
    link = SharedLink(100.0)
    slow, fast = link.start(0.0, 10.0, limit_bytes_per_s=10.0), link.start(0.0, 180.0)
    assert link.take_finished(1.0) == [slow]
    assert link.remaining_bytes(1.0, fast) == 90.0
    assert link.next_finish_s() == pytest.approx(1.9)


def test_who_is_through_first_is_next_whoever_began_first() -> None:
    link = SharedLink(100.0)
    slow, fast = link.start(0.0, 1000.0, limit_bytes_per_s=10.0), link.start(0.0, 90.0)
    assert link.next_finish_s() == 1.0
    assert link.take_finished(1.0) == [fast]
    assert link.next_finish_s() == 100.0
    assert link.take_finished(100.0) == [slow]


def test_slow_senders_are_counted_until_the_last_has_left() -> None:
    link = SharedLink(100.0)
    slow = [link.start(0.0, 10.0, limit_bytes_per_s=limit) for limit in (0.1, 0.2, 0.3)]
    assert (len(link), link.sharing) == (3, 0)
    assert link.used_bytes_per_s == pytest.approx(0.6)
    link.cancel(1.0, slow[1])
    assert len(link) == 2
    link.cancel(1.0, slow[0])
    assert len(link) == 1
    assert link.used_bytes_per_s == pytest.approx(0.3)
    link.cancel(1.0, slow[2])
    assert (len(link), link.used_bytes_per_s) == (0, 0.0), "exactly: no rounding error is left over"


def test_a_cancelled_transfer_leaves_its_part_to_the_others_and_never_finishes() -> None:
    link = SharedLink(100.0)
    leaves, stays = link.start(0.0, 100.0), link.start(0.0, 100.0)
    link.cancel(1.0, leaves)
    link.cancel(1.0, leaves)
    assert link.remaining_bytes(1.0, leaves) == 0.0
    assert link.remaining_bytes(1.0, stays) == 50.0
    assert link.take_finished(2.0) == [stays]
    assert math.isinf(leaves.finished_s)
    assert math.isinf(link.next_finish_s())


def test_what_has_finished_is_kept_until_it_is_taken() -> None:
    link = SharedLink(100.0)
    first = link.start(0.0, 10.0)
    second = link.start(5.0, 10.0)
    assert link.next_finish_s() == first.finished_s == 0.1
    assert link.take_finished(5.1) == [first, second]
    assert link.take_finished(9.0) == []


def test_transfers_of_equal_size_that_begin_together_end_together() -> None:
    link = SharedLink(7.0)
    together = [link.start(0.3, 1.1) for _ in range(9)]
    assert link.take_finished(link.next_finish_s()) == together


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must be above 0, not 0 bytes/s"):
        SharedLink(0.0)
    assert SharedLink(0.5).rate_bytes_per_s == 0.5


def test_an_event_takes_hardly_more_steps_with_ten_times_as_many_transfers() -> None:
    """O(log n): recomputing every share at each event would take ten times as many."""

    def steps(under_way: int) -> int:
        link = SharedLink(1e6)
        for number in range(under_way):
            link.start(0.0, CountedKey(1e6 + number))

        def start_and_cancel() -> None:
            for number in range(500):
                link.cancel(0.001 * number, link.start(0.001 * number, CountedKey(1e6)))

        CountedKey.compared = 0
        lines = count_lines(start_and_cancel)
        assert CountedKey.compared > 500
        return lines + CountedKey.compared

    assert steps(2000) < 1.5 * steps(200)
