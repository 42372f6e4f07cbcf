"""What the page says of pages that were never acknowledged, and the CSV beside it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness.analysis.chart_data import load_chart_data
from harness.analysis.summarise import load_summary
from harness.analysis.unacknowledged import CSV_COLUMNS
from harness.base.model import Outcome
from harness.judge.verdict import judge_run
from harness.run_folder.journal import GiveUpReason
from harness.run_folder.layout import RunFolder
from reports.render import render_run
from tests.support.drawn_page import Outline, text_of
from tests.support.run_builder import RunBuilder, make_pages

pytestmark = pytest.mark.heavy
CODES = ["3509191001001", "3509191001002", "3509191002001"]


def reported(folder: RunFolder) -> str:
    judged = judge_run(folder, [])
    render_run(folder, load_summary(folder), load_chart_data(folder, judged.run_data, judged.statuses), judged.verdict)
    return folder.page.read_text("utf-8")


def three_stations(path: Path) -> RunFolder:
    run = RunBuilder(path, pages=make_pages([0.0, 1.0, 2.0], 1, CODES), deadline_s=10.0)
    run.attempt(0, done_s=0.5)
    run.attempt(1, due_s=1.0, outcome=Outcome.UNAVAILABLE, done_s=4.0)
    run.gave_up(1, attempts=1, at_s=4.0, reason=GiveUpReason.ATTEMPTS_USED_UP)
    run.attempt(2, due_s=2.0, outcome=Outcome.TIMEOUT_RESPONSE, done_s=9.0)
    run.gave_up(2, attempts=1, at_s=10.0, reason=GiveUpReason.DEADLINE)
    run.store([run.stored_row(0), run.stored_row(2)])
    return run.finish("deadline", at_s=10.0)


def test_the_page_says_where_the_pages_are_and_links_a_file_with_all_of_them(tmp_path: Path) -> None:
    folder = three_stations(tmp_path / "run")
    html = reported(folder)
    text = text_of(html).replace("\u00a0", " ")
    assert (
        "2 pages of stations that arrived were never acknowledged, of which the server has 1 all the same. One row per page,"
        " with its attempts and how the last one ended: not-acknowledged.csv, beside this page."
    ) in text
    assert "Mangli 3509191001 ppwp 2 1 (50 %) 0 1" in text
    assert "Sempusari 3509191002 ppwp 1 1 (100 %) 1 1" in text
    links = [str(a["href"]) for tag, a in Outline(html).tags if tag == "a" and not str(a["href"]).startswith("#")]
    assert links == ["not-acknowledged.csv"]
    with (folder.report / links[0]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == list(CSV_COLUMNS)
    assert [(row[0], row[-1]) for row in rows[1:]] == [("3509191001002", "no"), ("3509191002001", "yes")]


def test_the_page_says_how_the_waits_of_stations_ended_and_how_long_they_were(tmp_path: Path) -> None:
    text = text_of(reported(three_stations(tmp_path / "run"))).replace("\u00a0", " ")
    assert (
        "2 stations arrived and were never complete; below them the one that took longest. Of these 2, 1 still tried at the"
        " deadline and 1 gave up. Half of them waited 5.5 s or longer, the longest 8 s."
    ) in text
    assert "3509191001002 Mangli 1 s 0 of 1 1 3 s gave up" in text


def test_a_report_of_a_run_that_lost_nothing_has_no_such_file_and_takes_an_old_one_away(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    run.attempt(0)
    folder = run.finish(at_s=1.0)
    old = folder.report / "not-acknowledged.csv"
    old.write_text("of an earlier report", encoding="utf-8")
    assert "Pages not acknowledged" not in text_of(reported(folder))
    assert not old.exists()
