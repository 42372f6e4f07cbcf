"""The master's side of other machines' workers, with messages of our own and a clock that we move."""

import errno
import os
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from harness import __version__
from harness.drive.distributed import leader_session
from harness.drive.distributed.join import HEARTBEAT_TIMEOUT_S, PROTOCOL_VERSION, JoinRequest
from harness.drive.distributed.leader_session import JournalReceiver, LeaderSession
from harness.run_folder.journal import journal_file_name
from tests.support import leak_check


class Post:
    """Locust's runner, as far as the session knows it."""

    def __init__(self):
        self.listeners, self.sent = {}, []

    def register_message(self, kind, listener):
        self.listeners[kind] = listener

    def send_message(self, kind, data, client_id=None):
        self.sent.append((client_id, kind, data))

    def hear(self, kind, data, node_id="line"):
        self.listeners[kind](SimpleNamespace(data=data, node_id=node_id))

    def said_to(self, client):
        return [(kind, data) for to, kind, data in self.sent if to == client]


class Scene:
    """A leader session for two workers, and the events that the parent receives."""

    def __init__(self, folder, timeout_s=60.0):
        self.now, self.post = 0.0, Post()
        self.told: list[tuple[str, dict[str, Any]]] = []
        environment = {"HARNESS_REMOTE_WORKERS": "2", "HARNESS_JOIN_TIMEOUT": repr(timeout_s)}
        self.session = LeaderSession(
            self.post, folder, environment, lambda event, **more: self.told.append((event, more)), lambda: self.now
        )

    def join(self, name, **more):
        facts = {
            "package": __version__,
            "protocol": PROTOCOL_VERSION,
            "cores": 2,
            "limits": {},
            "offset_s": 5.0,
            "wall_offset_s": 0.01,
        }
        self.post.hear("join", JoinRequest(**{"name": name, "uncertainty_s": 0.001, **facts, **more}).to_message(), f"line-{name}")  # fmt: skip

    def seat(self):
        """B as worker 0, c as worker 1: the other way round than they came."""
        self.join("c")
        self.join("b")
        self.session.assign_ranks(["locust-b", "locust-c"], {"locust-c": 0, "locust-b": 1})

    def heard(self, event):
        return [more for told, more in self.told if told == event]


@pytest.fixture(autouse=True)
def _its_greenlets_end():
    """Else they would go on in other tests: a session lives as long as its process."""
    yield
    leak_check.end_greenlets()


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def test_the_first_two_are_accepted_and_a_third_is_rejected(scene):
    for name in "bcd":
        scene.join(name)
    assert scene.post.said_to("line-b") == [("welcome", 0)]
    assert scene.post.said_to("line-c") == [("welcome", 1)]
    assert scene.post.said_to("line-d") == [("refused", "the run already has all the workers that it needs")]
    assert [it["name"] for it in scene.heard("join_accepted")] == ["b", "c"]


def test_the_place_of_a_worker_that_left_before_the_run_is_free_again(scene):
    scene.join("b")
    scene.post.hear("gone", {"ticket": 0, "reason": "stopped", "event": "failed"})
    scene.join("c")
    scene.join("d")
    assert [kind for kind, _ in scene.post.said_to("line-d")] == ["welcome"]
    assert scene.heard("join_rejected") == [{"name": "b", "reason": "stopped"}]


def test_if_too_few_come_in_time_everybody_is_told_who_was_there_and_who_was_refused(tmp_path):
    scene = Scene(tmp_path, timeout_s=0.05)
    scene.join("b")
    scene.join("c", protocol=PROTOCOL_VERSION + 1)
    gevent.sleep(0.4)
    (told,) = scene.heard("refused")
    assert told["reason"].startswith("1 of 2 workers joined within 0.05 s (b); rejected: c: it has upload-harness")
    assert ("over", told["reason"]) in scene.post.said_to("line-b")


def test_ranks_follow_the_tickets_and_tell_each_ones_machine_and_clock(scene):
    scene.seat()
    (joined,) = scene.heard("joined")
    assert [(it["rank"], it["host"]) for it in joined["workers"]] == [(0, "b"), (1, "c")]
    assert joined["workers"][0]["clock_offset_s"] == 5.0


def test_who_asks_the_time_hears_both_clocks_beside_its_own_question(scene):
    scene.now = 42.0
    scene.post.hear("time", {"sent_s": 1.0, "sent_wall_s": 2.0})
    (kind, answer), *_ = scene.post.said_to("line")
    assert (kind, answer["theirs_s"], answer["sent_s"]) == ("time", 42.0, 1.0)


@pytest.mark.parametrize("event", ["refused", "failed", "starved"])
def test_one_that_can_not_begin_ends_it_for_all_before_the_run(scene, event):
    scene.seat()
    scene.post.hear("gone", {"ticket": 1, "reason": "why", "event": event})
    assert scene.heard(event) == [{"reason": "worker 0 on b: why"}]
    assert scene.post.said_to("line-c")[-1] == ("over", "worker 0 on b: why")


