"""A server that stops answering for good is reported, and no run passes against it."""

from __future__ import annotations

import pytest

from harness.analysis.summarise import load_summary
from harness.base.model import MalformedReason, Outcome
from harness.judge.verdict import judge_run
from harness.run_folder.layout import FaultRecord, StoreReadRecord
from reports.key_figures import describe_verdict
from tests.support.run_builder import RunBuilder

HOLDS = "attempts.total > 0"


def run_of(path, *, answered=20, after=(), own_server=False, **record):
    """A station every 100 ms, the first `answered` at once; at one more is tried what `after` says: (outcome, seconds, more of the record)."""
    due_s = [page / 10 for page in range(answered + bool(after))]
    made = RunBuilder(path, stations=len(due_s), due_s=due_s, own_server=own_server, **record)
    for page in range(answered):
        made.attempt(page, due_s=page / 10)
    for number, (outcome, at_s, *more) in enumerate(after):
        rest = more[0] if more else {}
        made.attempt(answered, attempt=number + 1, outcome=outcome, due_s=at_s, done_s=at_s + 0.001, **rest)
    made.scrape_idle_generator(6)
    accepted = StoreReadRecord(reason="nobody can tell", accepted=True)
    return made.finish("deadline", at_s=6.0, stock=accepted)


def refused(*seconds):
    return [(Outcome.REFUSED, at_s) for at_s in seconds]


def test_a_target_that_is_gone_is_told_with_the_moment_and_the_outcomes_and_does_not_pass(tmp_path):
    folder = run_of(tmp_path / "run", answered=10, after=[(Outcome.RESET, 1.5), *refused(2, 3, 4)])
    verdict = judge_run(folder, [HOLDS]).verdict
    assert (verdict.verdict, verdict.exit_code) == ("fail", 99)
    assert [threshold.passed for threshold in verdict.thresholds] == [True]
    assert (
        verdict.gone
        == "the target has not answered since t = 1.0 s; last unanswered attempt at 4.0 s (refused \u00d7 3, reset \u00d7 1)"
    )
    assert describe_verdict(verdict) == f"T{verdict.gone[1:]}."


def test_a_target_that_answers_to_the_end_is_not_gone_whatever_failed_before(tmp_path):
    folder = run_of(tmp_path / "run", answered=20, after=())
    assert (judge_run(folder, [HOLDS]).verdict.gone, judge_run(folder, [HOLDS]).verdict.exit_code) == ("", 0)
    assert load_summary(folder).silence is None


def test_an_answer_of_any_kind_at_the_end_breaks_the_silence(tmp_path):
    folder = run_of(tmp_path / "run", answered=10, after=[*refused(2, 3, 4, 5), (Outcome.UNAVAILABLE, 5.5)])
    assert judge_run(folder, [HOLDS]).verdict.gone == ""


@pytest.mark.heavy
@pytest.mark.parametrize(
    "after", [refused(2, 4), refused(1.2, 1.4, 1.6), [(Outcome.CENSORED, 2 + n) for n in range(4)]]
)
def test_two_failures_or_less_than_a_second_or_attempts_in_flight_are_no_silence(tmp_path, after):
    assert judge_run(run_of(tmp_path / "run", answered=10, after=after), [HOLDS]).verdict.gone == ""


def waiting(*seconds):
    return [(Outcome.TIMEOUT_RESPONSE, at_s) for at_s in seconds]


def test_an_overloaded_server_is_not_called_gone_but_slower_than_its_clients_wait(tmp_path):
    """It accepts every connection, and each of its workers is busy."""
    folder = run_of(tmp_path / "run", answered=10, after=waiting(2, 3, 4), own_server=True, client_timeout_s=4.0)
    verdict = judge_run(folder, [HOLDS]).verdict
    assert verdict.gone == (
        "no upload was answered within the clients' 4 s after 1.0 s;"
        " last unanswered attempt at 4.0 s (timeout_response \u00d7 3)"
    )
    assert (verdict.verdict, verdict.exit_code) == ("fail", 99)
    assert describe_verdict(verdict).startswith("No upload was answered within the clients' 4 s after 1.0 s; ")


