"""A capacity search as text."""

from xml.etree import ElementTree as ET

import pytest

from harness.analysis.capacity import CapacityBracket, LoadConfirmation, PlayedSeed
from reports.capacity import (
    capacity_badge,
    capacity_finding,
    capacity_junit,
    capacity_label,
    capacity_markdown,
    level_rows,
)
from tests.support.capacity_figures import GOAL, condition, demand, figures, level


def test_the_sentence_says_what_suffices_what_does_not_and_on_which_evidence():
    assert capacity_finding(figures()) == (
        "For 362 stations within 3 d four workers suffice: 95 % of the stations are complete in at least 95 % of runs "
        "(59 of 59 simulated); three do not (0 of 2 simulated)"
    )


@pytest.mark.parametrize(
    ("t0", "deadline_s", "text"),
    [(15 * 3600.0, 6.0, "by 21:00"), (13 * 3600.0, 72.0, "by day 3 at 13:00"), (None, 72.0, "within 3 d")],
)
def test_the_deadline_is_a_time_of_day_where_the_scenario_has_one(t0, deadline_s, text):
    assert capacity_finding(figures(t0_s=t0, deadline_s=deadline_s)).startswith(f"For 362 stations {text} four workers")


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        (["stations.completed_by_deadline_ratio >= 100%"], "all stations are complete"),
        (["stations.completed_by_deadline_ratio >= 1", "attempts.amplification < 3"], "all stations are complete and 1 other threshold holds"),
        (["a < 1", "b < 1", "stations.completed_by_deadline_ratio >= 0.9"], "90 % of the stations are complete and 2 other thresholds hold"),
        (["p95(delivery_seconds) < 15s"], "p95(delivery_seconds) < 15s holds"),
        (["a < 1", "b < 1"], "the goal is met"),
    ],
)  # fmt: skip
def test_the_goal_is_a_phrase_of_the_sentence(goal, text):
    assert f"suffice: {text} in at least 95 % of runs" in capacity_finding(figures(condition(goal=goal)))


def test_only_small_numbers_of_workers_are_words():
    assert "one worker suffices" in capacity_finding(
        figures(
            condition(
                "bears",
                demand(
                    levels=[level(1, 59, 0, "passes")],
                    bracket=CapacityBracket(passes="1", fails=None, is_complete=True),
                ),
            )
        )
    )
    assert "13 workers suffice" in capacity_finding(figures(condition("bears", demand(least=13))))


def test_the_faults_take_more():
    found = figures(condition(), condition("recovers", demand(least=6)))
    assert capacity_finding(found).endswith(". With brownout it takes six (59 of 59 simulated)")
    lasting = condition("recovers", demand(least=6), durations_s={"brownout": 10.0})
    assert capacity_finding(figures(condition(), lasting)).endswith(
        ". With brownout for 10 h it takes six (59 of 59 simulated)"
    )
    seconds = figures(condition(), lasting, time_scale=1.0)
    assert ". With brownout for 10 s it takes six" in capacity_finding(seconds)
    same = figures(condition(), condition("recovers"))
    assert capacity_finding(same).endswith(". With brownout it takes no more (59 of 59 simulated)")
    none = figures(condition(), condition("recovers", demand(least=64, found=False)), exit_code=99)
    assert capacity_finding(none).endswith(". With brownout nothing up to 64 workers suffices")


def test_a_range_in_which_nothing_suffices_is_said_with_the_bound():
    found = figures(condition("bears", demand(least=64, found=False, least_by_arithmetic=80.0)), exit_code=99)
    assert capacity_label(found) == "NOT IN THE RANGE"
    assert capacity_finding(found) == (
        "For 362 stations within 3 d nothing up to 64 workers suffices; by arithmetic it takes at least 80"
    )


def test_what_the_bracket_leaves_open_is_said():
    bracket = CapacityBracket(passes="4", fails="2", undecided=["3"], out_of_order=["8"], is_complete=False)
    levels = [
        level(2, 0, 2, "fails"),
        level(3, 230, 6, "undecided"),
        level(4, 59, 0, "passes"),
        level(8, 0, 2, "fails"),
    ]
    text = capacity_finding(figures(condition("bears", demand(bracket=bracket, levels=levels))))
    assert (
        "two do not (0 of 2 simulated); 3 could not be decided; the search ended before what lies between was tried"
        in text
    )
    assert text.endswith("out of order: 8 did not pass although stronger")


