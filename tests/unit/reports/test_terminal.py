"""What the commands print, at 80 columns and on a pipe."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.judge.past_runs import PastRun
from reports.terminal import display_path, make_console, print_report_path, print_runs, print_table, print_verdict
from tests.support import made_up_run
from tests.support.run_builder import RunBuilder
from tests.support.screen import Screen, lines, screen

REPORT = Path("runs/20240214T120000Z-kaliwates-1a2b/report/index.html")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR", "COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_the_verdict_names_every_threshold_with_observed_limit_and_breach() -> None:
    stream = io.StringIO()
    print_verdict(made_up_run.verdict("fail"), made_up_run.summary(), make_console(stream))
    rows = [re.sub(r" {2,}", "  ", line.strip()) for line in lines(stream)]
    assert rows[0] == "FAIL  2 of 3 thresholds were breached."
    assert "held  p95(delivery_seconds) < 10  1.8 s  10 s  82 % to spare" in rows
    assert "BREACHED  stations.completed_by_deadline_ratio >= 95%  93 %  95 %  2.5 points below the limit" in rows


@pytest.mark.parametrize("command", ["run", "report"])
def test_every_command_says_in_one_way_where_the_report_is(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = {"run": REPORT.absolute(), "report": REPORT}[command]
    stream = io.StringIO()
    print_report_path(told, make_console(stream))
    assert f"Report: {REPORT}" in lines(stream)


def test_a_report_elsewhere_is_told_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert display_path(Path("../there/index.html")) == str(tmp_path / "there" / "index.html")
    assert display_path(tmp_path / "here" / "runs") == "runs"


def test_an_invalid_verdict_gives_its_reasons_and_judges_no_threshold() -> None:
    stream = io.StringIO()
    verdict = made_up_run.verdict("invalid", ("a worker was lost [bold]",))
    print_verdict(verdict, made_up_run.summary(), make_console(stream))
    text = stream.getvalue()
    assert text.startswith("INVALID  The measurement cannot be trusted, so it is neither a pass nor a fail.\n")
    assert "- a worker was lost [bold]" in text
    assert text.count("not judged") == 3
    assert "PASS" not in text
    assert "BREACHED" not in text


def test_a_run_that_was_not_judged_says_so() -> None:
    stream = io.StringIO()
    print_verdict(None, made_up_run.summary(), make_console(stream))
    assert stream.getvalue().startswith("NOT JUDGED  The run stopped before it was judged.\n")


@pytest.mark.parametrize("word", ["pass", "fail", "invalid"])
def test_the_verdict_fits_eighty_columns(word: str) -> None:
    stream, out = screen()
    print_verdict(made_up_run.verdict(word, ("a reason that is long " * 8,)), made_up_run.summary(), out)
    assert max(len(line) for line in lines(stream)) <= 80
    joined = re.sub(r"\s", "", stream.getvalue())
    assert "p95(delivery_seconds)" in joined


def test_the_reports_path_is_never_broken_over_lines() -> None:
    stream, out = screen(40)
    print_report_path(REPORT, out)
    assert f"Report: {REPORT}" in lines(stream)


@pytest.mark.parametrize(
    ("terminal", "no_colour", "coloured"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_colours_need_a_terminal_and_no_no_color(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, no_colour: bool, coloured: bool
) -> None:
    if no_colour:
        monkeypatch.setenv("NO_COLOR", "1")
    stream = Screen() if terminal else io.StringIO()
    print_verdict(made_up_run.verdict("fail"), made_up_run.summary(), make_console(stream))
    assert bool(re.search(r"\x1b\[(1;)?3[0-9]", stream.getvalue())) is coloured


def test_an_ascii_pipe_loses_signs_but_not_the_verdict() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii")
    summary = made_up_run.summary(response_seconds=made_up_run.spread(400, 0.00007, by_outcome={}))
    print_verdict(made_up_run.verdict("pass"), summary, make_console(stream))
    stream.flush()
    assert raw.getvalue().startswith(b"PASS  Nothing is lost; the threshold holds.")
    assert b"p50 70 ?s" in raw.getvalue()


def past_run(tmp_path: Path, verdict: str = "pass", **record: Any) -> PastRun:
    folder = RunBuilder(tmp_path / record.get("id", "a-run"), **record).finish(at_s=1.0)
    figures = {
        "delivery_seconds.p95": 2.5, "rates.goodput_per_s": 30.0, "attempts.amplification": None,
        "stations.completed_by_deadline_ratio": 0.5,
    }  # fmt: skip
    return PastRun(folder, folder.read_run(), verdict, 1_707_912_000.0, figures)


def test_runs_are_listed_with_their_verdicts_newest_first(tmp_path: Path) -> None:
    stream = io.StringIO()
    runs = [past_run(tmp_path, "", id="b-run"), past_run(tmp_path, labels={"version": "1.2"})]
    print_runs(runs, Console(file=stream, width=200))
    text = [re.sub(r" {2,}", "  ", line.strip()) for line in lines(stream)]
    assert text[1:] == [
        "PASS  a-run  made  2024-02-14 12:00:00  50 %  2.5 s  30/s  version=1.2",
        "NOT JUDGED  b-run  made  2024-02-14 12:00:00  50 %  2.5 s  30/s",
    ]


def test_no_runs_say_how_to_make_one() -> None:
    stream = io.StringIO()
    print_runs([], make_console(stream))
    assert stream.getvalue() == "No runs yet. Start one with `harness run kaliwates`.\n"


def test_a_filter_that_nothing_matches_does_not_say_that_there_are_none() -> None:
    stream = io.StringIO()
    print_runs([], make_console(stream), is_filtered=True)
    assert stream.getvalue() == "No runs match.\n"


def test_a_table_shows_cells_as_they_are() -> None:
    stream = io.StringIO()
    print_table(["scenario", "title"], [("smoke", "[bold]20 stations[/bold]")], make_console(stream))
    assert "[bold]20 stations[/bold]" in stream.getvalue()


def test_a_strangers_run_cannot_steer_the_terminal_from_the_list(tmp_path: Path) -> None:
    file = io.StringIO()
    out = Console(file=file, width=120, force_terminal=False)
    print_runs([past_run(tmp_path, "\x1b[31mpass", name="a\x1b]0;owned", labels={"a": "\x07"})], out)
    said = file.getvalue()
    assert "\x1b" not in said
    assert r"a\x1b]0;owned" in said
