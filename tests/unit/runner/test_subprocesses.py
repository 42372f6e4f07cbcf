"""Children of a run: what they say, and their end."""

from __future__ import annotations

import os
import sys
import time

import pytest

from harness.base.errors import ProcessFailedError
from harness.runner.subprocesses import Message, ProcessGroup


def speaking(family, name, *lines, then="import sys; sys.stdin.read()"):
    """A child that says these lines and then waits for its end."""
    text = f"for line in {list(lines)!r}: print(line, flush=True)\n{then}"
    return family.start(name, [sys.executable, "-c", text], os.environ)


@pytest.fixture
def family(tmp_path):
    with ProcessGroup(tmp_path) as made:
        yield made


def test_what_others_say_while_one_is_waited_for_is_still_there_afterwards(family):
    family.inbox.put(Message("harness", "signal", {"number": 2}))
    speaking(family, "one", '{"event": "early"}', '{"event": "ready", "port": 7}')
    assert family.hear("one", "ready", 30)["port"] == 7
    left = [family.next(1.0), family.next(1.0)]
    assert [message.event for message in left if message] == ["signal", "early"]


def test_a_child_that_ends_instead_of_speaking_is_an_error_with_the_end_of_its_log(family):
    speaking(family, "one", "no such luck", then="raise SystemExit(5)")
    with pytest.raises(ProcessFailedError, match=r"one ended with exit code 5(.|\n)*no such luck"):
        family.hear("one", "ready", 30)


def test_a_child_that_says_nothing_in_time_is_an_error(family):
    speaking(family, "one")
    with pytest.raises(ProcessFailedError, match=r"did not say “ready” within 0\.05 s"):
        family.hear("one", "ready", 0.05)


def test_a_killed_child_is_gone_at_once_with_what_it_started(family):
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); sys.stdin.read()"
    child = speaking(family, "one", then=code)
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


def test_all_of_a_kind_are_ended_and_the_others_go_on(family):
    for name in ("worker-0", "worker-1", "server"):
        speaking(family, name)
    family.end_all("generator", "worker-")
    assert [family[name].exit_code is None for name in ("worker-0", "worker-1", "server")] == [False, False, True]
    assert [family[name].killed for name in ("worker-0", "worker-1", "server")] == [True, True, False]
