"""Service times are drawn for a page and attempt, rounded so that no C library's last bit shows."""

import pytest

from mock_server.overload.service_time import ServiceTimes
from mock_server.profile.keyed_random import keyed_uniform
from mock_server.profile.server_profile import ServerProfile

PAGE = ("3509191001001", "ppwp", 2)


def times(**keys) -> ServiceTimes:
    return ServiceTimes(ServerProfile.model_validate(keys), 7)


def test_the_time_is_the_quantile_of_the_draw_for_page_and_attempt():
    drawn = ServerProfile().service_time.quantile(keyed_uniform(7, "service", *PAGE, 1))
    assert times().seconds(*PAGE, 1, 1_600_000) == pytest.approx(drawn, abs=1e-9)
    assert times().seconds(*PAGE, 2, 1_600_000) != pytest.approx(drawn, abs=1e-6), "another attempt draws another time"


def test_the_size_counts_only_at_a_rate():
    fixed = times(service_time="100ms", bytes_per_s="1MB/s")
    assert fixed.seconds(*PAGE, 1, 500_000) == pytest.approx(0.6, abs=1e-9)


def test_an_asynchronous_reading_takes_its_time_too():
    assert times(service_time="100ms", reading="asynchronous", reading_time="2s").seconds(*PAGE, 1, 1) == pytest.approx(
        2.1
    )


def test_a_reading_takes_a_time_of_its_own_for_each_page_and_attempt():
    spread = {"distribution": "uniform", "low": "0s", "high": "10s"}
    reading = times(service_time="0s", reading="asynchronous", reading_time=spread)
    for key in ((*PAGE, 1), (*PAGE, 2), ("3509191001002", "ppwp", 2, 1), (PAGE[0], "pdpr", 2, 1), (*PAGE[:2], 3, 1)):
        assert reading.seconds(*key, 1) == pytest.approx(10 * keyed_uniform(7, "reading", *key), abs=1e-8)


def test_a_time_is_rounded_to_nanoseconds():
    seconds = times().seconds(*PAGE, 1, 1)
    assert seconds == round(seconds, 9)
