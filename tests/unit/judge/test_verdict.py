from __future__ import annotations

import json

import pytest

from harness.base.errors import ConfigurationError, ExitCode, RunFolderError
from harness.base.model import Outcome
from harness.judge.verdict import judge_run, load_verdict
from harness.run_folder.layout import StoreReadRecord, WorkerRecord
from tests.support.run_builder import RunBuilder
from tests.support.synthetic_run import kaliwates_run

PASSING = "p50(response_seconds) < 2s"
FAILING = "p50(response_seconds) < 10ms"


def run_of(path, *, lost=(), errors=0, **record):
    """Thirty stations, all delivered after 100 ms; the server holds all but `lost`."""
    made = RunBuilder(path, stations=30, **record)
    for page in range(30):
        made.attempt(page, due_s=1.0)
    for attempt in range(errors):
        made.attempt(0, attempt=2 + attempt, outcome=Outcome.GENERATOR_ERROR, due_s=2.0)
    made.scrape_idle_generator(5)
    made.store_all(but=lost)
    return made


def judged(folder, *assertions):
    verdict = judge_run(folder, assertions).verdict
    return verdict.verdict, verdict.exit_code


def test_a_run_whose_every_threshold_holds_passes(tmp_path):
    folder = run_of(tmp_path / "run").finish(at_s=5.0)
    verdict = judge_run(folder, [PASSING]).verdict
    assert (verdict.verdict, verdict.exit_code, verdict.ended) == ("pass", 0, "completed")
    assert [threshold.passed for threshold in verdict.thresholds] == [True]
    assert (verdict.safety, verdict.liveness) == (True, True)
    assert verdict.validity.valid is True


def test_a_breached_threshold_fails_with_99(tmp_path):
    assert judged(run_of(tmp_path / "run").finish(at_s=5.0), PASSING, FAILING) == ("fail", 99)


@pytest.mark.heavy
def test_a_run_without_thresholds_is_held_against_the_store_all_the_same(tmp_path):
    assert judged(run_of(tmp_path / "kept").finish(at_s=5.0)) == ("pass", 0)
    assert judged(run_of(tmp_path / "lost", lost=[7]).finish(at_s=5.0)) == ("fail", 99)


@pytest.mark.heavy
def test_an_invalid_measurement_is_neither_pass_nor_fail(tmp_path):
    folder = run_of(tmp_path / "run", errors=1).finish(at_s=5.0)
    assert judged(folder, PASSING) == ("invalid", 3)
    assert judged(folder, FAILING) == ("invalid", 3)


def test_a_lost_acknowledgement_comes_before_an_invalid_measurement(tmp_path):
    assert judged(run_of(tmp_path / "run", errors=1, lost=[7]).finish(at_s=5.0), PASSING) == ("fail", 99)


UNREAD = StoreReadRecord(reason="GET /stored: HTTP status 500")


def unread(path, **record):
    made = run_of(path, **record)
    made.folder.stored.unlink()
    return made


@pytest.mark.heavy
@pytest.mark.parametrize("assertion", [PASSING, "audit.lost == 0"])
def test_a_store_that_could_not_be_read_is_neither_pass_nor_fail_and_says_why(tmp_path, assertion):
    verdict = judge_run(unread(tmp_path / "run").finish(at_s=5.0, stock=UNREAD), [assertion]).verdict
    assert (verdict.verdict, verdict.exit_code, verdict.safety) == ("invalid", 3, "unknown")
    assert verdict.validity.reasons == [
        "safety is unknown: what the server has stored is not known: GET /stored: HTTP status 500"
    ]


@pytest.mark.heavy
def test_a_breached_threshold_of_a_valid_measurement_fails_whatever_is_known_of_safety(tmp_path):
    verdict = judge_run(unread(tmp_path / "run").finish(at_s=5.0, stock=UNREAD), [PASSING, FAILING]).verdict
    assert (verdict.verdict, verdict.exit_code, verdict.safety, verdict.validity.valid) == ("fail", 99, "unknown", True)
    assert [(one.judged, one.passed) for one in verdict.thresholds] == [(True, True), (True, False)]


