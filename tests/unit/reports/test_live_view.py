"""The live view of a run: a panel on a terminal, lines on a pipe."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from reports.live_view import BucketPercentile, LiveView, Snapshot, render_line, render_panel
from reports.terminal import make_console
from tests.support.screen import Screen, lines, screen

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
    accepted_p50=BucketPercentile(0.4, 0.5, 0.41),
    accepted_p95=BucketPercentile(6.0, 7.5, 6.25),
    queue_depth=64.0,
    workers_busy=8.0,
    in_flight=72,
)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR", "COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


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
        "backlog 25   accepted p50 ≈ 410 ms, p95 ≈ 6.2 s",
        "queue 64",
        "workers busy 8",
        "in flight 72",
        "phase brownout",
        "failures 100: unavailable 75, timed out waiting 25",
        "25 s of 72 s",
    ):
        assert wanted in text


@pytest.mark.parametrize(
    ("offered", "goodput", "delivered", "colour"),
    [
        (10.0, 9.0, 340, "32"),
        (10.0, 7.0, 340, "31"),
        (0.0, 0.0, 379, "32"),
        (0.0, 0.0, 354, "31"),
        (0.0, 3.0, 354, "32"),
    ],
)
def test_goodput_is_red_while_it_is_short_of_what_falls_due_or_nothing_is_delivered_of_what_waits(
    offered: float, goodput: float, delivered: int, colour: str
) -> None:
    stream, out = screen()
    out.print(render_panel(replace(NOW, offered_per_s=offered, goodput_per_s=goodput, pages_delivered=delivered), "x"))
    assert f"\x1b[1;{colour}m{goodput:g}/s" in stream.getvalue()


def test_what_is_not_known_is_na_and_no_zero() -> None:
    unknown: dict[str, Any] = dict.fromkeys(
        ("accepted_p50", "accepted_p95", "queue_depth", "workers_busy", "in_flight")
    )
    rows = shown(replace(NOW, failures={}, **unknown))
    text = "\n".join(rows)
    assert "accepted p50 n/a, p95 n/a" in text
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
        "25 s of 72 s | brownout | stations 126/362 | pages 354/1,086 | offered 15.1/s | goodput 4.2/s | backlog 25"
        " | accepted p50 ≈ 410 ms, p95 ≈ 6.2 s | queue 64 | failures 100: unavailable 75, timed out waiting 25"
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