def test_a_server_that_never_answered_in_time_is_told_as_such(tmp_path):
    folder = run_of(tmp_path / "run", answered=0, after=waiting(0.5, 2, 4), client_timeout_s=4.0)
    assert judge_run(folder, [HOLDS]).verdict.gone.startswith("no upload was ever answered within the clients' 4 s; ")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("after", "is_gone"),
    [
        ([*waiting(2, 3), *refused(4, 5)], True),
        ([*waiting(2, 3, 3.5), *refused(4, 5)], False),
        (refused(2, 3, 4), True),
    ],
)
def test_gone_is_for_refused_and_broken_connections(tmp_path, after, is_gone):
    verdict = judge_run(run_of(tmp_path / "run", answered=10, after=after), [HOLDS]).verdict
    assert verdict.gone.startswith("the target has not answered since") is is_gone


def test_a_target_that_never_answered_is_told_as_such(tmp_path):
    verdict = judge_run(run_of(tmp_path / "run", answered=0, after=refused(0.5, 2, 4)), [HOLDS]).verdict
    assert verdict.gone == "the target has never answered; last unanswered attempt at 4.0 s (refused \u00d7 3)"
    assert verdict.exit_code != 0


@pytest.mark.heavy
@pytest.mark.parametrize(("end_s", "reported"), [(None, False), (5.0, False), (3.0, True)])
def test_a_fault_of_the_scenario_that_is_still_on_is_why_and_one_that_is_over_is_not(tmp_path, end_s, reported):
    down = FaultRecord(name="gone", kind="down", start_s=1.0, end_s=end_s)
    folder = run_of(tmp_path / "run", answered=10, after=refused(2, 3, 4), own_server=True, faults=[down])
    verdict = judge_run(folder, [HOLDS]).verdict
    assert verdict.gone.startswith("the mock server has not answered since t = 1.0 s") is reported
    assert (verdict.verdict == "pass") is not reported


def test_an_invalid_run_tells_it_too_and_is_invalid_all_the_same(tmp_path):
    folder = run_of(tmp_path / "run", answered=10, after=refused(2, 3, 4), problems=["the clock was odd"])
    verdict = judge_run(folder, [HOLDS]).verdict
    assert (verdict.verdict, verdict.exit_code) == ("invalid", 3)
    assert "The target has not answered since t = 1.0 s" in describe_verdict(verdict)


UNLISTED = {"status": 206, "reason": MalformedReason.STATUS}


def malformed(*seconds, **answer):
    return [(Outcome.MALFORMED, at_s, answer) for at_s in seconds]


@pytest.mark.parametrize(
    ("answered", "after", "sentence"),
    [
        (
            0, malformed(0.5, 2, 4, **UNLISTED),
            (
                "the target has never given a usable answer; last attempt at 4.0 s"
                " (malformed \u00d7 3; status 206 \u00d7 3, which no key of [target.statuses] lists)"
            ),
        ),
        (
            10, [*malformed(2, 3, 4, **UNLISTED), *malformed(5, status=200, reason=MalformedReason.VALUE)],
            (
                "the target has given no usable answer since t = 1.0 s; last attempt at 5.0 s"
                " (malformed \u00d7 4; status 206 \u00d7 3, which no key of [target.statuses] lists; status 200 \u00d7 1)"
            ),
        ),
        (
            10, [(Outcome.RESET, at_s, {"status": 200}) for at_s in (2, 3, 4)],
            "the target has given no usable answer since t = 1.0 s; last attempt at 4.0 s (reset \u00d7 3; status 200 \u00d7 3)",
        ),
        (
            0, malformed(0.5, 2, 4, reason=MalformedReason.NOT_HTTP),
            "the target has never given a usable answer; last attempt at 4.0 s (malformed \u00d7 3)",
        ),
    ],
)  # fmt: skip
def test_answers_that_nobody_can_use_are_answers_and_their_status_is_named(tmp_path, answered, after, sentence):
    verdict = judge_run(run_of(tmp_path / "run", answered=answered, after=after), [HOLDS]).verdict
    assert verdict.gone == sentence
    assert (verdict.verdict, verdict.exit_code) == ("fail", 99)


def test_a_target_that_answered_unusably_before_it_went_away_is_gone_since_that_answer(tmp_path):
    folder = run_of(tmp_path / "run", answered=0, after=[*malformed(0.5, 2, **UNLISTED), *refused(3, 4, 5)])
    assert judge_run(folder, [HOLDS]).verdict.gone == (
        "the target has not answered since t = 2.0 s; last unanswered attempt at 5.0 s (refused \u00d7 3)"
    )


def test_a_usable_answer_at_the_end_ends_it(tmp_path):
    after = [*malformed(2, 3, 4, **UNLISTED), (Outcome.REJECTED, 5.0)]
    assert judge_run(run_of(tmp_path / "run", answered=0, after=after), [HOLDS]).verdict.gone == ""
