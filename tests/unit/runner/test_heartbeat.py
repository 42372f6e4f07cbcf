"""A worker that lives and answers nothing is told once; one that was only slow, or a harness that slept, is not."""

import pytest

from harness.drive.distributed.join import HEARTBEAT_TIMEOUT_S
from harness.run_folder.scrape_log import Scrape
from harness.runner.heartbeat import HeartbeatMonitor


@pytest.fixture
def told():
    return []


@pytest.fixture
def silent(told):
    return HeartbeatMonitor(["worker-0", "worker-1"], lambda rank, why: told.append((rank, why)))


def heard(silent, target, *at_s):
    for t_s in at_s:
        silent.see(Scrape(target, t_s, "text"))


def unheard(silent, target, *at_s, error="TimeoutError: timed out"):
    for t_s in at_s:
        silent.see(Scrape(target, t_s, "", error))


def test_a_worker_that_answers_nothing_any_more_is_told_once_with_how_long(silent, told):
    heard(silent, "worker-1", 0.0, 1.0)
    unheard(silent, "worker-1", 3.9, 5.9)
    assert told == []
    unheard(silent, "worker-1", 1.0 + HEARTBEAT_TIMEOUT_S, 8.0, 10.0)
    assert told == [(1, "it answered nothing for 5.0 s (TimeoutError: timed out)")]


def test_one_that_has_never_answered_is_silent_from_t0_on(silent, told):
    unheard(silent, "worker-0", 2.0, 4.0, 6.0)
    assert [rank for rank, _ in told] == [0]


def test_one_that_answers_again_in_time_is_not_lost(silent, told):
    unheard(silent, "worker-0", 2.0, 4.0)
    heard(silent, "worker-0", 4.9)
    unheard(silent, "worker-0", 7.0, 9.0)
    assert told == []


def test_a_harness_that_slept_itself_takes_nobody_for_silent(silent, told):
    heard(silent, "worker-0", 1.0)
    unheard(silent, "worker-0", 60.0)
    heard(silent, "worker-0", 60.1)
    assert told == []


@pytest.mark.parametrize("error", ["OSError: [Errno 24] Too many open files", "RuntimeError: can't start new thread"])
def test_what_the_harness_lacks_itself_is_not_a_worker_s_silence(silent, told, error):
    unheard(silent, "worker-0", 2.0, 4.0, 6.0, 8.0, error=error)
    assert told == []


def test_others_that_are_scraped_are_none_of_its_business(silent, told):
    unheard(silent, "server", 2.0, 4.0, 6.0, 8.0)
    unheard(silent, "worker-2", 2.0, 4.0, 6.0, 8.0)  # on another machine
    assert told == []
