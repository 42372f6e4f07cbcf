"""How many uploads are in a server, from what its clients measured: checked against hand-made attempts."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from harness.base.model import OUTCOMES, Outcome
from harness.run_folder.attempt_timings import AttemptTimings
from harness.simulate.fitting.costs import MeasuredRun, attempt_numbers
from harness.simulate.fitting.occupancy import Occupancy, measure_occupancy
from harness.simulate.fitting.service_law import fit_service
from tests.support.simulations import scenario

ACCEPTED = Outcome.ACCEPTED


def attempts(*rows: tuple[float, float, Outcome], **columns: Any) -> AttemptTimings:
    """Attempts whose last byte was sent at the first time and which ended at the second."""
    number = len(rows)
    sent, done = (np.array([row[place] for row in rows], dtype=np.float64) for place in (0, 1))
    outcomes = [row[2] for row in rows]
    values: dict[str, Any] = {field.name: np.full(number, np.nan) for field in fields(AttemptTimings)}
    values |= {
        "station": np.array([f"s{place}" for place in range(number)], dtype=object),
        "form": np.array(["ppwp"] * number, dtype=object),
        "page": np.ones(number, dtype=np.int64), "attempt": np.ones(number, dtype=np.int64),
        "sent_s": sent, "connected_s": sent, "body_sent_s": sent, "done_s": done,
        "first_byte_s": np.where(np.array([one is ACCEPTED for one in outcomes], dtype=np.bool_), done, np.nan),
        "outcome": np.array([OUTCOMES.index(one) for one in outcomes], dtype=np.int64),
        "status": np.array([{ACCEPTED: 201, Outcome.UNAVAILABLE: 503}.get(one, 0) for one in outcomes], dtype=np.int64),
        "size_bytes": np.full(number, 1000),
    }  # fmt: skip
    return AttemptTimings(**{**values, **columns})


def occupancy(*rows: tuple[float, float, Outcome], faulty: tuple[tuple[float, float], ...] = ()) -> Occupancy:
    """With clients that give up after five seconds."""
    return measure_occupancy(MeasuredRun("run", scenario(), attempts(*rows), faulty))


def test_each_upload_finds_those_that_have_come_and_not_left():
    found = occupancy((0.0, 10.0, ACCEPTED), (1.0, 2.0, ACCEPTED), (1.5, 4.0, ACCEPTED), (3.0, 5.0, ACCEPTED))
    assert found.found.tolist() == [0, 1, 2, 2]


def test_only_uploads_that_found_the_server_empty_show_the_service_time():
    found = occupancy((0.0, 1.0, ACCEPTED), (0.5, 3.0, ACCEPTED), (4.0, 4.25, ACCEPTED))
    assert found.service_alone_s.tolist() == [1.0, 0.25]


def test_seconds_and_departures_are_counted_by_the_number_in_the_server():
    found = occupancy((0.0, 4.0, ACCEPTED), (1.0, 3.0, ACCEPTED))
    assert found.time_s.tolist() == [0.0, 2.0, 2.0]
    assert found.departures.tolist() == [0.0, 1.0, 1.0]
    assert found.count_beyond(1) == (1.0, 2.0)


def test_a_refusal_counts_those_in_the_server_and_is_not_one_of_them():
    found = occupancy((0.0, 9.0, ACCEPTED), (1.0, 9.0, ACCEPTED), (2.0, 2.0, Outcome.UNAVAILABLE))
    assert found.refused_at.tolist() == [2]
    assert len(found.arrived_s) == 2


def test_after_a_client_gave_up_its_work_may_go_on_so_nothing_is_known_for_as_long_again():
    timeout = Outcome.TIMEOUT_RESPONSE
    found = occupancy((0.0, 5.0, timeout), (1.0, 1.5, ACCEPTED), (6.0, 6.5, ACCEPTED), (11.0, 11.5, ACCEPTED))
    assert found.clean.tolist() == [True, True, False, True]
    assert found.is_answered.tolist() == [False, True, True, True]
    assert found.time_s.sum() == pytest.approx(4.5 + 0.5 + 1.5), "5 s to 10 s is left out"


def test_attempts_that_never_reached_the_server_are_not_in_it():
    found = occupancy((0.0, 1.0, ACCEPTED), (0.2, 0.3, Outcome.REFUSED), (0.4, 0.9, Outcome.TIMEOUT_SEND))
    assert len(found.arrived_s) == 1


def test_nothing_is_known_while_a_fault_acts():
    found = occupancy((0.0, 1.0, ACCEPTED), (3.0, 3.5, ACCEPTED), faulty=((2.0, 4.0),))
    assert found.clean.tolist() == [True, False]
    assert found.served.tolist() == [True, False]


def test_a_run_without_uploads_has_an_empty_server():
    found = occupancy()
    assert (found.time_s.tolist(), found.departures.tolist(), found.refused_at.tolist()) == ([0.0], [0.0], [])


def test_attempts_of_a_page_are_numbered_as_the_server_is_sent_them():
    rows = attempts(
        *[(float(at), at + 0.5, ACCEPTED) for at in range(4)], station=np.array(["a", "b", "a", "a"], object)
    )
    assert attempt_numbers(rows).tolist() == [1, 1, 2, 3]


def test_too_few_uploads_show_no_service_time():
    with pytest.raises(ValueError, match="only 3 uploads found the server empty, and 50 are needed"):
        fit_service(np.array([0.1, 0.2, 0.3]), np.array([1.0, 1.0, 1.0]))


def test_the_distance_says_how_badly_the_best_distribution_fits():
    two_kinds = np.concatenate([np.full(300, 0.010), np.full(300, 1.0)])
    assert fit_service(two_kinds, np.ones(600)).distance > 0.15
    even = np.random.default_rng(1).lognormal(-2, 0.4, 2000)
    assert fit_service(even, np.ones(2000)).distance < 0.03
