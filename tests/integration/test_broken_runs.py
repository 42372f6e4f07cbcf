"""Whatever dies: no process is left behind, the exit code is never 0, and the folder still gives a report."""

import os
import re
import resource
import signal

import pytest

from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode
from harness.judge.audit import load_audit
from harness.run_folder.layout import RunFolder
from tests.support.real_runs import assert_passed_or_late, family_of, harness, told, wait_for

LONG = ["--set", "arrivals.over=6s", "--set", "server.service_time=200ms"]


def process_named(folder, *words):
    """The process of the run whose command line has all these words."""
    for pid in family_of(folder):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read().split(b"\0")
        if all(word.encode() in line for word in words):
            return pid
    return None


def assert_accounted_for(folder):
    pages = load_summary(RunFolder(folder)).pages
    assert pages.planned == 36 == pages.delivered + pages.undelivered + pages.censored + pages.unattempted


def test_a_server_that_dies_ends_the_run_with_its_logs_tail(start, tiny):
    run = start(tiny, *LONG, "--report").uploading()
    os.kill(process_named(run.folder, "mock_server"), signal.SIGKILL)
    code, output = run.end()
    assert code == ExitCode.INVALID, output
    assert "server was killed by SIGKILL after" in output
    audit = load_audit(RunFolder(run.folder))
    assert audit is not None
    assert audit.safety == "unknown"
    assert family_of(run.folder) == []
    assert_accounted_for(run.folder)
    assert (run.folder / "report" / "index.html").exists()


def test_a_lost_worker_makes_the_run_invalid_and_names_its_stations(start, tiny):
    run = start(tiny, *LONG, "--workers", "2").uploading()
    os.kill(process_named(run.folder, "--worker"), signal.SIGKILL)
    code, output = run.end()
    assert code == ExitCode.INVALID, output
    assert "INVALID" in output
    assert "it was responsible for 6 stations" in output
    assert family_of(run.folder) == []
    assert_accounted_for(run.folder)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_stands_still_makes_the_run_invalid_at_once(start, tiny, workers):
    long = ["--set", "deadline=60s", "--set", "arrivals.over=50s"]
    run = start(tiny, *long, "--workers", str(workers)).uploading()
    os.kill(process_named(run.folder, *(["--worker"] if workers == 2 else ["--headless"])), signal.SIGSTOP)
    code, output = run.end()
    assert code == ExitCode.INVALID, output
    told = " ".join(output.split())
    assert re.search(
        rf"worker \d was lost after [\d.]+ s: no answer to scrapes for .*; it was responsible for {12 // workers} st",
        told,
    )
    record = RunFolder(run.folder).read_run()
    assert record.ended is not None
    assert record.ended.at_s < 30  # it had 50 s to go; it is reported some seconds after
    assert [worker.lost for worker in record.workers].count(True) == 1
    assert family_of(run.folder) == []
    assert_accounted_for(run.folder)


@pytest.mark.slow
def test_one_worker_that_cannot_write_its_journal_ends_the_run_at_once_and_is_named(start, tiny):
    run = start(tiny, "--set", "deadline=60s", "--set", "arrivals.over=50s", "--workers", "2").uploading()
    victim = process_named(run.folder, "--worker")
    resource.prlimit(victim, resource.RLIMIT_FSIZE, (0, 0))
    code, output = run.end()
    told = " ".join(output.split())
    assert code == ExitCode.INVALID, output
    assert re.search(
        r"worker \d stopped because it could not write its journal: File too large; it was responsible for 6 stations",
        told,
    )
    ended = RunFolder(run.folder).read_run().ended
    assert ended is not None
    assert ended.how == "starved"
    assert ended.at_s < 30  # the other worker had 50 s to go
    assert family_of(run.folder) == []
    assert_accounted_for(run.folder)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_lost_generator_ends_the_run(start, tiny, workers):
    run = start(tiny, *LONG, "--workers", str(workers)).uploading()
    os.kill(process_named(run.folder, "--headless", *(["--master"] if workers == 2 else [])), signal.SIGKILL)
    code, output = run.end()
    assert code == ExitCode.INVALID, output
    assert "generator was killed by SIGKILL after" in output
    assert family_of(run.folder) == []
    assert_accounted_for(run.folder)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_if_the_harness_itself_is_killed_its_children_find_out_and_the_folder_still_gives_a_report(
    start, tiny, tmp_path, workers
):
    run = start(tiny, *LONG, "--workers", str(workers)).uploading()
    run.process.kill()
    run.end()
    wait_for(lambda: not family_of(run.folder), timeout_s=30)
    code, output = told("report", run.folder, cwd=tmp_path)
    assert code == 0, output
    assert_accounted_for(run.folder)
    assert (run.folder / "report" / "index.html").exists()
    assert told("gate", run.folder, cwd=tmp_path)[0] != 0