def test_a_server_that_refuses_everything_fails_although_nothing_is_known_of_its_safety(tmp_path):
    made = RunBuilder(tmp_path / "run")
    for page in range(len(made.pages)):
        made.attempt(page, outcome=Outcome.UNAVAILABLE)
    made.store([])
    verdict = judge_run(made.finish("deadline", at_s=2.0), ["stations.completed_ratio >= 95%"]).verdict
    assert (verdict.verdict, verdict.exit_code, verdict.safety) == ("fail", 99, "unknown")


@pytest.mark.heavy
def test_a_scenario_may_accept_that_nobody_can_read_the_store_but_then_nothing_is_called_safe(tmp_path):
    accepted = UNREAD.model_copy(update={"accepted": True})
    verdict = judge_run(unread(tmp_path / "run").finish(at_s=5.0, stock=accepted), [PASSING]).verdict
    assert (verdict.verdict, verdict.exit_code, verdict.safety) == ("pass", 0, "unknown")
    breached = judge_run(unread(tmp_path / "breached").finish(at_s=5.0, stock=accepted), [FAILING]).verdict
    assert (breached.verdict, breached.exit_code) == ("fail", 99)


def test_a_run_in_which_nothing_was_acknowledged_proves_nothing_even_if_that_is_accepted(tmp_path):
    made = RunBuilder(tmp_path / "run")
    made.attempt(0, outcome=Outcome.RESET)
    made.store([])
    accepted = StoreReadRecord(accepted=True)
    verdict = judge_run(made.finish("deadline", at_s=72.0, stock=accepted), []).verdict
    assert (verdict.exit_code, verdict.safety) == (3, "unknown")
    assert "safety is unknown: nothing was acknowledged, so nothing is proved" in verdict.validity.reasons


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("how", "described", "code"),
    [
        ("interrupted", "interrupted", 130),
        ("terminated", "terminated", 143),
        ("hung_up", "stopped because its terminal was closed,", 129),
    ],
)
@pytest.mark.parametrize("assertions", [[], [PASSING], [FAILING]], ids=["none", "met", "breached"])
def test_an_interrupted_run_is_invalid_whatever_its_thresholds_would_say(tmp_path, how, described, code, assertions):
    folder = run_of(tmp_path / "run").finish(how, at_s=5.0, message="SIGINT after 5.0 s")
    verdict = judge_run(folder, assertions).verdict
    assert (verdict.verdict, verdict.exit_code, verdict.safety) == ("invalid", code, True)
    assert verdict.validity.reasons == [
        f"the run was {described} after 5.0 s, when 30 of 30 pages were delivered: run it again to its end"
    ]
    assert [(one.judged, one.passed) for one in verdict.thresholds] == [(False, False)] * len(assertions)


@pytest.mark.heavy
@pytest.mark.parametrize("how", ["interrupted", "terminated", "hung_up", "killed"])
def test_a_lost_acknowledgement_is_a_failure_even_if_the_run_was_cut_short_but_its_thresholds_are_not_judged(
    tmp_path, how
):
    folder = run_of(tmp_path / "run", lost=[7]).finish(how, at_s=5.0, message="SIGINT after 5.0 s")
    verdict = judge_run(folder, [PASSING, FAILING]).verdict
    assert (verdict.verdict, verdict.exit_code, verdict.safety) == ("fail", 99, False)
    assert [one.reason for one in verdict.thresholds] == ["not judged, the measurement is invalid"] * 2


def test_a_threshold_that_is_not_judged_still_says_why_it_has_no_figure(tmp_path):
    folder = run_of(tmp_path / "run", errors=1).finish(at_s=5.0)
    (threshold,) = judge_run(folder, ["p99(response_seconds) < 1s"]).verdict.thresholds
    assert threshold.reason == "not judged, the measurement is invalid: n/a (needs 1,000; there are 30)"


@pytest.mark.heavy
@pytest.mark.parametrize("trouble", [{}, {"lost": [7]}])
def test_a_crash_of_ours_is_a_bug_whatever_else_holds(tmp_path, trouble):
    verdict = judge_run(
        run_of(tmp_path / "run", **trouble).finish("crashed", at_s=5.0, message="boom"), [PASSING]
    ).verdict
    assert verdict.exit_code == ExitCode.BUG
    assert verdict.validity.reasons[0] == "the run crashed: boom"


