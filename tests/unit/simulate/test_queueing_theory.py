"""A whole simulation against queueing theory in closed form, and against Ciw, an independent simulator.

Every station sends a single page and arrives by a Poisson process, so the server is a textbook queue. The seeds are fixed,
so each test gives the same numbers every time.
"""

import math
from typing import Any

import ciw
import numpy as np
import pytest

from tests.support.simulations import PlayedSimulation, play, scenario
from tests.unit.mock_server.overload.test_worker_pool import batch_means, erlang_c

pytestmark = pytest.mark.heavy

PATIENT = {"timeout": "30d", "retry": {"strategy": "none"}}
EXPONENTIAL = {"distribution": "exponential", "mean": "1s"}
LOGNORMAL = {"distribution": "lognormal", "median": "1s", "sigma": 0.5}
LOGNORMAL_MEAN, LOGNORMAL_SCV = math.exp(0.125), math.exp(0.25) - 1


def queue(stations: int, rate_per_s: float, pages: int = 1, **server: Any) -> PlayedSimulation:
    """Stations that arrive at this rate, each with so many pages, at a server with these keys."""
    over_s = stations / rate_per_s
    tables: dict[str, Any] = {
        "stations": {"region": "provinces", "count": stations},
        "arrivals": {"kind": "poisson", "over": f"{over_s}s"},
        "deadline": f"{10 * over_s}s",
        "client": PATIENT,
        "server": {"shed": "none", **server},
    }
    return PlayedSimulation(scenario(**tables), pages_each=pages)


def steady_waits(played: PlayedSimulation) -> np.ndarray:
    """Seconds in the queue in the order of arrival, without the beginning, when the queue was still empty."""
    rows = np.sort(played.rows, order="due_s")
    return np.asarray(rows["queue_s"][len(rows) // 20 :], dtype=np.float64)


@pytest.mark.parametrize(("workers", "utilisation"), [(1, 0.5), (4, 0.7), (8, 0.7)])
def test_the_wait_with_exponential_service_is_that_of_m_m_c(workers, utilisation):
    played = queue(16_000, utilisation * workers, workers=workers, service_time=EXPONENTIAL)
    mean, error = batch_means(steady_waits(played))
    expected = erlang_c(workers, utilisation * workers) / (workers * (1 - utilisation))
    assert abs(mean - expected) < 3 * error
    assert error < 0.15 * expected


def test_the_wait_with_one_worker_and_any_service_time_is_pollaczek_and_khinchines():
    utilisation = 0.7
    played = queue(16_000, utilisation / LOGNORMAL_MEAN, workers=1, service_time=LOGNORMAL)
    mean, error = batch_means(steady_waits(played))
    expected = utilisation / (1 - utilisation) * (1 + LOGNORMAL_SCV) / 2 * LOGNORMAL_MEAN
    assert abs(mean - expected) < 3 * error
    assert error < 0.15 * expected


@pytest.mark.parametrize("service", [EXPONENTIAL, LOGNORMAL, "1133ms"])
def test_without_a_queue_the_share_refused_is_erlangs_b_whatever_the_service_time_is(service):
    # M/G/c/c is insensitive: only the mean service counts.
    workers, mean_s = 5, 1.0 if service is EXPONENTIAL else LOGNORMAL_MEAN
    load = 4.0
    played = queue(
        20_000,
        load / mean_s,
        workers=workers,
        service_time=service,
        shed="queue_full",
        queue_capacity=0,
        retry_after="none",
    )
    terms = [load**k / math.factorial(k) for k in range(workers + 1)]
    refused = played.outcomes["unavailable"] / 20_000
    assert refused == pytest.approx(terms[-1] / sum(terms), rel=0.06)


def test_retried_pages_of_a_station_are_a_queue_with_feedback():
    """Three pages one after another: with exponential service the wait is that of M/M/c at three times the rate (Kelly)."""
    workers, utilisation = 4, 0.7
    played = queue(12_000, utilisation * workers / 3, pages=3, workers=workers, service_time=EXPONENTIAL)
    mean, error = batch_means(steady_waits(played))
    expected = erlang_c(workers, utilisation * workers) / (workers * (1 - utilisation))
    assert abs(mean - expected) < 3 * error


def ciw_times(stations: int, rate_per_s: float, workers: int, seed: int) -> np.ndarray:
    """Seconds from arrival to the end of the third visit, in Ciw, of stations that visit one node three times."""
    ciw.seed(seed)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate_per_s)],
        service_distributions=[ciw.dists.Lognormal(0.0, 0.5)],
        number_of_servers=[workers],
        routing=ciw.routing.ProcessBased(lambda _individual, _simulation: [1, 1]),
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(stations, method="Finish")
    ended: dict[int, list[tuple[float, float]]] = {}
    for record in simulation.get_all_records():
        ended.setdefault(record.id_number, []).append((record.arrival_date, record.exit_date))
    whole = [visits for visits in ended.values() if len(visits) == 3]
    return np.array([max(end for _, end in visits) - min(begin for begin, _ in visits) for visits in whole])


def test_stations_take_as_long_as_in_an_independent_simulator():
    stations, workers = 8_000, 3
    rate_per_s = 0.6 * workers / (3 * LOGNORMAL_MEAN)
    played = queue(stations, rate_per_s, pages=3, workers=workers, service_time=LOGNORMAL)
    rows = np.sort(played.rows, order="page").reshape(stations, 3)
    ours = rows["done_s"][:, 2] - rows["due_s"][:, 0]
    theirs = np.concatenate([ciw_times(stations, rate_per_s, workers, seed) for seed in (1, 2)])
    mean, error = batch_means(ours[np.argsort(rows["due_s"][:, 0])])
    other, other_error = batch_means(theirs)
    assert abs(mean - other) < 3 * math.hypot(error, other_error)
    assert math.hypot(error, other_error) < 0.02 * other
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(ours, share) == pytest.approx(np.quantile(theirs, share), rel=0.05)


def test_a_helper_gives_stations_a_single_page():
    played = PlayedSimulation(scenario(), pages_each=1)
    assert len(played.rows) == 2
    assert len(play().rows) == 6
