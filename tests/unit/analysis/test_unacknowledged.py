"""Pages that were never acknowledged: which, where, whether the server has them, and how their stations' waits ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.analysis import unacknowledged
from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.analysis.unacknowledged import CSV_COLUMNS, UnacknowledgedPages, find_unacknowledged, station_ends
from harness.base.model import Outcome
from harness.run_folder.journal import GiveUpReason
from harness.run_folder.layout import RunFolder
from tests.support.run_builder import RunBuilder, make_pages

CODES = ["3509191001001", "3509191001002", "3509191002001", "3509191002002", "3509191007001"]


def found_in(folder: RunFolder) -> UnacknowledgedPages:
    rows = load_rows(folder)
    return find_unacknowledged(folder, rows, load_page_statuses(folder, rows))


def five_stations(path: Path) -> RunBuilder:
    """Complete; gave up after two attempts at 4 s; tried until the deadline; arrived and sent nothing; not yet there."""
    run = RunBuilder(path, pages=make_pages([0.0, 1.0, 2.0, 3.0, 50.0], 2, CODES), deadline_s=10.0)
    run.attempt(0, due_s=0.0, done_s=0.5)
    run.attempt(1, due_s=0.5, done_s=1.0)
    run.attempt(2, due_s=1.0, done_s=1.5)
    run.attempt(3, due_s=1.5, outcome=Outcome.TIMEOUT_RESPONSE, done_s=2.5)
    run.attempt(3, attempt=2, due_s=3.0, outcome=Outcome.UNAVAILABLE, done_s=4.0)
    run.gave_up(3, attempts=2, at_s=4.0, reason=GiveUpReason.ATTEMPTS_USED_UP)
    run.attempt(4, due_s=2.0, outcome=Outcome.TIMEOUT_RESPONSE, done_s=6.0)
    run.gave_up(4, attempts=1, at_s=10.0, reason=GiveUpReason.DEADLINE)
    run.store([run.stored_row(page) for page in (0, 1, 2, 4)])
    return run


def test_each_page_that_was_not_acknowledged_is_a_row_with_how_its_last_attempt_ended(tmp_path: Path) -> None:
    rows = [
        dict(zip(CSV_COLUMNS, row, strict=True))
        for row in found_in(five_stations(tmp_path / "run").finish("deadline", at_s=10.0)).csv_rows()
    ]
    # the last station had not arrived, so nobody waited there
    assert [(row["station"], row["page"]) for row in rows] == [
        ("3509191001002", 2), ("3509191002001", 1), ("3509191002001", 2), ("3509191002002", 1), ("3509191002002", 2)
    ]  # fmt: skip
    assert rows[0] == {
        "station": "3509191001002", "kelurahan": "MANGLI", "form": "ppwp", "page": 2, "arrived_s": "1.000", "attempts": 2,
        "last_outcome": "unavailable", "last_attempt_ended_s": "4.000", "given_up": "attempts used up", "on_server": "no",
    }  # fmt: skip
    assert (rows[1]["last_outcome"], rows[1]["given_up"], rows[1]["on_server"]) == (
        "timeout_response",
        "deadline",
        "yes",
    )
    assert (rows[2]["attempts"], rows[2]["last_outcome"], rows[2]["last_attempt_ended_s"]) == (0, "", "")


def test_groups_are_kelurahan_and_form_with_the_most_missing_pages_first(tmp_path: Path) -> None:
    groups = found_in(five_stations(tmp_path / "run").finish("deadline", at_s=10.0)).groups
    assert [(g.name, g.region, g.form, g.planned, g.missing, g.on_server, g.stations) for g in groups] == [
        ("SEMPUSARI", "3509191002", "ppwp", 4, 4, 1, 2),
        ("MANGLI", "3509191001", "ppwp", 4, 1, 0, 1),
    ]


def test_without_the_servers_store_nobody_knows_what_it_has(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run", stations=1, deadline_s=10.0)
    run.attempt(0, outcome=Outcome.UNAVAILABLE)
    found = found_in(run.finish("deadline", at_s=10.0))
    assert [group.on_server for group in found.groups] == [None]
    assert [row[-1] for row in found.csv_rows()] == [""]


def test_each_station_waits_until_it_is_complete_gives_up_or_is_cut_off(tmp_path: Path) -> None:
    ends, waited_s = station_ends(load_rows(five_stations(tmp_path / "run").finish("deadline", at_s=10.0)))
    assert ends.tolist() == ["complete", "gave up", "deadline", "not attempted", "not attempted"]
    assert waited_s.tolist() == pytest.approx([1.0, 3.0, 8.0, 7.0, 0.0])


def test_a_station_that_a_broken_run_left_alone_was_cut_off(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run", stations=1, deadline_s=10.0)
    run.attempt(0, due_s=1.0, outcome=Outcome.UNAVAILABLE, done_s=1.5)
    ends, waited_s = station_ends(load_rows(run.finish("interrupted", at_s=4.0)))
    assert (ends.tolist(), waited_s.tolist()) == (["cut off"], [4.0])


def test_the_stations_that_were_failed_are_counted_by_how_their_wait_ended(tmp_path: Path) -> None:
    failed = found_in(five_stations(tmp_path / "run").finish("deadline", at_s=10.0)).stations
    assert failed is not None
    assert (failed.count, failed.by_end) == (3, {"deadline": 1, "gave up": 1, "not attempted": 1})
    assert (failed.waited_p50_s, failed.waited_max_s) == (7.0, 8.0)


def test_a_run_in_which_everything_arrived_failed_nobody(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run", stations=2)
    run.attempt(0)
    run.attempt(1)
    found = found_in(run.finish(at_s=2.0))
    assert (found.page.tolist(), found.groups, found.stations, list(found.csv_rows())) == ([], [], None, [])


def test_of_more_regions_than_a_reader_wants_the_next_larger_kind_has_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unacknowledged, "MAX_GROUPS", 2)
    groups = found_in(five_stations(tmp_path / "run").finish("deadline", at_s=10.0)).groups
    assert [(group.region, group.missing, group.stations) for group in groups] == [("350919", 5, 3)]
