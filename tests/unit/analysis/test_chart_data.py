from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.analysis import chart_data, chart_lines
from harness.analysis.chart_data import load_chart_data
from harness.analysis.chart_lines import binned_maximum, binned_percentile, response_heatmap
from harness.analysis.chart_types import ChartLine
from harness.analysis.summarise import summarise
from harness.base.model import Outcome
from harness.run_folder.journal import journal_file_name
from harness.run_folder.layout import FaultRecord
from tests.support.run_builder import RunBuilder
from tests.support.synthetic_run import kaliwates_run

NAN = float("nan")


@pytest.fixture(scope="module")
def evening(tmp_path_factory):
    return kaliwates_run(tmp_path_factory.mktemp("evening") / "run")


@pytest.fixture(scope="module")
def drawn(evening):
    return load_chart_data(evening)


def totals(line):
    widths = np.ones(len(line.t_s))
    widths[-1] = 2 * (line.t_s[-1] - (len(widths) - 1))
    return (line.value * widths).sum()


def lines_in(part):
    if isinstance(part, ChartLine):
        return [part]
    if isinstance(part, list):
        return [line for inner in part for line in lines_in(inner)]
    if dataclasses.is_dataclass(part):
        return [line for field in dataclasses.fields(part) for line in lines_in(getattr(part, field.name))]
    return []


@pytest.mark.heavy
def test_charts_and_figures_agree(evening, drawn):
    found = summarise(evening)
    assert totals(drawn.rates.offered) == pytest.approx(found.pages.planned)
    assert totals(drawn.rates.goodput) == pytest.approx(found.pages.delivered)
    assert {line.label: round(totals(line)) for line in drawn.rates.outcomes} == found.attempts.by_outcome
    assert drawn.responses.counts.sum() == found.response_seconds.count
    assert drawn.completion.total.value[-1] == found.stations.completed_ratio
    assert round(totals(drawn.server.shed)) == found.server.shed
    assert np.nanmax(drawn.generator.in_flight.value) == found.generator.in_flight_max


def test_every_line_has_a_time_for_each_value(drawn):
    lines = lines_in(drawn)
    assert len(lines) > 20
    assert all(line.t_s.shape == line.value.shape for line in lines)
    assert all((np.diff(line.t_s) > 0).all() for line in lines)


def test_the_most_frequent_outcome_stands_first(drawn):
    assert [line.label for line in drawn.rates.outcomes] == ["accepted", "unavailable"]


def test_completion_in_a_long_run_has_few_moments_and_the_same_end(evening, drawn, monkeypatch):
    monkeypatch.setattr(chart_data, "MAX_COMPLETION_MOMENTS", 10)
    fewer = load_chart_data(evening).completion
    assert len(fewer.total.t_s) <= 12
    assert (np.diff(fewer.total.t_s) > 0).all()
    assert fewer.total.t_s[-1] == drawn.completion.total.t_s[-1]
    assert fewer.total.value[-1] == drawn.completion.total.value[-1]
    at_s = fewer.total.t_s[3]
    assert fewer.total.value[3] == drawn.completion.total.value[drawn.completion.total.t_s == at_s][0]


def test_a_line_a_kelurahan_ends_at_its_share(drawn):
    assert len(drawn.completion.kelurahan) == 7
    assert {line.value[-1] for line in drawn.completion.kelurahan} == {1.0}
    assert drawn.completion.planned.value[0] == 0.0


def test_fault_windows_end_with_the_run_at_the_latest(tmp_path):
    faults = [
        FaultRecord(name="long", kind="capacity", start_s=1.0, end_s=90.0),
        FaultRecord(name="endless", kind="capacity", start_s=2.0, end_s=None),
        FaultRecord(name="later", kind="capacity", start_s=20.0, end_s=30.0),
    ]
    found = load_chart_data(RunBuilder(tmp_path / "run", faults=faults).finish(at_s=10.0))
    assert [(window.label, window.start_s, window.end_s) for window in found.windows] == [
        ("long", 1.0, 10.0),
        ("endless", 2.0, 10.0),
    ]


def test_a_run_killed_at_once_gives_empty_lines_and_says_what_is_missing(tmp_path):
    found = load_chart_data(RunBuilder(tmp_path / "run", stations=2).break_off())
    assert found.rates.offered.t_s.tolist() == []
    assert found.rates.outcomes == []
    assert found.responses.counts.sum() == 0
    assert (found.generator.cpu, found.server.queue_depth.t_s.tolist()) == ([], [])
    assert len(found.notes) == 4
    assert "broken off" in found.notes[0]
    assert "no attempt" in found.notes[1]
    assert "scrapes of the generator" in found.notes[2]
    assert "scrapes of the server" in found.notes[3]


def test_a_whole_run_has_nothing_to_note(drawn):
    assert drawn.notes == []


