"""A simulated run's folder: analysed, judged and reported as any other, and marked as what it is."""

import hashlib
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.analysis.rows import load_rows
from harness.base.errors import ConfigurationError, UsageError
from harness.cli.app import app
from harness.judge.compare.compare import list_differences
from harness.judge.thresholds.abort_on_fail import AbortThreshold
from harness.judge.thresholds.evaluate import limits_s
from harness.judge.verdict import judge_run
from harness.run_folder.layout import RunFolder
from harness.run_folder.scrape_log import list_targets, read_scrapes
from harness.runner.comparison import refuse_unlike
from harness.runner.run_spec import RunSpec
from harness.runner.simulated_run import SimulatedRun, check_simulation, make_simulated_plan
from tests.support.simulations import one_station, scenario

pytestmark = pytest.mark.heavy


def simulated(path, abort=(), **tables):
    played = scenario(**tables)
    assertions = [threshold.assertion for threshold in played.thresholds]
    spec = RunSpec(
        scenario=played, plan=make_simulated_plan(played), folder=RunFolder(path), run_id=path.name,
        command=["harness", "simulate", "test"], limits_s=limits_s(assertions), abort_thresholds=abort, simulated=True,
    )  # fmt: skip
    SimulatedRun(spec).execute()
    return RunFolder(path)


def test_every_page_of_a_healthy_run_is_delivered_stored_and_safe_and_the_run_is_valid(tmp_path):
    folder = simulated(tmp_path / "run")
    judged = judge_run(
        folder, ["stations.completed_by_deadline_ratio >= 100%", "last(mock_server_pages_stored_total) == 6"]
    )
    assert (judged.verdict.verdict, judged.verdict.exit_code) == ("pass", 0)
    assert judged.verdict.validity.reasons == []
    assert (judged.audit.safety, judged.audit.liveness) == (True, True)
    assert judged.summary.audit.ok == 6
    assert json.loads(folder.verdict.read_text())["simulated"] is True
    assert json.loads(folder.run_json.read_text())["simulated"] is True


def test_both_sides_are_scraped_and_count_what_the_rows_say(tmp_path):
    folder = simulated(tmp_path / "run")
    assert list_targets(folder.scrapes) == ["server", "worker-0"]
    summary = judge_run(folder, []).summary
    assert summary.server.stored == 6
    assert summary.generator.scraped["delivered"] == 6
    assert summary.generator.scraped["stations_completed"] == 2
    worker = next(read_scrapes(folder.scrapes, "worker-0")).text
    assert "process_cpu_seconds" not in worker, "there is no process"
    assert "harness_loop_lag_seconds" not in worker


def test_a_lie_of_the_server_is_found_by_the_audit(tmp_path):
    folder = simulated(tmp_path / "run", faults=[{"kind": "false_ack", "count": 1}])
    judged = judge_run(folder, [])
    assert (judged.audit.safety, judged.summary.audit.lost, judged.verdict.exit_code) == (False, 1, 99)
    (line,) = folder.injections.read_text().splitlines()
    assert json.loads(line)["fault"] == "false_ack"


def test_pages_that_are_given_up_are_counted_with_their_reason(tmp_path):
    tables = one_station(client={"timeout": "1s", "retry": {"strategy": "none"}}, server={"service_time": "60s"})
    summary = judge_run(simulated(tmp_path / "run", **tables), []).summary
    assert summary.pages.gave_up_by_reason == {"attempts_used_up": 3}


def test_a_server_that_stays_down_is_a_failure_and_its_store_is_unknown(tmp_path):
    tables = one_station(
        deadline="5s", client={"timeout": "1s"}, faults=[{"kind": "crash", "start": "50ms", "restart_after": None}]
    )
    folder = simulated(tmp_path / "run", **tables)
    record = folder.read_run()
    assert record.stock is not None
    assert record.stock.reason == "its store could not be read: the server had crashed"
    scrapes = list(read_scrapes(folder.scrapes, "server"))
    assert scrapes[0].text
    assert not scrapes[-1].text
    assert "crashed" in scrapes[-1].error


