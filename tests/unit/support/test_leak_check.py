"""A test that leaves something in its process is found out, for it would strike the tests that come after it."""

import gc
import os
import subprocess
import sys
import threading

import gevent
import pytest

from harness.drive.client.uploader import TimeoutQueue
from tests.support import leak_check


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch):
    monkeypatch.setattr(leak_check, "GRACE_S", 0.05)


def test_a_test_that_clears_up_leaves_nothing():
    before = leak_check.Before()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    gevent.spawn(gevent.sleep, 0.01).join()
    TimeoutQueue(30.0).start().cancel()
    assert before.left() == []


def test_an_attempt_timeout_that_was_not_cancelled_is_found_and_never_fires():
    before, timeouts = leak_check.Before(), TimeoutQueue(0.02)
    timeouts.start()
    assert before.left() == ["an attempt timeout that was not cancelled"]
    gevent.sleep(0.1)


@pytest.mark.heavy
def test_a_greenlet_that_still_waits_is_found_and_ended():
    before = leak_check.Before()
    greenlet = gevent.spawn(gevent.sleep, 60)
    (told,) = before.left()
    assert told.startswith("the greenlet ")
    assert greenlet.ready()


def test_objects_that_stay_frozen_are_found():
    before = leak_check.Before()
    gc.freeze()
    left = before.left()
    gc.unfreeze()
    assert left == ["another garbage collector"]
    assert before.left() == []


def test_a_thread_that_still_runs_is_found_by_its_name():
    before, over = leak_check.Before(), threading.Event()
    thread = threading.Thread(target=over.wait, name="forgotten")
    thread.start()
    assert before.left() == ["the thread forgotten"]
    over.set()
    thread.join()


def test_a_child_that_still_lives_or_was_not_waited_for_is_found():
    before = leak_check.Before()
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    assert before.left() == ["a child process"]
    child.wait()


def test_what_holds_for_the_whole_process_must_be_as_it_was(tmp_path, monkeypatch):
    before = leak_check.Before()
    with monkeypatch.context() as patch:
        patch.setenv("LEFT_BEHIND", "1")
        patch.chdir(tmp_path)
        patch.syspath_prepend(tmp_path)
        assert before.left() == ["another environment", "another current folder", "another sys.path"]
    assert before.left() == []
    assert "LEFT_BEHIND" not in os.environ
