"""The nodes of a Locust run: who gets which assignment, and what the parent process is sent when."""

from types import SimpleNamespace
from typing import Any

import gevent
import numpy as np
import pytest

from harness.base.errors import UsageError
from harness.base.model import OUTCOMES, Outcome
from harness.drive import nodes
from harness.drive.assignment import Assignment
from harness.drive.distributed.join import CLOCK_OFFSET, REMOTE_WORKERS
from harness.drive.nodes import MasterNode, WorkerNode, make_stats_listener
from harness.run_folder.journal import RECORD, RecordKind
from harness.scenario.loader import load_scenario

ASSIGNMENT = Assignment(0, 2, "r", load_scenario("smoke", []), "http://127.0.0.1:1", "127.0.0.1", "/tmp", 0, [], "")  # noqa: S108 - not opened


class Runner:
    """Keeps what is sent and delivers what a test has come in."""

    def __init__(self, clients=()):
        self.clients = dict.fromkeys(clients)
        self.sent: list[tuple[str, Any, str | None]] = []
        self.listeners: dict[str, Any] = {}
        self.quits = 0

    def register_message(self, kind, listener):
        self.listeners[kind] = listener

    def send_message(self, kind, data, client_id=None):
        self.sent.append((kind, data, client_id))

    def deliver(self, kind, data=None, node_id=""):
        self.listeners[kind](environment=None, msg=SimpleNamespace(data=data, node_id=node_id))

    def quit(self):
        self.quits += 1


@pytest.fixture
def events(monkeypatch, tmp_path):
    """Events sent to the parent process, in a run whose workers are local."""
    monkeypatch.setenv("HARNESS_RUN", str(tmp_path))
    for variable in (REMOTE_WORKERS, CLOCK_OFFSET, "HARNESS_WORKER"):
        monkeypatch.delenv(variable, raising=False)
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(nodes, "send_event", lambda event, **content: sent.append({"event": event, **content}))
    return sent


@pytest.fixture
def master(events, monkeypatch):
    def common(builder, *, remote):
        assert not remote
        return ASSIGNMENT

    monkeypatch.setattr("harness.drive.nodes.AssignmentBuilder.common", common)
    monkeypatch.setattr("harness.drive.nodes.RunFolder.read_run", lambda _folder: None)
    node = MasterNode(Runner(["a", "b"]), distributed=True)
    node._runner.deliver("worker_number", 1, "a")
    node._runner.deliver("worker_number", 0, "b")
    assigning = gevent.spawn(node.assign)
    gevent.sleep(0)
    assert node._runner.sent == [], "run.json does not have the target yet"
    node.receive({"event": "target"})
    assigning.join()
    return node


def test_workers_get_their_ranks_in_the_order_of_their_numbers(master):
    assert [(kind, data["rank"], client) for kind, data, client in master._runner.sent] == [
        ("assignment", 0, "b"),
        ("assignment", 1, "a"),
    ]


def test_the_parent_is_told_once_all_are_ready_and_once_all_have_finished(master, events):
    master._runner.deliver("prepared", {"rank": 1, "metrics_port": 5})
    assert events == []
    master._runner.deliver("prepared", {"rank": 0, "metrics_port": 4})
    assert events.pop() == {
        "event": "ready",
        "workers": [{"rank": 0, "metrics_port": 4}, {"rank": 1, "metrics_port": 5}],
    }
    master.receive({"event": "t0", "monotonic": 12.5})
    assert master._runner.sent[-1] == ("t0", {"monotonic": 12.5}, None)
    master._runner.deliver("account", {"rank": 1})
    assert events == []
    master._runner.deliver("account", {"rank": 0})
    assert events == [{"event": "finished", "workers": [{"rank": 0}, {"rank": 1}]}]
    master.receive({"event": "scraped"})
    gevent.sleep(0)
    assert master._runner.quits == 1


def test_the_account_of_a_lost_worker_is_not_waited_for(master, events):
    master._runner.deliver("account", {"rank": 1})
    master.receive({"event": "stop", "lost": 1})
    assert master._runner.sent[-1][0] == "abort"
    assert events == [{"event": "finished", "workers": [{"rank": 1}]}]


def test_readers_stop_once_the_stations_of_every_worker_are_done(master, events):
    master._runner.deliver("stations_done", 1)
    assert master._runner.sent[-1][0] == "assignment", "worker 0 still uploads: the readers of both go on"
    master._runner.deliver("stations_done", 0)
    assert master._runner.sent[-1] == ("stop_readers", None, None)
    assert events == [], "the run goes on until both have sent their accounts"