def test_a_threshold_that_can_no_longer_hold_aborts_the_run(tmp_path):
    tables: dict[str, Any] = {"client": {"timeout": "1s"}, "server": {"service_time": "60s"}}
    folder = simulated(tmp_path / "run", abort=[AbortThreshold("attempts.total < 3")], **tables)
    ended = folder.read_run().ended
    assert ended is not None
    assert (ended.how, ended.at_s < 10) == ("aborted", True)
    assert "attempts.total" in ended.message


def test_the_same_seed_writes_the_same_bytes_of_attempts_parquet(tmp_path):
    tables: dict[str, Any] = {
        "stations": {"region": "kaliwates", "count": 20},
        "faults": [{"kind": "abort", "probability": 0.4}],
    }
    first, again = (simulated(tmp_path / name, **tables) for name in ("first", "again"))
    load_rows(first)
    load_rows(again)
    assert first.attempts.read_bytes() == again.attempts.read_bytes()
    assert first.stored.read_bytes() == again.stored.read_bytes()
    # The rows themselves, on every machine and Python; the file's bytes depend on DuckDB's version. Only a change of the
    # simulation or of what it plays may change this.
    journal = b"".join(path.read_bytes() for path in sorted(first.journal.glob("*.journal")))
    assert hashlib.sha256(journal).hexdigest()[:16] == "ac86e840699b1880"


def test_a_simulated_run_is_not_compared_with_a_measured_one(tmp_path):
    record = simulated(tmp_path / "run").read_run()
    with pytest.raises(UsageError, match="simulated: true against false"):
        refuse_unlike([record], [record.model_copy(update={"simulated": False})])
    measured = record.model_copy(update={"simulated": False, "versions": {}})
    assert list_differences([record], [measured])[0] == "simulated: true against false", "what explains the others"
    refuse_unlike([record], [record.model_copy(update={"host": {"cpu": "another"}})])


def test_a_threshold_on_processes_is_refused_by_name():
    played = scenario(thresholds=[{"assert": "max(mock_server_loop_lag_seconds) < 1s"}])
    with pytest.raises(ConfigurationError, match="no processes to measure"):
        check_simulation("mine.toml", played)


def test_the_command_says_simulated_everywhere_and_exits_as_a_run_does(tmp_path):
    folder = RunFolder(tmp_path / "run")
    done = CliRunner().invoke(app, ["simulate", "smoke", "--out", str(folder.path)], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    assert "PASS  SIMULATED" in done.stdout
    assert "SIMULATED" in folder.page.read_text("utf-8")
    assert "(SIMULATED)" in folder.junit.read_text("utf-8")
    assert folder.markdown.read_text("utf-8").startswith("## ✅ PASS (SIMULATED): smoke")
    assert not (folder.report / "generator.svg").exists(), "there was no generator"


def test_without_a_report_the_run_is_judged_and_the_report_can_be_written_later(tmp_path):
    folder = RunFolder(tmp_path / "run")
    done = CliRunner().invoke(app, ["simulate", "smoke", "--no-report", "--out", str(folder.path)])
    assert done.exit_code == 0, done.output
    assert "PASS  SIMULATED" in done.stdout
    assert f"No report was written; to write it: harness report {folder.path}" in done.stdout
    assert not any(folder.report.glob("*"))
    assert json.loads(folder.verdict.read_text())["verdict"] == "pass"
    assert "(SIMULATED)" in folder.junit.read_text("utf-8")
    assert folder.markdown.read_text("utf-8").startswith("## ✅ PASS (SIMULATED): smoke")
    assert "stations_planned 20" in folder.metrics.read_text("utf-8")
    CliRunner().invoke(app, ["report", str(folder.path)])
    assert "SIMULATED" in folder.page.read_text("utf-8")
    assert (folder.report / "throughput.png").exists()


@pytest.mark.parametrize("other", ["--seeds=2", "--against=runs/a"])
def test_the_pages_of_several_runs_can_not_be_left_out(tmp_path, other):
    done = CliRunner().invoke(app, ["simulate", "smoke", "--no-report", other, "--out", str(tmp_path / "run")])
    assert isinstance(done.exception, UsageError)
    assert other.partition("=")[0] in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_simulated_ends_with_exit_code_2_before_anything_is_written(tmp_path):
    out = tmp_path / "run"
    done = CliRunner().invoke(app, ["simulate", "smoke", "--set", "server.tls=true", "--out", str(out)])
    assert isinstance(done.exception, ConfigurationError)
    assert done.exception.exit_code == 2
    assert not out.exists()
