from __future__ import annotations

import pytest

from harness.analysis.rows import load_rows
from harness.analysis.scraped_metrics import compute_generator_figures, compute_server_figures, read_run_series
from harness.run_folder.layout import WorkerRecord
from tests.support.run_builder import RunBuilder

CPU = ("process_cpu_seconds_total", ())


def figures_of(folder):
    return compute_generator_figures(load_rows(folder), read_run_series(folder.scrapes).workers)


def server_of(folder):
    return compute_server_figures(read_run_series(folder.scrapes).server)


def test_the_share_of_a_core_is_taken_over_the_scrapes_own_times(tmp_path):
    run = RunBuilder(tmp_path / "run")
    for t_s, seconds in ((0.0, 1.0), (1.0, 1.5), (3.0, 2.0), (4.0, 2.98)):
        run.scrape("worker-0", t_s, {CPU: seconds})
    found = figures_of(run.finish(at_s=5.0))
    assert found.cpu_max_ratio == pytest.approx(0.98)
    assert found.cpu_above_90_s == pytest.approx(1.0)
    assert found.cpu_above_90_ratio == pytest.approx(0.25)


def test_a_busy_core_is_seen_through_scrapes_that_failed(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.scrape("worker-0", 0.0, {CPU: 0.0})
    run.scrape("worker-0", 1.0, error="timed out")
    run.scrape("worker-0", 2.0, error="timed out")
    run.scrape("worker-0", 3.0, {CPU: 2.9})
    found = figures_of(run.finish(at_s=5.0))
    assert found.cpu_above_90_s == pytest.approx(3.0)
    assert (found.scrapes, found.scrapes_failed) == (4, 2)


def test_getting_ready_before_the_start_is_not_held_against_the_generator(tmp_path):
    run = RunBuilder(tmp_path / "run")
    for t_s, seconds in ((-2.0, 0.0), (-0.5, 1.5), (0.5, 2.5), (1.5, 2.6)):
        run.scrape("worker-0", t_s, {CPU: seconds})
    found = figures_of(run.finish(at_s=5.0))
    assert found.cpu_max_ratio == pytest.approx(0.1)
    assert found.cpu_above_90_s == 0.0


def test_reporting_after_the_end_is_not_held_against_the_generator(tmp_path):
    run = RunBuilder(tmp_path / "run")
    for t_s, seconds in ((0.0, 0.0), (1.0, 0.1), (2.0, 0.2), (3.0, 1.2)):
        run.scrape("worker-0", t_s, {CPU: seconds})
    assert figures_of(run.finish(at_s=2.0)).cpu_max_ratio == pytest.approx(0.1)


def test_the_worst_worker_speaks_for_the_generator(tmp_path):
    run = RunBuilder(tmp_path / "run", workers=2)
    for second in range(3):
        for worker, (share, memory) in enumerate(((0.2, 9e6), (0.95, 5e6))):
            run.scrape(
                f"worker-{worker}",
                second + 0.1 * worker,
                {
                    CPU: share * (second + 0.1 * worker),
                    ("process_resident_memory_bytes", ()): memory,
                    ("process_open_fds", ()): 10.0 + worker,
                    ("harness_loop_lag_seconds", ()): 0.01 * (worker + 1),
                    ("harness_attempts_in_flight", ()): 5.0 + second,
                },
            )
    found = figures_of(run.finish(at_s=5.0))
    assert found.workers == 2
    assert found.cpu_above_90_ratio == pytest.approx(1.0)
    assert (found.memory_max_bytes, found.descriptors_max, found.loop_lag_max_s) == (9e6, 11.0, 0.02)
    assert found.in_flight_max == 14.0


def test_workers_totals_are_added_up(tmp_path):
    run = RunBuilder(tmp_path / "run", workers=2)
    for worker in range(2):
        run.scrape(
            f"worker-{worker}",
            1.0,
            {
                ("harness_attempts_total", (("outcome", "accepted"),)): 4.0,
                ("harness_attempts_total", (("outcome", "reset"),)): 1.0,
                ("harness_pages_due_total", ()): 6.0,
                ("harness_pages_delivered_total", ()): 4.0,
            },
        )
    assert figures_of(run.finish(at_s=5.0)).scraped == {"attempts": 10, "due": 12, "delivered": 8}


def test_a_generator_that_was_never_scraped_has_no_health(tmp_path):
    found = figures_of(RunBuilder(tmp_path / "run").finish(at_s=5.0))
    assert (found.cpu_max_ratio, found.cpu_above_90_ratio, found.memory_max_bytes) == (None, None, None)
    assert (found.in_flight_max, found.loop_lag_max_s, found.scraped, found.scrapes) == (None, None, {}, 0)


def test_one_scrape_is_no_rate(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.scrape("worker-0", 0.0, {CPU: 3.0})
    assert figures_of(run.finish(at_s=5.0)).cpu_max_ratio is None


def test_lost_workers_are_counted(tmp_path):
    run = RunBuilder(tmp_path / "run", workers=2)
    lost = [WorkerRecord(rank=0), WorkerRecord(rank=1, lost=True)]
    assert figures_of(run.finish(at_s=5.0, workers=lost)).workers_lost == 1


def test_a_station_whose_time_had_come_and_that_has_no_row_was_never_begun(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[0.0, 3.0, 4.98, 9.0])
    run.attempt(0)
    assert figures_of(run.finish("interrupted", at_s=5.0)).never_begun == 1


def test_a_station_that_its_strategy_held_back_was_begun(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.withhold(0)
    assert figures_of(run.finish("deadline", at_s=72.0)).never_begun == 0


def test_a_killed_run_is_allowed_what_it_could_not_flush(tmp_path):
    run = RunBuilder(tmp_path / "run", due_s=[0.0, 4.4, 4.6, 4.0])
    run.attempt(0, due_s=0.0, done_s=5.0)
    assert figures_of(run.break_off()).never_begun == 2


def test_the_server_s_figures_come_from_its_last_scrape_and_its_worst(tmp_path):
    run = RunBuilder(tmp_path / "run")
    answered = "http_server_request_duration_seconds_count"
    for second, (depth, shed) in enumerate(((3.0, 0.0), (9.0, 2.0), (1.0, 5.0))):
        run.scrape(
            "server",
            float(second),
            {
                ("mock_server_queue_depth", ()): depth,
                ("mock_server_workers_busy", ()): 2.0,
                ("mock_server_shed_total", (("reason", "queue_full"),)): shed,
                ("mock_server_wasted_work_total", ()): shed / 5,
                ("mock_server_pages_stored_total", ()): 7.0,
                ("mock_server_faults_injected_total", (("fault", "brownout"),)): 4.0,
                ("mock_server_loop_lag_seconds", ()): 0.01,
                (answered, (("http_response_status_code", "201"),)): 7.0,
                (answered, (("http_response_status_code", "503"),)): shed,
            },
        )
    run.scrape("server", 3.0, error="refused")
    found = server_of(run.finish(at_s=5.0))
    assert (found.shed, found.shed_by_reason, found.wasted_work) == (5, {"queue_full": 5}, 1)
    assert (found.answered, found.stored, found.faults_injected) == (12, 7, {"brownout": 4})
    assert (found.queue_depth_max, found.workers_busy_max, found.loop_lag_max_s) == (9.0, 2.0, 0.01)
    assert (found.scrapes, found.scrapes_failed) == (4, 1)


def test_a_server_without_our_series_has_none_of_our_figures(tmp_path):
    run = RunBuilder(tmp_path / "run")
    run.scrape("server", 0.0, {("nginx_requests", ()): 3.0})
    found = server_of(run.finish(at_s=5.0))
    assert (found.shed, found.wasted_work, found.answered, found.queue_depth_max) == (None, None, None, None)
    assert (found.scrapes, found.scrapes_failed) == (1, 0)
