"""What is shown of a bench: every goal with what was measured, and what is missing by its name."""

import pytest

from benchmarks.peers import results
from benchmarks.peers.accuracy import AccuracyRound
from benchmarks.peers.cost import CostRound
from benchmarks.peers.results import Peer, Results
from benchmarks.peers.session import write
from benchmarks.peers.tables import markdown, sections
from benchmarks.publish import insert_tables
from harness.base.errors import UsageError


def measured(**changed):
    frozen = {"p50": 0.022, "p99": 2.0, "max": 2.03}
    told = [
        AccuracyRound(
            "ours", "200/s", 1000, 199.0, {"p50": 0.021, "p99": 0.0619}, {"p50": 0.020, "p99": 0.060}, {}, 0.0005
        ),
        AccuracyRound(
            "k6", "200/s", 1000, 200.0, {"p50": 0.021, "p99": 0.070}, {"p50": 0.020, "p99": 0.060}, {}, 0.0005
        ),
        AccuracyRound("ours", "200/s, frozen for 2 s", 1000, 199.0, frozen, frozen, {"p50": 0.0218}, 0.0005),
    ]
    costs = [
        CostRound("ours", "small", 0, 15_000, 5.0, 66.0, 5.0, 0.2, 90.0, 0),
        CostRound("k6", "small", 0, 15_000, 5.0, 132.0, 0.0, 0.4, 150.0, 3),
    ]
    peers = [Peer(name="ours", version="0.1", advice=""), Peer(name="hey", version=None, advice="apt-get install hey")]
    fixed = {
        "at": "2026-11-24T01:00:00+00:00", "host": {"cpu": "Xeon", "cores": 2, "system": "Linux 6"}, "load_average": 0.1,
        "generator_cores": [1], "server_cores": [0], "rounds": 1, "seconds": 5.0, "peers": peers, "truth": told, "cost": costs,
        "failures": [],
    }  # fmt: skip
    return Results(**{**fixed, **changed})


def rows_of(found, title):
    return next(section.rows for section in sections(found) if section.title.startswith(title))


def test_every_goal_stands_with_what_was_measured_and_a_missing_peer_is_not_a_goal_met():
    goals = {row[0]: row[1:] for row in rows_of(measured(), "Goals")}
    assert goals["1 KB, 3,000/s: CPU per upload at most 0.8 of k6's"] == ["0.50", "met"]
    assert goals["500 KB, 500/s: CPU per upload at most 1.3 of wrk's"] == ["not measured", "not measured"]
    (truth,) = (row for goal, row in goals.items() if goal.startswith("accuracy at 200/s:"))
    assert truth == ["worst 1.9 of 2.0 ms", "met"]


@pytest.mark.parametrize(
    ("lateness", "said"),
    [({"p99": 0.0019}, ["1.9 ms", "met"]), ({"p99": 0.0021}, ["2.1 ms", "not met"]), ({}, ["not measured"] * 2)],
)
def test_lateness_at_3000_a_second_is_a_goal_of_ours_alone(lateness, said):
    figures = {"p50": 0.021, "p99": 0.060}
    truths = [
        AccuracyRound(tool, "3,000/s", 1000, 3000.0, figures, figures, {}, 0.0005, lateness) for tool in ("ours", "k6")
    ]
    goals = [row for row in rows_of(measured(truth=truths), "Goals") if row[0].startswith("lateness")]
    assert goals == [["lateness at 3,000/s from one core: p99 at most 2 ms", *said]]


def test_fewer_rounds_of_the_others_are_told():
    told = {"p50": 0.02}
    rounds = [AccuracyRound("ours", "200/s", 9, 1.0, told, told, {}, 0.0)] * 5 + [
        AccuracyRound("k6", "200/s", 9, 1.0, told, told, {}, 0.0)
    ] * 3
    assert "5 rounds of 5 s (3 of accuracy for the other tools), tools alternating" in markdown(measured(truth=rounds, rounds=5))  # fmt: skip
    assert "5 rounds of 5 s, tools" in markdown(measured(truth=rounds[:5] * 2, rounds=5))


def test_what_is_too_far_from_the_truth_is_marked_whoever_told_it():
    ours, k6 = rows_of(measured(), "Reported response times")
    assert ours[3] == "21.0 (+1.0)"
    assert k6[6] == "70.0 (+10.0 ✗)"
    assert k6[7] == "not reported"


def test_a_freeze_is_shown_as_told_as_it_was_and_as_service():
    assert [row[0] for row in rows_of(measured(), "A server that freezes")] == [
        "ours 0.1, reported",
        "ours 0.1, true",
        "ours 0.1, `service`",
    ]


@pytest.mark.parametrize("title", ["Reported response times", "Cost: 1 KB"])
def test_every_tool_stands_with_its_version(title):
    peers = [Peer(name="ours", version="0.1", advice=""), Peer(name="k6", version="1.1.0", advice="")]
    cells = {cell for row in rows_of(measured(peers=peers), title) for cell in row[:2]}
    assert {"ours 0.1", "k6 1.1.0"} <= cells


def test_a_peer_that_is_not_there_and_a_round_that_failed_are_named():
    text = markdown(measured(failures=["500 KB: hey: it hung"]))
    assert text.count("hey is not installed: apt-get install hey") == 3
    assert "500 KB: hey: it hung" in text


@pytest.mark.heavy
def test_results_come_back_as_they_were_written_with_a_chart_beside_them(tmp_path):
    found = measured()
    assert [path.name for path in write(tmp_path / "new", found)] == [
        "results.json",
        "tables.md",
        "cost.svg",
        "cost.png",
    ]
    assert results.read(tmp_path / "new" / "results.json") == found
    assert "ours ÷ this: 0.50" in (tmp_path / "new" / "cost.svg").read_text("utf-8")


def test_a_file_that_holds_no_results_is_refused(tmp_path):
    (tmp_path / "x.json").write_text('{"format": 1}')
    with pytest.raises(UsageError, match="not a results"):
        results.read(tmp_path / "x.json")
    with pytest.raises(UsageError, match="No such file"):
        results.read(tmp_path / "y.json")


BEGIN, END = "<!-- generator bench: begin -->", "<!-- generator bench: end -->"


def test_only_what_stands_between_the_markers_is_written():
    page = f"before\n{BEGIN}\nwhat nobody measured\n{END}\nafter\n"
    written = insert_tables(page, measured())
    assert written.startswith(f"before\n{BEGIN}")
    assert written.endswith(f"{END}\nafter\n")
    assert "nobody measured" not in written
    assert insert_tables(written, measured()) == written
    with pytest.raises(ValueError, match="generator bench"):
        insert_tables("no markers", measured())