def test_nobody_can_tell_is_said_with_its_reason():
    bracket = CapacityBracket(passes=None, fails=None, is_complete=False)
    found = figures(
        condition("bears", demand(bracket=bracket, levels=[])), exit_code=3, why_unknown="its budget was spent"
    )
    assert (capacity_label(found), capacity_finding(found)) == (
        "NOBODY CAN TELL",
        "For 362 stations within 3 d no level of server.workers was shown to suffice. Nobody can tell: its budget was spent",
    )


def test_a_key_without_a_noun_is_named():
    vary = figures().vary.model_copy(update={"key": "client.timeout"})
    assert "client.timeout = 4 suffices: 95 % of the stations" in capacity_finding(figures(vary=vary))


def test_a_level_s_row_has_its_evidence():
    assert level_rows(demand()) == [
        ["3", "fails", "0 of 2", "20 % to 80 %", "workers 100 %", f"{GOAL} (in 2)"],
        ["4", "passes", "59 of 59", "95 % to 100 %", "workers 75 %", ""],
        ["8", "passes", "59 of 59", "95 % to 100 %", "workers 38 %", ""],
    ]


@pytest.mark.parametrize(
    ("found", "complete", "kind"), [(True, True, None), (False, True, "failure"), (False, False, "error")]
)
def test_junit_has_a_case_for_each_load_that_fails_or_is_an_error(found, complete, kind):
    one = demand(found=found)
    one = one.model_copy(update={"bracket": one.bracket.model_copy(update={"is_complete": complete})})
    root = ET.fromstring(capacity_junit(figures(condition("bears", one))))  # noqa: S314 - our own text
    (case,) = root.iter("testcase")
    assert case.get("name") == "bears 1x within server.workers = 1..64"
    assert [child.tag for child in case] == ([] if kind is None else [kind])


def test_markdown_has_the_sentence_and_a_row_for_each_level():
    text = capacity_markdown(figures(title="An <b>evening</b> | x"))
    assert text.startswith("# SIMULATED FOUND: capacity of An \\<b\\>evening\\</b\\> \\| x\n\nFor 362 stations")
    assert "| 4 | passes | 59 of 59 | 95 % to 100 % | workers 75 % |  |\n" in text


def measured(met, count, unknown=0):
    runs = [
        PlayedSeed(
            seed=500 + number, met=met, completed_ratio=1.0, complete_95_s=50.0, finish_s=60.0, amplification=1.5
        )
        for number in range(count)
    ]
    doubts = [
        PlayedSeed(
            seed=600 + number,
            met=None,
            completed_ratio=1.0,
            complete_95_s=50.0,
            finish_s=60.0,
            amplification=1.5,
            why_unknown="late",
        )
        for number in range(unknown)
    ]
    return [*runs, *doubts]


def test_measured_runs_are_evidence_and_invalid_ones_are_no_vote():
    levels = [
        level(3, 0, 59, "fails", measured=measured(False, 3)),
        level(4, 59, 0, "passes", measured=measured(True, 3, unknown=1)),
    ]
    confirmation = LoadConfirmation(passes="4", fails="3", state="confirmed")
    found = figures(condition("bears", demand(levels=levels, confirmation=confirmation)))
    assert (
        "(59 of 59 simulated, 3 of 3 measured); three do not (0 of 59 simulated, 0 of 3 measured)"
        in capacity_finding(found)
    )
    assert capacity_badge(found) == "FOUND"
    assert [row[2] for row in level_rows(found.conditions[0].loads[0])] == [
        "0 of 59, 0 of 3 measured",
        "59 of 59, 3 of 3 measured",
    ]


def test_a_bracket_that_the_runs_moved_is_said():
    levels = [
        level(4, 59, 0, "passes", measured=measured(False, 3)),
        level(5, 59, 0, "passes", measured=measured(True, 3)),
    ]
    confirmation = LoadConfirmation(passes="5", fails="4", state="moved")
    text = capacity_finding(figures(condition("bears", demand(levels=levels, confirmation=confirmation))))
    assert "five workers suffice" in text
    assert "four do not (59 of 59 simulated, 0 of 3 measured)" in text
    assert text.endswith("the measured runs moved the bracket: simulated, 4 suffices")


def test_runs_that_leave_a_doubt_are_an_error_in_junit():
    confirmation = LoadConfirmation(passes="4", fails=None, state="unknown", why_unknown="3 of 6 runs were INVALID")
    root = ET.fromstring(capacity_junit(figures(condition("bears", demand(confirmation=confirmation)))))  # noqa: S314 - our own text
    (case,) = root.iter("testcase")
    assert [(child.tag, child.get("message")) for child in case] == [("error", "3 of 6 runs were INVALID")]
