"""A run opened from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.base.errors import RunFolderError, UsageError
from tests.support.small_run import QUEUE, small_run


@pytest.fixture
def run(tmp_path: Path) -> harness.FinishedRun:
    return harness.open_run(small_run(tmp_path / "run").path)


def test_a_run_that_was_never_judged_is_judged_when_it_is_opened(tmp_path: Path) -> None:
    folder = small_run(tmp_path / "run")
    assert not folder.verdict.exists()
    run = harness.open_run(folder.path)
    assert folder.verdict.exists()
    assert run.verdict.verdict == "fail"  # a page is lost
    assert run.audit is not None
    assert run.audit.counts.lost == 1
    assert run.summary.pages.delivered == 3
    assert run.record.name == "made"


def test_a_run_is_found_by_its_name_below_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_run(tmp_path / "runs" / "earlier")
    monkeypatch.chdir(tmp_path)
    assert harness.open_run("earlier").path == Path("runs/earlier")
    with pytest.raises(RunFolderError, match="not a run folder"):
        harness.open_run("another")


def test_a_link_in_the_folder_is_refused(tmp_path: Path) -> None:
    folder = small_run(tmp_path / "run")
    folder.summary.symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match="symbolic link"):
        harness.open_run(folder.path)


def test_tables_are_relations(run: harness.FinishedRun) -> None:
    assert [len(table) for table in (run.attempts, run.pages, run.stations, run.plan, run.stored)] == [6, 4, 2, 4, 2]
    assert run.sql("SELECT sum(attempts) FROM pages").fetchall() == [(5,)]


def test_a_series_is_a_scraped_metric_over_time(run: harness.FinishedRun) -> None:
    assert run.series(QUEUE).fetchall() == [
        ("server", 0.0, "", 0.0),
        ("server", 1.0, "", 3.0),
        ("server", 2.0, "", 1.0),
    ]
    assert run.series(QUEUE, target="server").aggregate("max(value)").fetchall() == [(3.0,)]
    assert run.metrics() == [QUEUE, "process_cpu_seconds_total"]


def test_an_unknown_series_is_named_with_what_is_near(run: harness.FinishedRun) -> None:
    with pytest.raises(UsageError, match=f'"mock_server_queue_dept" .* did you mean "{QUEUE}".*server, worker-0'):
        run.series("mock_server_queue_dept")
    with pytest.raises(UsageError, match="the scrapes of worker-0"):
        run.series(QUEUE, target="worker-0")


def test_a_notebook_shows_verdict_thresholds_and_key_figures(run: harness.FinishedRun) -> None:
    html = run._repr_html_()
    assert "FAIL" in html
    assert "the server is not safe" in html.lower() or "not safe" in html
    assert "Pages delivered" in html or "pages" in html.lower()
    assert "<script" not in html


def test_what_a_run_is_called_cannot_bring_html_of_its_own(tmp_path: Path) -> None:
    folder = small_run(tmp_path / "run")
    record = folder.read_run()
    folder.write_run(record.model_copy(update={"name": "<img src=x onerror=alert(1)>"}))
    html = harness.open_run(folder.path)._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html


def test_the_representation_names_scenario_verdict_and_folder(run: harness.FinishedRun) -> None:
    assert repr(run).startswith("<FinishedRun made: FAIL, ")


def test_importing_the_package_imports_none_of_the_heavy_ones() -> None:
    code = "import sys, harness; print(sorted({'numpy', 'duckdb', 'pydantic', 'matplotlib'} & set(sys.modules)), dir(harness))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ")
    assert all(name in done.stdout for name in harness.__all__)  # type: ignore[attr-defined] # stubs have none


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'opn_run'"):
        harness.opn_run  # type: ignore[attr-defined] # noqa: B018
