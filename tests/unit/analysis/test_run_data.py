"""Counters of a run: what was counted before T0 is not the run's, and nothing that the run has counted is lost."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.run_data import LiveSeries, select_counter
from harness.analysis.time_series import SeriesBuilder


def counter(*scrapes):
    """The sum of one target's counter, scraped at these times with these values."""
    builder = SeriesBuilder("app", ["uploads_total"])
    for t_s, value in scrapes:
        builder.add(t_s, "" if value is None else f"# TYPE uploads_total counter\nuploads_total {value}\n")
    found = select_counter(LiveSeries({"app": builder.build()}), "uploads_total", ())
    assert found is not None
    return found


def test_what_is_counted_by_the_first_scrape_after_t0_is_all_the_runs():
    found = counter((-0.47, 1000), (0.53, 1090), (1.53, 1180))
    assert found.between(0.0, 1.53) == 180
    assert found.between(0.0, 0.53) == 90
    assert found.at(0.0) == 1000


def test_within_the_run_a_counter_rises_evenly_between_two_scrapes():
    found = counter((-0.5, 0), (0.5, 50), (1.5, 150))
    assert found.between(0.0, 1.0) == 100
    assert found.between(0.25, 0.5) == pytest.approx(25)


def test_a_scrape_before_t0_that_failed_is_no_value_there():
    assert counter((-0.4, None), (-0.2, 7), (0.8, 9)).between(0.0, 0.8) == 2
    assert counter((-0.2, None), (0.8, 9), (1.8, 12)).between(0.0, 1.8) == 3, (
        "what came before the first value is not known"
    )


def test_a_scrape_at_t0_counts_as_it_is():
    found = counter((-1.0, 4), (0.0, 5), (1.0, 8))
    assert found.between(0.0, 1.0) == 3
    assert np.diff(found.parts[0][0]).min() >= 0