def test_readers_do_not_wait_for_a_worker_that_was_halted(master):
    master._runner.deliver("stations_done", 1)
    master._runner.deliver("account", {"rank": 0})
    assert master._runner.sent[-1] == ("stop_readers", None, None)


class FakeWorker:
    """A worker that has nothing to send."""

    def __init__(self, _assignment, _on_records):
        self.metrics_port = 9
        self.started: list[float] = []

    def account(self):
        return {"rank": 0, "unwritten": "", "attempts": 0}

    def work(self, t0):
        self.started.append(t0)
        return {"rank": 0, "unwritten": "No space left on device", "attempts": 3}


def worker_node(monkeypatch, worker=FakeWorker):
    monkeypatch.setattr(nodes, "Worker", worker)
    runner = Runner()
    node = WorkerNode(runner, None, lambda *_: None)
    runner.deliver("assignment", ASSIGNMENT.to_message())
    return node, runner


def test_a_worker_prepares_waits_for_t0_and_sends_its_account(events, monkeypatch):
    node, runner = worker_node(monkeypatch)
    working = gevent.spawn(node.work)
    gevent.sleep(0)
    assert [kind for kind, *_ in runner.sent] == ["prepared"]
    assert runner.sent[0][1]["metrics_port"] == 9
    runner.deliver("t0", {"monotonic": 7.0})
    working.get(timeout=5)
    assert node._worker.started == [7.0]
    assert runner.sent[-1][0] == "account"
    assert events == [{"event": "unwritten", "rank": 0, "reason": "No space left on device"}]


def test_a_worker_tells_when_its_stations_are_done_and_stops_its_readers_when_told(events, monkeypatch):
    class Reading(FakeWorker):
        stopped = 0

        def stop_readers(self):
            self.stopped += 1

    node, runner = worker_node(monkeypatch, Reading)
    working = gevent.spawn(node.work)
    gevent.sleep(0)
    node._worker.on_stations_done()
    assert runner.sent[-1] == ("stations_done", 0, None)
    runner.deliver("stop_readers")
    gevent.sleep(0)
    assert node._worker.stopped == 1
    runner.deliver("abort")
    working.get(timeout=5)


def test_a_worker_that_is_aborted_before_t0_sends_nothing_but_its_account(events, monkeypatch):
    node, runner = worker_node(monkeypatch)
    working = gevent.spawn(node.work)
    gevent.sleep(0)
    runner.deliver("abort")
    working.get(timeout=5)
    assert node._worker.started == []
    assert runner.sent[-1][:2] == ("account", {"rank": 0, "unwritten": "", "attempts": 0})


@pytest.mark.parametrize(
    ("error", "event"), [(UsageError("no consent"), "refused"), (OSError(24, "Too many open files"), "starved")]
)
def test_a_worker_that_can_not_prepare_sends_the_reason(error, event, events, monkeypatch):
    def refuse(*_):
        raise error

    node, _ = worker_node(monkeypatch, refuse)
    with pytest.raises(type(error)):
        node.work()
    assert [sent["event"] for sent in events] == [event]


class Entry:
    """What Locust's StatsEntry is for a listener: numbers that another one is added to."""

    def __init__(self, *_):
        self.added: list[Any] = []

    def extend(self, other):
        self.added.append(other)


def test_locust_s_statistics_count_attempts_that_were_sent_and_ended():
    total, named = Entry(), Entry()
    listener = make_stats_listener(SimpleNamespace(total=total, get=lambda *_: named), Entry)
    records = np.zeros(4, dtype=RECORD)
    records["kind"] = [RecordKind.BEGIN, RecordKind.END, RecordKind.END, RecordKind.END]
    records["outcome"] = [
        0,
        OUTCOMES.index(Outcome.ACCEPTED),
        OUTCOMES.index(Outcome.REFUSED),
        OUTCOMES.index(Outcome.WITHHELD),
    ]
    records["sent_s"] = [1.0, 1.0, 2.0, np.nan]
    records["done_s"] = [np.nan, 1.25, 2.002, np.nan]
    listener(records)
    (delta,) = total.added
    assert named.added == [delta]
    assert (delta.num_requests, delta.num_failures) == (2, 1)
    assert delta.response_times == {2: 1, 250: 1}
    assert delta.total_response_time == pytest.approx(252.0)
    assert (delta.min_response_time, delta.max_response_time) == (pytest.approx(2.0), pytest.approx(250.0))


def test_records_without_an_end_leave_locust_s_statistics_alone():
    total = Entry()
    make_stats_listener(SimpleNamespace(total=total), Entry)(np.zeros(2, dtype=RECORD))
    assert total.added == []
