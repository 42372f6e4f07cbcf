"""What the terminal shows, at 80 columns and on a pipe."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from reports.live_view import render_line, render_panel
from reports.places import display_path
from reports.terminal import LiveView, Snapshot, make_console, print_runs, print_table, print_verdict
from tests.support import made_up_run

NOW = Snapshot(
    t_s=25.3,
    deadline_s=72.0,
    phase="brownout",
    stations_planned=362,
    stations_completed=126,
    pages_planned=1086,
    pages_delivered=354,
    pages_due=379,
    offered_per_s=15.08,
    goodput_per_s=4.2,
    throughput_per_s=17.2,
    failures={"unavailable": 75, "timeout_response": 25, "reset": 0},
    p50_s=0.41,
    p95_s=6.25,
    queue_depth=64.0,
    workers_busy=8.0,
    in_flight=72,
)
REPORT = Path("runs/20240214T120000Z-kaliwates-1a2b/report/index.html")


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR", "COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def screen(width: int = 80) -> tuple[Screen, Console]:
    stream = Screen()
    return stream, Console(file=stream, width=width, highlight=False, markup=False, force_terminal=True)


def lines(stream: io.StringIO) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue()).splitlines()


def shown(now: Snapshot, title: str = "kaliwates") -> list[str]:
    stream, out = screen()
    out.print(render_panel(now, title))
    return lines(stream)


def test_the_panel_fits_eighty_columns_and_ten_lines() -> None:
    rows = shown(NOW)
    assert {len(row) for row in rows} == {80}
    assert len(rows) <= 10


def test_the_panel_shows_progress_rates_waits_queue_phase_and_failures() -> None:
    text = "\n".join(shown(NOW))
    for wanted in (
        "126 of 362",
        "354 of 1,086, 379 due",
        "offered 15.1/s",
        "goodput 4.2/s",
        "answers 17.2/s",
        "p50 410 ms",
        "p95 6.2 s",
        "queue 64",
        "workers busy 8",
        "in flight 72",
        "phase brownout",
        "failures 100: unavailable (503) 75, timed out waiting 25",
        "25 s of 72 s",
    ):
        assert wanted in text


def test_what_is_not_known_is_na_and_no_zero() -> None:
    rows = shown(replace(NOW, p50_s=None, p95_s=None, queue_depth=None, workers_busy=None, in_flight=None, failures={}))
    text = "\n".join(rows)
    assert "p50 n/a   p95 n/a" in text
    assert "queue n/a   workers busy n/a   in flight n/a" in text
    assert "failures none" in text


def test_ten_kinds_of_failure_still_fit() -> None:
    many = dict.fromkeys(("unavailable", "timeout_response", "timeout_send", "reset", "refused", "closed"), 1_000_000)
    assert {len(row) for row in shown(replace(NOW, failures=many))} == {80}


def test_a_title_like_markup_stays_text() -> None:
    assert "[red]x[/red]" in shown(NOW, "[red]x[/red]")[0]


def test_on_a_terminal_the_panel_is_redrawn_in_place() -> None:
    stream, out = screen()
    with LiveView("kaliwates", out) as view:
        for second in range(20):
            view.show(replace(NOW, t_s=float(second)))
    assert "\x1b[1A" in stream.getvalue()
    assert stream.getvalue().count("─ kaliwates ─") >= 20
    assert "19 s of 72 s" in "".join(lines(stream)[-9:])


def test_on_a_pipe_there_is_a_line_every_five_seconds_and_a_last_one() -> None:
    stream = io.StringIO()
    with LiveView("kaliwates", make_console(stream)) as view:
        for tenth in range(123):
            view.show(replace(NOW, t_s=tenth / 10))
    assert [line.split(" |")[0] for line in lines(stream)] == [
        "0 s of 72 s",
        "5 s of 72 s",
        "10 s of 72 s",
        "12 s of 72 s",
    ]


def test_a_line_says_what_the_panel_says() -> None:
    assert render_line(NOW) == (
        "25 s of 72 s | brownout | stations 126/362 | pages 354/1,086 | offered 15.1/s | goodput 4.2/s | p50 410 ms"
        " | p95 6.2 s | queue 64 | failures 100: unavailable (503) 75, timed out waiting 25"
    )


def test_a_line_on_a_pipe_is_not_broken_and_has_no_escape_codes() -> None:
    stream = io.StringIO()
    with LiveView("kaliwates", make_console(stream)) as view:
        view.show(NOW)
    assert stream.getvalue() == render_line(NOW) + "\n"


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_in_ci_and_on_a_dumb_terminal_lines_are_written(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    stream = Screen()
    with LiveView("kaliwates", make_console(stream)) as view:
        view.show(NOW)
    assert stream.getvalue().strip() == render_line(NOW)


def test_a_view_that_showed_nothing_says_nothing() -> None:
    stream = io.StringIO()
    with LiveView("kaliwates", make_console(stream)):
        pass
    assert stream.getvalue() == ""


def test_the_verdict_names_every_threshold_with_observed_limit_and_breach() -> None:
    stream = io.StringIO()
    print_verdict(made_up_run.verdict("fail"), made_up_run.summary(), REPORT, make_console(stream))
    rows = [re.sub(r" {2,}", "  ", line.strip()) for line in lines(stream)]
    assert rows[0] == "FAIL  2 thresholds of 3 breached."
    assert "held  p95(delivery_seconds) < 10  1.8 s  10 s  82 % to spare" in rows
    assert "BREACHED  stations.completed_by_deadline_ratio >= 95%  93 %  95 %  2.5 points below the limit" in rows
    assert rows[-1] == f"Report: {REPORT}"


@pytest.mark.parametrize("command", ["run", "report"])
def test_every_command_says_in_one_way_where_the_report_is(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = {"run": REPORT.absolute(), "report": REPORT}[command]
    stream = io.StringIO()
    print_verdict(made_up_run.verdict("pass"), made_up_run.summary(), told, make_console(stream))
    assert f"Report: {REPORT}" in lines(stream)


def test_a_report_elsewhere_is_told_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert display_path(Path("../there/index.html")) == str(tmp_path / "there" / "index.html")
    assert display_path(tmp_path / "here" / "runs") == "runs"


def test_an_invalid_verdict_gives_its_reasons_and_judges_no_threshold() -> None:
    stream = io.StringIO()
    verdict = made_up_run.verdict("invalid", ("a worker was lost [bold]",))
    print_verdict(verdict, made_up_run.summary(), REPORT, make_console(stream))
    text = stream.getvalue()
    assert text.startswith("INVALID  The measurement can't be trusted, so it is neither a pass nor a fail.\n")
    assert "- a worker was lost [bold]" in text
    assert text.count("not judged") == 3
    assert "PASS" not in text
    assert "BREACHED" not in text


def test_a_run_that_was_not_judged_says_so() -> None:
    stream = io.StringIO()
    print_verdict(None, made_up_run.summary(), REPORT, make_console(stream))
    assert stream.getvalue().startswith("NOT JUDGED  The run was broken off before it was judged.\n")


@pytest.mark.parametrize("word", ["pass", "fail", "invalid"])
def test_the_verdict_fits_eighty_columns(word: str) -> None:
    stream, out = screen()
    print_verdict(made_up_run.verdict(word, ("a reason that is long " * 8,)), made_up_run.summary(), REPORT, out)
    assert max(len(line) for line in lines(stream)) <= 80
    joined = re.sub(r"\s", "", stream.getvalue())
    assert "p95(delivery_seconds)" in joined


def test_the_reports_path_is_never_broken_over_lines() -> None:
    stream, out = screen(40)
    print_verdict(made_up_run.verdict("pass"), made_up_run.summary(), REPORT, out)
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
    print_verdict(made_up_run.verdict("fail"), made_up_run.summary(), REPORT, make_console(stream))
    assert bool(re.search(r"\x1b\[(1;)?3[0-9]", stream.getvalue())) is coloured


def test_an_ascii_pipe_loses_signs_but_not_the_verdict() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii")
    summary = made_up_run.summary(response_seconds=made_up_run.spread(400, 0.00007, by_outcome={}))
    print_verdict(made_up_run.verdict("pass"), summary, REPORT, make_console(stream))
    stream.flush()
    assert raw.getvalue().startswith(b"PASS  Nothing is lost; the threshold holds.")
    assert b"p50 70 ?s" in raw.getvalue()


def test_runs_are_listed_with_their_verdicts() -> None:
    stream = io.StringIO()
    rows = [("pass", "a-run", "kaliwates", "2024-02-14 12:00", "335 of 362"), ("", "b-run", "smoke", "", "")]
    print_runs(rows, make_console(stream))
    text = [re.sub(r" {2,}", "  ", line.strip()) for line in lines(stream)]
    assert text[1:] == ["PASS  a-run  kaliwates  2024-02-14 12:00  335 of 362", "NOT JUDGED  b-run  smoke"]


def test_no_runs_say_how_to_make_one() -> None:
    stream = io.StringIO()
    print_runs([], make_console(stream))
    assert stream.getvalue() == "No runs yet: `harness run kaliwates` makes one.\n"


def test_a_table_shows_cells_as_they_are() -> None:
    stream = io.StringIO()
    print_table(["scenario", "title"], [("smoke", "[bold]20 stations[/bold]")], make_console(stream))
    assert "[bold]20 stations[/bold]" in stream.getvalue()


def test_a_strangers_run_cannot_steer_the_terminal_from_the_list():
    file = io.StringIO()
    out = Console(file=file, width=120, force_terminal=False)
    print_runs([["\x1b[31mpass", "run\x07", "a\x1b]0;owned", "2026", "100%"]], out)
    said = file.getvalue()
    assert "\x1b" not in said
    assert r"a\x1b]0;owned" in said