def test_one_that_dies_in_the_run_is_lost_at_once_and_only_once(scene):
    scene.seat()
    scene.session.start()
    for _ in range(2):
        scene.post.hear("gone", {"ticket": 0, "reason": "killed", "event": "failed"})
    assert scene.heard("lost") == [{"rank": 1, "host": "c", "reason": "killed"}]


def test_one_that_falls_silent_is_lost_and_one_that_speaks_is_not(scene, monkeypatch):
    monkeypatch.setattr(leader_session, "_POLL_S", 0.005)
    scene.seat()
    scene.session.start()
    for _ in range(5):
        scene.now += HEARTBEAT_TIMEOUT_S / 4
        scene.post.hear("worker_heartbeat", 1)
        gevent.sleep(0.02)
    assert scene.heard("lost") == [
        {"rank": 0, "host": "b", "reason": f"nothing was received from it for {HEARTBEAT_TIMEOUT_S:g} s"}
    ]


def test_a_master_that_slept_itself_takes_nobody_for_silent_and_listens_on(scene, monkeypatch):
    monkeypatch.setattr(leader_session, "_POLL_S", 0.005)
    scene.seat()
    scene.session.start()
    gevent.sleep(0.02)
    scene.now += 10 * HEARTBEAT_TIMEOUT_S  # nothing was read meanwhile, whatever was said
    gevent.sleep(0.02)
    assert scene.heard("lost") == []
    for _ in range(5):
        scene.now += HEARTBEAT_TIMEOUT_S / 4
        scene.post.hear("worker_heartbeat", 1)
        gevent.sleep(0.02)
    assert [told["rank"] for told in scene.heard("lost")] == [0]


def test_one_that_has_finished_may_go(scene):
    scene.seat()
    scene.session.start()
    scene.session.complete_account({"rank": 1, "unwritten": "", "rows_bytes": 0})
    scene.post.hear("gone", {"ticket": 0, "reason": "over", "event": "failed"})
    assert scene.heard("lost") == []


def test_rows_are_written_down_and_acknowledged(scene, tmp_path):
    scene.seat()
    scene.post.hear("rows", {"rank": 0, "at": 0, "rows": b"abc"}, "locust-b")
    assert (tmp_path / journal_file_name(0)).read_bytes() == b"abc"
    assert scene.post.said_to("locust-b") == [("rows_written", "")]
    account = scene.session.complete_account({"rank": 0, "unwritten": "", "rows_bytes": 3})
    assert (account["unwritten"], account["host"]) == ("", "b")
    assert scene.heard("unwritten") == []


def test_rows_that_never_came_are_counted_and_told(scene):
    scene.seat()
    scene.post.hear("rows", {"rank": 0, "at": 0, "rows": b"abc"})
    account = scene.session.complete_account({"rank": 0, "unwritten": "", "rows_bytes": 10})
    assert account["unwritten"] == "7 bytes of its rows were not received"
    assert scene.heard("unwritten") == [{"rank": 0, "reason": "7 bytes of its rows were not received"}]


def test_the_clocks_of_the_last_comparison_tell_the_drift(scene):
    scene.seat()
    scene.post.hear("clock", {"ticket": 1, "offset": {"monotonic_s": 5.1, "wall_s": 0.1, "uncertainty_s": 0.002}})
    account = scene.session.complete_account({"rank": 0, "unwritten": "", "rows_bytes": 0})
    assert account["clock_drift_s"] == pytest.approx(0.097)


# --- journals


def test_chunks_of_several_workers_become_each_ones_journal(tmp_path):
    receiver = JournalReceiver(tmp_path)
    assert [receiver.append(0, 0, b"ab"), receiver.append(1, 0, b"x"), receiver.append(0, 2, b"cd")] == ["", "", ""]
    assert [(tmp_path / journal_file_name(rank)).read_bytes() for rank in (0, 1)] == [b"abcd", b"x"]
    assert [receiver.received(rank) for rank in (0, 1, 2)] == [4, 1, 0]


@pytest.mark.parametrize("at", [3, 1, 0])
def test_a_chunk_that_does_not_join_the_last_one_is_not_written(tmp_path, at):
    receiver = JournalReceiver(tmp_path)
    receiver.append(0, 0, b"ab")
    assert "rows were lost in transit" in receiver.append(0, at, b"cd")
    assert (tmp_path / journal_file_name(0)).read_bytes() == b"ab"


def test_a_full_disk_is_told_to_every_worker_from_then_on(tmp_path, monkeypatch):
    receiver = JournalReceiver(tmp_path)
    receiver.append(0, 0, b"ab")

    def full(_descriptor, _data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        assert receiver.append(0, 2, b"cd") == "No space left on device"
    assert receiver.append(1, 0, b"x") == "No space left on device"
    assert (receiver.received(0), receiver.unwritten) == (2, "No space left on device")


def test_what_the_kernel_takes_only_a_part_of_is_written_in_parts(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:3])))
    receiver = JournalReceiver(tmp_path)
    assert receiver.append(0, 0, b"abcdefgh") == ""
    assert (tmp_path / journal_file_name(0)).read_bytes() == b"abcdefgh"
