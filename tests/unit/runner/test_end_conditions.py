"""A worker that is alive but does not answer is reported once; one that was only slow, or a harness that was suspended, is not."""

from typing import Any

import pytest

from harness.drive.distributed.join import HEARTBEAT_TIMEOUT_S
from harness.run_folder.scrape_log import Scrape
from harness.runner.end_conditions import EndConditions, HeartbeatMonitor
from harness.runner.subprocesses import Message


@pytest.fixture
def reported():
    return []


@pytest.fixture
def monitor(reported):
    return HeartbeatMonitor(["worker-0", "worker-1"], lambda rank, why: reported.append((rank, why)))


def answered(monitor, target, *at_s):
    for t_s in at_s:
        monitor.add(Scrape(target, t_s, "text"))


def unanswered(monitor, target, *at_s, error="TimeoutError: timed out"):
    for t_s in at_s:
        monitor.add(Scrape(target, t_s, "", error))


def test_a_worker_that_answers_nothing_any_more_is_reported_once_with_the_duration(monitor, reported):
    answered(monitor, "worker-1", 0.0, 1.0)
    unanswered(monitor, "worker-1", 3.9, 5.9)
    assert reported == []
    unanswered(monitor, "worker-1", 1.0 + HEARTBEAT_TIMEOUT_S, 8.0, 10.0)
    assert reported == [(1, "no answer to scrapes for 5.0 s (TimeoutError: timed out)")]


def test_one_that_has_never_answered_counts_as_silent_from_t0_on(monitor, reported):
    unanswered(monitor, "worker-0", 2.0, 4.0, 6.0)
    assert [rank for rank, _ in reported] == [0]


def test_one_that_answers_again_in_time_is_not_lost(monitor, reported):
    unanswered(monitor, "worker-0", 2.0, 4.0)
    answered(monitor, "worker-0", 4.9)
    unanswered(monitor, "worker-0", 7.0, 9.0)
    assert reported == []


def test_a_suspended_harness_reports_no_worker_as_silent(monitor, reported):
    answered(monitor, "worker-0", 1.0)
    unanswered(monitor, "worker-0", 60.0)
    answered(monitor, "worker-0", 60.1)
    assert reported == []


@pytest.mark.parametrize("error", ["OSError: [Errno 24] Too many open files", "RuntimeError: can't start new thread"])
def test_an_error_of_the_harness_itself_is_not_a_worker_s_silence(monitor, reported, error):
    unanswered(monitor, "worker-0", 2.0, 4.0, 6.0, 8.0, error=error)
    assert reported == []


def test_other_targets_are_ignored(monitor, reported):
    unanswered(monitor, "server", 2.0, 4.0, 6.0, 8.0)
    unanswered(monitor, "worker-2", 2.0, 4.0, 6.0, 8.0)  # on another machine
    assert reported == []


def test_a_bug_of_the_own_client_ends_the_run_and_is_reported_as_its_authors_with_the_traceback():
    logged: list[str] = []
    recorder: Any = type("Recorder", (), {"workers": None})()
    nothing: Any = None
    conditions = EndConditions(nothing, recorder, nothing, logged.append, lambda: None)
    reason = "KeyError: 'url'\nTraceback (most recent call last):\n  File \"my_upload.py\", line 3, in attempt"
    ended = conditions.end_after(Message("generator", "own_client_failed", {"rank": 0, "reason": reason}), 4.5)
    assert ended is not None
    assert (ended.how, ended.at_s) == ("own_client", 4.5)
    assert ended.message == f"a bug in the scenario's own client, not in the harness or the server: {reason}"
    assert logged == [f"{ended.message}\nStopping: the run is INVALID"]
