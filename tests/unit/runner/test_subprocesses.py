"""Processes of a run: what they send, and their end."""

from __future__ import annotations

import os
import sys
import time

import pytest

from harness.base.errors import ProcessFailedError
from harness.runner.subprocesses import Message, ProcessGroup


def start_sender(processes, name, *lines, then="import sys; sys.stdin.read()"):
    """A process that prints these lines and then waits until its stdin ends."""
    text = f"for line in {list(lines)!r}: print(line, flush=True)\n{then}"
    return processes.start(name, [sys.executable, "-c", text], os.environ)


@pytest.fixture
def processes(tmp_path):
    with ProcessGroup(tmp_path) as made:
        yield made


def test_messages_of_others_stay_in_the_inbox_while_one_is_awaited(processes):
    processes.inbox.put(Message("harness", "signal", {"number": 2}))
    start_sender(processes, "one", '{"event": "early"}', '{"event": "ready", "port": 7}')
    assert processes.receive("one", "ready", 30)["port"] == 7
    left = [processes.next(1.0), processes.next(1.0)]
    assert [message.event for message in left if message] == ["signal", "early"]


def test_processes_that_start_beside_each_other_may_be_ready_in_any_order(processes):
    start_sender(processes, "one", '{"event": "listening", "port": 1}', '{"event": "ready", "port": 2}')
    assert processes.expect("one", "ready", 30)["port"] == 2
    assert processes.expect("one", "listening", 30)["port"] == 1
    with pytest.raises(ProcessFailedError, match="did not send “listening”"):
        processes.expect("one", "listening", 0.05)


def test_what_came_before_an_expected_event_reaches_its_listener_once_and_in_order(processes):
    start_sender(processes, "one", '{"event": "a"}', '{"event": "b"}', '{"event": "ready"}', '{"event": "joined"}')
    processes.expect("one", "ready", 30)
    others: list[Message] = []
    processes.expect("one", "joined", 30, others.append)
    assert [message.event for message in others] == ["a", "b"]
    processes.post("done")
    processes.expect("harness", "done", 30, others.append)
    assert len(others) == 2


def test_a_process_that_ends_instead_of_sending_is_an_error_with_the_end_of_its_log(processes):
    start_sender(processes, "one", "no such luck", then="raise SystemExit(5)")
    with pytest.raises(ProcessFailedError, match=r"one ended with exit code 5(.|\n)*no such luck"):
        processes.receive("one", "ready", 30)


def test_a_process_that_sends_nothing_in_time_is_an_error(processes):
    start_sender(processes, "one")
    with pytest.raises(ProcessFailedError, match=r"did not send “ready” within 0\.05 s"):
        processes.receive("one", "ready", 0.05)


def test_a_killed_process_ends_at_once_with_what_it_started(processes):
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); sys.stdin.read()"
    child = start_sender(processes, "one", then=code)
    until = time.monotonic() + 30
    while not child.tail() and time.monotonic() < until:
        time.sleep(0.02)
    grandchild = int(child.tail())
    child.kill()
    assert (child.exit_code, child.killed) == (-9, True)
    while time.monotonic() < until and is_alive(grandchild):
        time.sleep(0.02)
    assert not is_alive(grandchild)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_all_processes_of_a_prefix_are_stopped_and_the_others_go_on(processes):
    for name in ("worker-0", "worker-1", "server"):
        start_sender(processes, name)
    processes.stop_all("generator", "worker-")
    assert [processes[name].exit_code is None for name in ("worker-0", "worker-1", "server")] == [False, False, True]
    assert [processes[name].killed for name in ("worker-0", "worker-1", "server")] == [True, True, False]
