"""A run of hours has no more points than a chart can show."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.chart_lines import binned_maximum, binned_percentile


def test_a_percentile_of_an_hour_is_taken_over_wider_bins_from_the_rows_themselves() -> None:
    due_s = np.arange(36_000) / 10
    line = binned_percentile(due_s, np.arange(36_000.0), 0.5, "p50", 3600.0)
    assert len(line.t_s) == 300
    assert line.t_s[:2].tolist() == [6.0, 18.0]
    assert line.value[0] == 59.0


def test_a_bin_of_a_long_run_that_cannot_bear_its_percentile_is_a_gap() -> None:
    line = binned_percentile(np.array([1.0, 2.0]), np.array([1.0, 1.0]), 0.5, "p50", 3600.0)
    assert np.isnan(line.value).all()


def test_the_greatest_of_a_long_run_is_not_lost_in_its_bins() -> None:
    due_s = np.arange(3600.0)
    value = np.zeros(3600)
    value[1234] = 7.5
    line = binned_maximum(due_s, value, "max", 3600.0)
    assert len(line.t_s) <= 301
    assert np.nanmax(line.value) == 7.5
    assert line.t_s[int(np.nanargmax(line.value))] == pytest.approx(1234, abs=12)
