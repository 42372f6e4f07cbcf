"""The whole way, for real: processes, sockets, a run folder, a verdict, an exit code."""

import json
import shutil
import signal
import socket

import duckdb
import pytest

from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode
from harness.judge.audit import load_audit
from harness.run_folder.layout import RunFolder
from tests.support.real_runs import (
    PATIENCE_S,
    REPORT,
    TINY,
    TRIES,
    assert_passed_or_late,
    family_of,
    harness,
    in_time,
    told,
    wait_for,
    was_late,
)

FILES = [
    "run.json", "plan.parquet", "attempts.parquet", "stored.parquet", "summary.json", "audit.json", "verdict.json", "junit.xml", "summary.md",
    "metrics.txt", "report/index.html", "report/throughput.svg", "report/throughput.png", "server/store.sqlite", "logs/server.log",
    "logs/generator.log", "scrapes/server.gz", "scrapes/worker-0.gz", "journal/worker-0000.journal",
]  # fmt: skip


def rows(query, path):
    return duckdb.execute(query.format(f"'{path}'")).fetchall()


def assert_accounted_for(folder):
    pages = load_summary(RunFolder(folder)).pages
    assert pages.planned == pages.delivered + pages.undelivered + pages.censored + pages.unattempted
    return pages


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished run of the tiny scenario: where it was started, its folder, exit code and output."""
    for _ in range(TRIES):
        place = tmp_path_factory.mktemp("finished")
        (place / "tiny.toml").write_text(TINY, "utf-8")
        code, output = harness("run", "tiny.toml", cwd=place, **REPORT)
        (folder,) = (place / "runs").iterdir()
        if code != ExitCode.INVALID or not was_late(folder):
            break
    return place, folder, code, output


def test_a_run_passes_says_so_and_leaves_every_file(finished):
    place, folder, code, output = finished
    assert code == ExitCode.PASSED, output
    assert "PASS" in output
    assert "stations.completed_by_deadline_ratio >= 100%" in output
    assert f"Report: {folder.relative_to(place)}/report/index.html" in output.splitlines()
    for name in FILES:
        assert (folder / name).stat().st_size > 0, name


def test_every_planned_page_is_stored_with_its_digest_and_its_reading(finished):
    _, folder, _, _ = finished
    query = "SELECT station, form, page, sha256, reading FROM {} ORDER BY ALL"
    planned = rows(query, folder / "plan.parquet")
    assert len(planned) == 36
    assert rows(query, folder / "stored.parquet") == planned


def test_a_clean_run_is_audited_safe_and_live_and_audit_says_so_again(finished):
    place, folder, _, _ = finished
    audit = load_audit(RunFolder(folder))
    assert audit is not None
    assert (audit.safety, audit.liveness, audit.counts.ok, audit.doubts) == (True, True, 36, [])
    code, output = told("audit", folder.name, cwd=place)
    assert code == ExitCode.PASSED
    assert output.startswith("Safe: every acknowledged page (36 pages) is stored once, as sent.")


def test_totals_from_scrapes_and_rows_agree(finished):
    _, folder, _, _ = finished
    summary = load_summary(RunFolder(folder))
    scraped = summary.generator.scraped
    assert scraped["attempts"] == summary.attempts.total
    assert scraped["delivered"] == summary.pages.delivered == summary.server.stored == 36
    assert scraped["due"] == summary.pages.planned
    assert scraped["sent_bytes"] == summary.attempts.sent_bytes


def test_phases_of_every_attempt_follow_one_another(finished):
    _, folder, _, _ = finished
    ordered = rows(
        "SELECT due_s <= sent_s AND sent_s <= connected_s AND connected_s <= body_sent_s AND body_sent_s <= first_byte_s"
        " AND first_byte_s <= done_s FROM {}",
        folder / "attempts.parquet",
    )
    assert ordered == [(True,)] * len(ordered)
    timed = rows(
        "SELECT count(*), count(queue_s), count(server_s), count(login_s) FROM {}", folder / "attempts.parquet"
    )
    assert timed == [(36, 36, 36, 12)]  # the server says its times; a station logs in once


def test_no_secret_reaches_the_run_folder(finished):
    _, folder, _, _ = finished
    stations = {row[0] for row in rows("SELECT DISTINCT station FROM {}", folder / "plan.parquet")}
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"MOCK_SERVER_ADMIN_TOKEN=" not in data
            assert b'"pin"' not in data, path
            assert b"Bearer " not in data, path
    assert len(stations) == 12


def test_two_workers_have_the_same_plan_and_the_same_totals(finished, start, tiny):
    _, folder, _, _ = finished
    run = start(tiny, "--workers", "2")
    code, output = run.end()
    assert_passed_or_late(code, run.folder, output)
    assert (run.folder / "plan.parquet").read_bytes() == (folder / "plan.parquet").read_bytes()
    assert {path.name for path in (run.folder / "journal").iterdir()} == {"worker-0000.journal", "worker-0001.journal"}
    assert assert_accounted_for(run.folder).delivered == 36
    shares = rows("SELECT worker, count(*) FROM {} GROUP BY worker ORDER BY worker", run.folder / "attempts.parquet")
    assert shares == [(0, 18), (1, 18)]
    summary = load_summary(RunFolder(run.folder))
    assert summary.generator.scraped["attempts"] == summary.attempts.total == 36


def test_a_breached_threshold_exits_99_and_says_by_how_much(tmp_path, tiny):
    slow = ["--set", "server.service_time=1s", "--set", "server.workers=1", "--set", "deadline=3s"]
    code, output, folder = in_time(tiny, *slow, cwd=tmp_path)
    assert code == ExitCode.FAILED, output
    assert "FAIL" in output
    assert "BREACHED" in output
    assert "percentage points below the limit" in output
    assert json.loads((folder / "verdict.json").read_text())["verdict"] == "fail"
    assert_accounted_for(folder)


def test_report_and_gate_need_the_folder_alone(finished, tmp_path):
    _, folder, _, _ = finished
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    shutil.rmtree(moved / "report")
    (moved / "summary.json").unlink()
    code, output = told("report", moved, cwd=tmp_path)
    assert code == 0, output
    assert (moved / "report" / "index.html").stat().st_size > 0
    assert load_summary(RunFolder(moved)) == load_summary(RunFolder(folder))
    strict = tmp_path / "strict.toml"
    strict.write_text('[[thresholds]]\nassert = "p50(delivery_seconds) < 1ms"\n', "utf-8")
    own = {
        name: (moved / name).read_bytes() for name in ("verdict.json", "summary.json", "junit.xml", "report/index.html")
    }
    code, output = told("gate", moved, "--thresholds", strict, cwd=tmp_path)
    assert code in {ExitCode.FAILED, ExitCode.INVALID}
    assert "p50(delivery_seconds) < 1ms" in output
    assert "own verdict and report are unchanged" in output
    assert own == {name: (moved / name).read_bytes() for name in own}
    lax = tmp_path / "lax.toml"
    lax.write_text('[[thresholds]]\nassert = "pages.delivered == 36"\n', "utf-8")
    assert told("gate", moved, "--thresholds", lax, cwd=tmp_path)[0] == ExitCode.PASSED


def test_gate_without_thresholds_judges_by_the_runs_own(finished, tmp_path):
    _, folder, code, _ = finished
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    assert told("gate", moved, cwd=tmp_path)[0] == code


def test_list_shows_the_run_with_its_verdict(finished):
    place, folder, _, _ = finished
    code, output = told("list", cwd=place, COLUMNS="160")
    assert code == 0
    assert folder.name in output
    assert "PASS" in output


@pytest.mark.slow  # four processes run these tests: each run that passes here has others at its side
def test_two_runs_side_by_side_do_not_disturb_each_other(start, tiny):
    first, second = start(tiny, out="first"), start(tiny, out="second")
    for run in (first, second):
        code, output = run.end()
        assert_passed_or_late(code, run.folder, output)
        assert assert_accounted_for(run.folder).delivered == 36
        assert load_summary(RunFolder(run.folder)).audit.unsafe == 0


@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [
        pytest.param(signal.SIGINT, ExitCode.INTERRUPTED, 1, marks=pytest.mark.slow),  # one that was inherited as ignored is its twin
        (signal.SIGHUP, ExitCode.HUNG_UP, 1),  # SIGTERM is a twin of SIGINT, and ends another run below
        (signal.SIGINT, ExitCode.INTERRUPTED, 2),
    ],
)  # fmt: skip
def test_a_signal_to_the_process_alone_stops_the_run_with_a_report(start, tiny, number, code, workers):
    run = start(
        tiny, "--set", "arrivals.over=6s", "--set", "server.service_time=300ms", "--workers", str(workers), "--report"
    ).uploading()
    run.process.send_signal(number)
    ended, output = run.end()
    assert ended == code, output
    assert family_of(run.folder) == []
    pages = assert_accounted_for(run.folder)
    assert pages.unattempted > 0
    assert pages.planned == 36
    assert "stopping" in output
    assert (run.folder / "report" / "index.html").stat().st_size > 0


def test_a_signal_is_heard_even_if_it_was_inherited_as_ignored(start, tiny):
    def ignore():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    run = start(tiny, "--set", "arrivals.over=6s", preexec_fn=ignore).uploading()
    run.process.send_signal(signal.SIGINT)
    assert run.end()[0] == ExitCode.INTERRUPTED


def test_a_signal_before_the_first_upload_ends_at_once(start, tiny):
    run = start(tiny)
    wait_for((run.folder / "plan.parquet").exists)
    run.process.send_signal(signal.SIGINT)
    code, output = run.end()
    assert code == ExitCode.INTERRUPTED, output
    assert family_of(run.folder) == []
    assert "Traceback" not in output


@pytest.mark.timed  # the signal has to arrive in the fraction of a second that the run is in that stage
@pytest.mark.parametrize(
    ("said", "number", "code"), [("Draining", signal.SIGINT, 130), ("Analysing", signal.SIGTERM, 143)]
)
def test_a_signal_after_the_last_upload_still_gives_its_exit_code_and_a_report(start, tiny, said, number, code):
    run = start(tiny, "--report")
    for line in run.process.stdout:
        if line.startswith(said):
            run.process.send_signal(number)
            break
    ended, output = run.end()
    assert ended == code, output
    assert family_of(run.folder) == []
    assert assert_accounted_for(run.folder).delivered == 36
    assert (run.folder / "report" / "index.html").stat().st_size > 0


def test_a_second_signal_ends_the_run_at_once_and_run_json_says_so(start, tiny):
    run = start(tiny, "--set", "arrivals.over=6s", "--set", "server.service_time=2s").uploading()
    run.process.send_signal(signal.SIGINT)
    run.process.send_signal(signal.SIGTERM)
    ended, output = run.end()
    assert ended in {ExitCode.INTERRUPTED, ExitCode.TERMINATED}, output
    assert "Traceback" not in output
    assert family_of(run.folder) == []


def test_stations_that_would_turn_up_after_the_deadline_are_not_waited_for(start, tiny):
    run = start(tiny, "--set", "arrivals.over=60s", "--set", "deadline=3s")
    code, output = run.end()
    assert code in {ExitCode.FAILED, ExitCode.INVALID}, output
    record = RunFolder(run.folder).read_run()
    assert record.ended is not None
    assert record.ended.how in {"completed", "deadline"}
    assert record.ended.at_s < 8
    assert assert_accounted_for(run.folder).unattempted == 33


def test_a_run_goes_on_to_its_verdict_when_the_reader_of_its_output_has_gone(start, tiny):
    run = start(tiny)
    run.process.stdout.readline()
    run.process.stdout.close()
    assert_passed_or_late(run.process.wait(PATIENCE_S), run.folder, "")


def test_an_upload_server_of_the_users_is_driven_without_the_mock(start, tiny, tmp_path):
    """It vanishes before the first attempt: every one is refused. The clearest failure, although nothing is known of its safety."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        run = start(tiny, "--target", f"http://127.0.0.1:{server.getsockname()[1]}", "--set", "deadline=3s")
        for line in run.process.stdout:
            if line.startswith("Starting the generator"):  # it was there when the harness looked
                break
    code, output = run.end()
    assert code == ExitCode.FAILED, output
    assert load_summary(RunFolder(run.folder)).attempts.by_outcome.keys() == {"refused"}
    assert "The target has never answered" in output
    audit = load_audit(RunFolder(run.folder))
    assert audit is not None
    doubts = " ".join(audit.doubts)
    assert "no way to read the server's store is configured" in doubts
    assert "nothing was acknowledged, so nothing is proved" in doubts
    assert not (run.folder / "server" / "store.sqlite").exists()


@pytest.mark.parametrize("url", ["http://198.51.100.1:80", "http://example.invalid", "ftp://127.0.0.1", "127.0.0.1:80", "http://127.example.invalid", "http://127.0.0.1:99999"])  # fmt: skip
def test_a_target_elsewhere_is_refused_before_anything_starts(tmp_path, tiny, url):
    code, output = told("run", tiny, "--target", url, cwd=tmp_path)
    assert code == ExitCode.USAGE
    assert "--target" in output
    assert not (tmp_path / "runs").exists()