def test_workers_that_were_still_starting_find_out_too(start, tiny):
    run = start(tiny, "--workers", "2")
    wait_for(lambda: process_named(run.folder, "--worker"))
    run.process.kill()
    run.end()
    wait_for(lambda: not family_of(run.folder), timeout_s=30)


def test_what_lies_in_the_current_folder_or_at_home_does_not_steer_a_run(tiny, tmp_path):
    (tmp_path / "mock_server").mkdir()
    (tmp_path / "mock_server" / "__init__.py").write_text("raise RuntimeError('planted')\n", "utf-8")
    (tmp_path / "locust.py").write_text("raise RuntimeError('planted')\n", "utf-8")
    (tmp_path / "locust.conf").write_text("users = many\n", "utf-8")
    (tmp_path / ".locust.conf").write_text("run-time = 1s\n", "utf-8")
    code, output = harness("run", tiny, "--out", "run", cwd=tmp_path, HOME=str(tmp_path))
    assert_passed_or_late(code, tmp_path / "run", output)
    assert load_summary(RunFolder(tmp_path / "run")).pages.delivered == 36, output


def test_a_server_that_does_not_come_up_is_told_with_the_end_of_its_log(tiny, tmp_path):
    code, output = harness("run", tiny, "--out", "run", cwd=tmp_path, PYTHONPATH=str(_broken_package(tmp_path)))
    assert code == ExitCode.BUG, output
    assert "server ended with exit code 1" in output
    assert "planted" in output
    assert family_of(tmp_path / "run") == []


def test_an_error_of_ours_in_one_stations_evening_makes_the_run_invalid_and_is_counted(tiny, tmp_path):
    seam = tmp_path / "seam"
    seam.mkdir()
    (seam / "sitecustomize.py").write_text(_BROKEN_EVENING, "utf-8")
    paths = os.pathsep.join(filter(None, [str(seam), os.environ.get("PYTHONPATH", "")]))
    code, output = harness("run", tiny, "--out", "run", cwd=tmp_path, PYTHONPATH=paths)
    assert code == ExitCode.INVALID, output
    assert "internal error: worker 0 abandoned 1 stations: see logs/ of worker 0" in output
    record = RunFolder(tmp_path / "run").read_run()
    assert [worker.evenings_broken for worker in record.workers] == [1]
    assert "planted" in (tmp_path / "run" / "logs" / "generator.log").read_text("utf-8")
    pages = load_summary(RunFolder(tmp_path / "run")).pages
    assert (pages.delivered, pages.unattempted) == (33, 3)


_BROKEN_EVENING = """
from harness.run_folder.journal import JournalWriter
_begin = JournalWriter.begin
def _breaking(self, page, *arguments, **times):
    if page // 3 == 4:
        raise RuntimeError("planted")
    _begin(self, page, *arguments, **times)
JournalWriter.begin = _breaking
"""


def _broken_package(tmp_path):
    """A folder whose aiohttp can't be imported: the server needs it, the harness doesn't."""
    (tmp_path / "broken" / "aiohttp").mkdir(parents=True)
    (tmp_path / "broken" / "aiohttp" / "__init__.py").write_text("raise RuntimeError('planted')\n", "utf-8")
    return tmp_path / "broken"
