"""A station's evening: order, retries, deadline, and what the journal says of it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import gevent
import pytest

from harness.base.model import OUTCOMES, Outcome
from harness.drive.client.uploader import AttemptResult
from harness.drive.virtual_user import VirtualUser, WorkerContext
from harness.measure.metrics import WorkerMetrics
from harness.plan import make_plan
from harness.run_folder.journal import GiveUpReason, JournalWriter, RecordKind, journal_file_name, read_journal
from harness.scenario.loader import load_scenario

NAN = float("nan")
A, U = Outcome.ACCEPTED, Outcome.UNAVAILABLE


@pytest.fixture(scope="module")
def plan():
    return make_plan(load_scenario("kaliwates", ["stations.count=1", "photos.size=2KB", "photos.bank=1", 'arrivals={kind="constant", over="1ms"}']))  # fmt: skip


@dataclass
class ScriptedUploader:
    """Answers with the outcomes of a script, each after `takes_s`."""

    script: list[Outcome]
    takes_s: float = 0.01
    asked: list[tuple[int, int]] = field(default_factory=list)
    closed: int = 0
    clock: Callable[[], float] = time.monotonic

    def attempt(self, page, number, due_s, sent_s):
        self.asked.append((page, number))
        outcome = self.script.pop(0)
        status = {A: 201, U: 503, Outcome.REJECTED: 409}.get(outcome, 0)
        result = AttemptResult(outcome, status, due_s=due_s, sent_s=sent_s, sent_bytes=100)
        try:
            gevent.sleep(self.takes_s)
        except gevent.GreenletExit:
            result.outcome, result.killed = Outcome.CENSORED, True
            return result
        result.done_s = self.clock()
        return result

    def close(self):
        self.closed += 1


@pytest.fixture
def evening(plan, tmp_path):
    def make(script, retry='{strategy="fixed", base="20ms"}', deadline_s=30.0, takes_s=0.01):
        client = load_scenario("kaliwates", [f"client.retry={retry}"]).client
        t0 = time.monotonic()
        uploader = ScriptedUploader(script, takes_s, clock=lambda: time.monotonic() - t0)
        desk = WorkerContext(
            plan, client, uploader.clock, deadline_s, JournalWriter(tmp_path, 0), WorkerMetrics([], {"run": "x"}), seed=1
        )  # fmt: skip
        return VirtualUser(desk, 0, uploader), desk, uploader

    return make


def journal(desk, tmp_path):
    desk.flush()
    return read_journal(tmp_path / journal_file_name(0))


def ends(records):
    return [record for record in records if record["kind"] == RecordKind.END]


def metric(desk, name, **labels):
    return desk.telemetry.registry.get_sample_value(name, labels) or 0.0


def test_pages_are_uploaded_one_after_another_each_due_when_the_one_before_was_over(evening, tmp_path):
    run, desk, uploader = evening([A, A, A])
    run.run()
    records = journal(desk, tmp_path)
    assert uploader.asked == [(0, 1), (1, 1), (2, 1)]
    assert [record["kind"] for record in records] == [RecordKind.BEGIN, RecordKind.END] * 3
    finished = ends(records)
    assert finished[0]["due_s"] == 0.0
    assert finished[1]["due_s"] == finished[0]["done_s"]
    assert finished[2]["due_s"] == finished[1]["done_s"]
    assert metric(desk, "harness_stations_completed_total") == 1
    assert uploader.closed == 1


def test_a_failed_page_is_tried_again_after_the_pause_before_the_next_page_begins(evening, tmp_path):
    run, desk, uploader = evening([U, U, A, A, A])
    run.run()
    assert uploader.asked == [(0, 1), (0, 2), (0, 3), (1, 1), (2, 1)]
    finished = ends(journal(desk, tmp_path))
    assert finished[1]["due_s"] == pytest.approx(finished[0]["done_s"] + 0.02)
    assert finished[1]["sent_s"] >= finished[1]["due_s"]
    assert metric(desk, "harness_retries_total", reason="unavailable") == 2


def test_a_page_whose_attempts_are_used_up_is_given_up_and_the_next_one_begins(evening, tmp_path):
    run, desk, uploader = evening([U, A, A], retry='{strategy="none"}')
    run.run()
    records = journal(desk, tmp_path)
    given_up = [record for record in records if record["kind"] == RecordKind.GAVE_UP]
    assert [(record["page"], record["attempt"], record["status"]) for record in given_up] == [
        (0, 1, GiveUpReason.ATTEMPTS_USED_UP)
    ]
    assert uploader.asked == [(0, 1), (1, 1), (2, 1)]
    assert metric(desk, "harness_stations_completed_total") == 0


def test_a_page_rejected_for_good_is_not_tried_again(evening, tmp_path):
    run, desk, uploader = evening([Outcome.REJECTED, A, A])
    run.run()
    assert uploader.asked == [(0, 1), (1, 1), (2, 1)]
    assert [r["status"] for r in journal(desk, tmp_path) if r["kind"] == RecordKind.GAVE_UP] == [
        GiveUpReason.REJECTED_FOR_GOOD
    ]


@pytest.mark.timed
def test_at_the_deadline_no_attempt_starts_and_a_running_one_ends(evening, tmp_path):
    run, desk, uploader = evening([U] * 50, deadline_s=0.15, takes_s=0.04)
    run.run()
    records = journal(desk, tmp_path)
    finished = ends(records)
    assert len(uploader.asked) == len(finished) > 1
    assert max(record["sent_s"] for record in finished) < 0.15
    assert [r["status"] for r in records if r["kind"] == RecordKind.GAVE_UP] == [GiveUpReason.DEADLINE]
    assert {page for page, _ in uploader.asked} == {0}  # the others stay unattempted


def test_a_killed_evening_censors_its_attempt_and_starts_nothing_more(evening, tmp_path):
    run, desk, uploader = evening([A, A, A], takes_s=5.0)
    greenlet = gevent.spawn(run.run)
    gevent.sleep(0.05)
    greenlet.kill()
    finished = ends(journal(desk, tmp_path))
    assert [OUTCOMES[record["outcome"]] for record in finished] == [Outcome.CENSORED]
    assert math.isnan(finished[0]["done_s"])
    assert uploader.closed == 1
    assert metric(desk, "harness_attempts_in_flight") == 0


def test_a_withheld_attempt_leaves_a_row_that_was_not_sent_and_does_not_count_as_an_attempt(evening, tmp_path):
    breaker = '{strategy="circuit_breaker", minimum_calls=2, base="1ms", cap="1ms", open_for="60ms", max_attempts=3}'
    run, desk, uploader = evening([U, U, A, A, A], retry=breaker)
    run.run()
    records = journal(desk, tmp_path)
    finished = ends(records)
    outcomes = [OUTCOMES[record["outcome"]] for record in finished]
    assert outcomes == [U, U, Outcome.WITHHELD, A, A, A]
    assert [int(record["attempt"]) for record in finished] == [1, 2, 3, 4, 1, 1]
    assert uploader.asked == [(0, 1), (0, 2), (0, 3), (1, 1), (2, 1)]  # the third of three: withheld ones don't count
    assert math.isnan(finished[2]["sent_s"])
    assert math.isnan(finished[2]["done_s"])
    assert [record["kind"] for record in records].count(RecordKind.BEGIN) == 5
    assert finished[3]["due_s"] == pytest.approx(finished[1]["done_s"] + 0.06)
    assert metric(desk, "harness_attempts_total", outcome="withheld") == 1
    assert metric(desk, "harness_lateness_seconds_count") == 5
    assert desk.attempts == 6


def test_a_spread_evening_says_that_its_first_attempt_was_held_back(evening, tmp_path):
    run, desk, uploader = evening([A, A, A], retry='{strategy="fixed", spread="100ms"}')
    run.run()
    finished = ends(journal(desk, tmp_path))
    assert [OUTCOMES[record["outcome"]] for record in finished] == [Outcome.WITHHELD, A, A, A]
    assert finished[0]["due_s"] == 0.0  # delivery counts from when the station turned up
    assert 0.0 < finished[1]["due_s"] < 0.11
    assert uploader.asked == [(0, 1), (1, 1), (2, 1)]


def test_a_page_without_a_token_is_given_up_and_says_why(evening, tmp_path):
    bucket = '{strategy="token_bucket", capacity=1.0, base="1ms", cap="1ms"}'
    run, desk, uploader = evening([U, U, U, A], retry=bucket)
    run.run()
    given_up = [record for record in journal(desk, tmp_path) if record["kind"] == RecordKind.GAVE_UP]
    assert [(r["page"], r["attempt"], r["status"]) for r in given_up] == [
        (0, 2, GiveUpReason.WITHHELD),
        (1, 1, GiveUpReason.WITHHELD),
    ]
    assert uploader.asked == [(0, 1), (0, 2), (1, 1), (2, 1)]


def test_a_page_withheld_until_after_the_deadline_is_given_up_at_once(evening, tmp_path):
    breaker = '{strategy="circuit_breaker", minimum_calls=1, open_for="60s", base="1ms", cap="1ms"}'
    run, desk, _ = evening([U], retry=breaker, deadline_s=20.0)
    began = time.monotonic()
    run.run()
    assert time.monotonic() - began < 5
    records = journal(desk, tmp_path)
    assert [r["status"] for r in records if r["kind"] == RecordKind.GAVE_UP] == [GiveUpReason.DEADLINE]
    assert [OUTCOMES[r["outcome"]] for r in ends(records)] == [U, Outcome.WITHHELD]


def test_the_instruments_agree_with_the_journal(evening, tmp_path):
    run, desk, _ = evening([U, A, Outcome.TIMEOUT_RESPONSE, A, A])
    run.run()
    finished = ends(journal(desk, tmp_path))
    assert metric(desk, "harness_attempts_total", outcome="accepted") == 3
    assert metric(desk, "harness_attempts_total", outcome="unavailable") == 1
    assert metric(desk, "harness_pages_delivered_total") == 3
    assert metric(desk, "harness_sent_bytes_total") == 500
    assert metric(desk, "harness_response_seconds_count") == len(finished) == desk.attempts == 5
    total = sum(float(record["done_s"] - record["due_s"]) for record in finished)
    assert metric(desk, "harness_response_seconds_sum") == pytest.approx(total)