def test_failed_scrapes_are_noted(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.attempt(0)
    run.scrape("worker-0", 0.0, {("process_cpu_seconds_total", ()): 1.0})
    run.scrape("server", 0.0, {("mock_server_queue_depth", ()): 1.0})
    run.scrape("server", 1.0, error="refused")
    assert load_chart_data(run.finish(at_s=2.0)).notes == ["1 of 2 scrapes of server failed."]


def test_a_worker_that_never_wrote_is_no_matter(tmp_path):
    run = RunBuilder(tmp_path / "run", workers=2)
    run.attempt(0)
    folder = run.finish(at_s=2.0)
    (folder.journal / journal_file_name(1)).write_bytes(b"")
    assert load_chart_data(folder).completion.total.value[-1] == 1.0


def test_a_second_with_enough_values_has_its_own_percentile():
    due = np.concatenate([np.linspace(0, 0.9, 20), np.linspace(1, 1.9, 20)])
    value = np.concatenate([np.arange(1.0, 21.0), np.arange(101.0, 121.0)])
    line = binned_percentile(due, value, 0.5, "p50", 2.0)
    assert line.t_s.tolist() == [0.5, 1.5]
    assert line.value.tolist() == [10.0, 110.0]


def test_seconds_with_too_few_values_are_joined():
    due = np.linspace(0, 3.99, 40)
    line = binned_percentile(due, np.arange(1.0, 41.0), 0.5, "p50", 4.0)
    assert line.t_s.tolist() == [1.0, 3.0]
    assert line.value.tolist() == [10.0, 30.0]


def test_more_than_ten_seconds_are_never_joined():
    due = np.arange(0.0, 30.0)
    line = binned_percentile(due, due, 0.5, "p50", 30.0)
    assert len(line.t_s) == 30
    assert np.isnan(line.value).all()


def test_values_before_and_after_a_pause_are_not_joined():
    """An outage from 3 s to 8 s lets few through: no percentile of those before it together with those after it."""
    due = np.concatenate(
        [np.linspace(0, 0.9, 20), np.linspace(2, 2.9, 10), np.linspace(8, 8.9, 10), np.linspace(9, 9.9, 20)]
    )
    line = binned_percentile(due, np.ones(60), 0.5, "p50", 10.0)
    np.testing.assert_array_equal(line.t_s, [*np.arange(8) + 0.5, 9.0])
    np.testing.assert_array_equal(line.value, [1.0, *[NAN] * 7, 1.0])


def test_a_second_with_a_few_values_is_joined_with_its_neighbours():
    due = np.array([0.5, 2.4, 4.3, 6.2, *np.linspace(7, 7.9, 16)])
    line = binned_percentile(due, np.ones(20), 0.5, "p50", 8.0)
    assert (line.t_s.tolist(), line.value.tolist()) == ([4.0], [1.0])


def test_percentiles_over_time_are_of_accepted_uploads_and_refusals_stand_beside_them(tmp_path):
    run = RunBuilder(tmp_path / "run", stations=60)
    for page in range(20):
        run.attempt(page, due_s=page / 40, done_s=page / 40 + 2.0)
        run.attempt(20 + page, outcome=Outcome.UNAVAILABLE, due_s=page / 40, done_s=page / 40 + 0.003)
        run.attempt(40 + page, outcome=Outcome.REFUSED, due_s=page / 40, done_s=page / 40 + 0.001)
    found = load_chart_data(run.finish("deadline", at_s=3.0)).responses
    p50 = found.percentiles[0]
    assert (p50.label, p50.value[0]) == ("p50", pytest.approx(2.0))
    assert found.failed.value[0] == pytest.approx(0.001)
    assert found.counts.sum() == 40


def test_an_empty_second_is_a_gap():
    due = np.concatenate([np.full(20, 0.5), np.full(20, 2.5)])
    line = binned_percentile(due, np.ones(40), 0.5, "p50", 3.0)
    np.testing.assert_array_equal(line.value, [1.0, NAN, 1.0])


def test_the_greatest_of_each_second():
    line = binned_maximum(np.array([0.1, 0.2, 2.5]), np.array([3.0, 5.0, 4.0]), "max", 3.0)
    np.testing.assert_array_equal(line.value, [5.0, NAN, 4.0])


@pytest.mark.parametrize("response_s", [0.0, 1e-4, 1e-3, 0.1, 9.99, 10.0, 1000.0])
def test_every_response_has_its_place_in_the_grid(response_s):
    edges_t_s, edges_response_s, counts = response_heatmap(np.array([0.0, 3.0]), np.array([response_s, 0.5]), 3.0)
    assert counts.sum() == 2
    assert counts.shape == (len(edges_response_s) - 1, len(edges_t_s) - 1)
    assert (np.diff(edges_response_s) > 0).all()


def test_a_long_run_has_wider_columns():
    edges_t_s, _, counts = response_heatmap(np.array([10.0, 3599.0]), np.array([1.0, 1.0]), 3600.0)
    assert len(edges_t_s) == 301
    assert edges_t_s[1] == 12.0
    assert counts.sum() == 2


def test_a_heat_map_counted_in_slices_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    due_s, response_s = np.sort(rng.uniform(0, 50, 100)), rng.lognormal(-1, 1, 100)
    whole = response_heatmap(due_s, response_s, 50.0)
    monkeypatch.setattr(chart_lines, "HISTOGRAM_CHUNK_ROWS", 7)
    for one, other in zip(whole, response_heatmap(due_s, response_s, 50.0), strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole[2].sum() == 100