@pytest.mark.heavy
def test_a_crash_for_a_lost_worker_is_invalid(tmp_path):
    made = run_of(tmp_path / "run", workers=2)
    workers = [WorkerRecord(rank=0, lost=True), WorkerRecord(rank=1)]
    assert judged(made.finish("crashed", at_s=5.0, workers=workers), PASSING) == ("invalid", 3)


@pytest.mark.heavy
def test_a_run_that_was_broken_off_is_invalid(tmp_path):
    verdict = judge_run(run_of(tmp_path / "run").break_off(), [PASSING]).verdict
    assert (verdict.verdict, verdict.exit_code, verdict.ended) == ("invalid", 3, "broken_off")


def test_a_run_that_did_nothing_never_passes(tmp_path):
    assert judged(RunBuilder(tmp_path / "run").finish(at_s=0.0)) == ("invalid", 3)


@pytest.mark.heavy
def test_a_run_that_was_aborted_fails_by_its_threshold(tmp_path):
    assert judged(run_of(tmp_path / "run").finish("aborted", at_s=5.0), FAILING) == ("fail", 99)


@pytest.mark.heavy
def test_the_verdict_is_written_as_documented(tmp_path):
    folder = run_of(tmp_path / "run").finish(at_s=5.0)
    verdict = judge_run(folder, [FAILING]).verdict
    written = json.loads(folder.verdict.read_text())
    assert list(written) == [
        "format",
        "verdict",
        "exit_code",
        "ended",
        "simulated",
        "safety",
        "liveness",
        "validity",
        "gone",
        "thresholds",
    ]
    assert (written["verdict"], written["exit_code"]) == ("fail", 99)
    assert written["validity"] == {"valid": True, "reasons": []}
    assert written["thresholds"][0] == {
        "assert": FAILING,
        "observed": pytest.approx(0.1),
        "limit": 0.01,
        "unit": "s",
        "window": None,
        "passed": False,
        "judged": True,
        "reason": "90 ms (900 %) above the limit",
    }
    assert load_verdict(folder) == verdict


@pytest.mark.heavy
def test_judging_writes_the_summary_that_it_judges(tmp_path):
    folder = run_of(tmp_path / "run").finish(at_s=5.0)
    judge_run(folder, [])
    assert json.loads(folder.summary.read_text())["pages"]["delivered"] == 30


@pytest.mark.heavy
def test_judging_again_by_other_thresholds_needs_the_folder_alone(tmp_path):
    folder = run_of(tmp_path / "run").finish(at_s=5.0)
    assert judged(folder, FAILING) == ("fail", 99)
    assert judged(folder, PASSING) == ("pass", 0)
    assert load_verdict(folder).verdict == "pass"


def test_wrong_assertions_stop_before_anything_is_written(tmp_path):
    folder = run_of(tmp_path / "run").finish(at_s=5.0)
    with pytest.raises(ConfigurationError, match="did you mean"):
        judge_run(folder, ["p95(delivery_second) < 10"])
    assert not folder.verdict.exists()


@pytest.mark.parametrize("content", [None, "{", '{"format": 1}'])
def test_a_verdict_that_is_missing_or_torn_is_a_broken_run(tmp_path, content):
    folder = run_of(tmp_path / "run").finish(at_s=5.0)
    if content is not None:
        folder.verdict.write_text(content)
    with pytest.raises(RunFolderError, match=r"verdict\.json"):
        load_verdict(folder)


@pytest.mark.heavy
def test_an_evening_passes_with_eight_workers_and_fails_with_one(tmp_path):
    thresholds = ["p95(delivery_seconds) < 10", "stations.completed_by_deadline_ratio >= 95%"]
    assert judged(kaliwates_run(tmp_path / "eight", workers=8), *thresholds) == ("pass", 0)
    assert judged(kaliwates_run(tmp_path / "one", workers=1), *thresholds) == ("fail", 99)
