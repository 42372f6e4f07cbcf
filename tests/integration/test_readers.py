"""Readers over real sockets: against the mock, against servers that hang, and in a whole run."""

import socket
import time
from contextlib import contextmanager
from itertools import takewhile

import gevent
import numpy as np
import pytest
from gevent.event import Event

from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode
from harness.base.model import OUTCOMES
from harness.drive.client.connection import Endpoint
from harness.drive.greenlet_pool import GreenletPool
from harness.drive.readers import ReaderDriver
from harness.plan import make_plan
from harness.plan.readers import draw_reads
from harness.run_folder.journal import JournalWriter, RecordKind, journal_file_name, read_journal
from harness.run_folder.layout import RunFolder
from harness.scenario.loader import load_scenario
from harness.scenario.readers import ReaderOptions
from tests.support.mock_process import process
from tests.support.real_runs import REPORT, TINY, assert_passed_or_late, harness, run_to_end
from tests.support.upload_driver import target_of

STATIONS = make_plan(load_scenario("smoke", ["photos.size=2KB", "photos.bank=1"])).stations


def due(options):
    """The reads of the first half second."""
    return list(takewhile(lambda read: read.due_s < 0.5, draw_reads(options, STATIONS, 1)))


class NotedJournal(JournalWriter):
    """Says when its first read has been written."""

    def __init__(self, folder, worker):
        super().__init__(folder, worker)
        self.has_read = Event()

    def read(self, result):
        super().read(result)
        self.has_read.set()


class Driven:
    """Readers in this process, and their records."""

    def __init__(self, target, folder, *, first_alone=False, **keys):
        options = ReaderOptions.model_validate({"rate": "200/s", **keys})
        self.journal = NotedJournal(folder, 0)
        self.path = folder / journal_file_name(0)
        self.broken: list[int] = []
        self.began = time.monotonic()
        self.due = due(options)
        reads = self.first_and_then_the_others() if first_alone else iter(self.due)
        self.readers = ReaderDriver(
            options, reads, target, self.clock, 60.0, self.journal, on_error=lambda: self.broken.append(1)
        )

    def clock(self):
        return time.monotonic() - self.began

    def first_and_then_the_others(self):
        first, *others = self.due
        yield first
        assert self.journal.has_read.wait(60)
        yield from others

    def records(self):
        assert not self.broken
        self.journal.close()
        records = read_journal(self.path)
        assert set(records["kind"]) <= {RecordKind.READ}
        return records


class BusyClock:
    """A clock that stands still while the machine does: 300 ms that it is away would be the whole run."""

    def __init__(self):
        self.now_s, self.looked_s = 0.0, time.monotonic()

    def __call__(self):
        now_s = time.monotonic()
        self.now_s += min(now_s - self.looked_s, 0.01)  # a sleep from a read to the next takes 5 ms
        self.looked_s = now_s
        return self.now_s


def outcomes(records):
    return {str(OUTCOMES[number]) for number in records["outcome"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with process(tmp_path_factory.mktemp("server"), public_cache="1h") as running:
        running.ask("GET", "/pemilu/hhcw/ppwp.json")
        yield running


@contextmanager
def silent():
    """A port that accepts connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield Endpoint(socket.AF_INET, listening.getsockname(), "x")


def test_every_read_that_is_due_is_made_and_recorded(server, tmp_path):
    driven = Driven(target_of(server.ready), tmp_path, levels=["nation"])
    driven.readers.start()
    driven.readers.join()
    records = driven.records()
    assert np.sort(records["due_s"]).tolist() == [read.due_s for read in driven.due]
    assert outcomes(records) == {"accepted"}
    assert set(records["status"]) == {200}
    assert (records["sent_s"] >= records["due_s"]).all()
    assert (records["done_s"] > records["sent_s"]).all()


def test_no_read_begins_after_the_deadline(server, tmp_path):
    options = ReaderOptions.model_validate({"rate": "200/s"})
    driven = Driven(target_of(server.ready), tmp_path)
    endless = draw_reads(options, STATIONS, 1)
    readers = ReaderDriver(options, endless, target_of(server.ready), BusyClock(), 0.3, driven.journal)
    readers.start()
    readers.join()
    records = driven.records()
    assert 20 < len(records) <= sum(read.due_s < 0.3 for read in driven.due)
    assert records["sent_s"].max() < 0.35
    assert readers.until_s == 0.3


def test_a_path_that_was_read_before_is_revalidated(server, tmp_path):
    driven = Driven(target_of(server.ready), tmp_path, first_alone=True, levels=["nation"], conditional=True)
    driven.readers.start()
    driven.readers.join()
    records = driven.records()
    assert outcomes(records) == {"accepted"}
    assert records["status"].tolist() == [200, *[304] * (len(driven.due) - 1)]


def test_a_place_that_is_not_published_is_a_failed_read(server, tmp_path):
    driven = Driven(target_of(server.ready), tmp_path, paths=["/nothing"])
    driven.readers.start()
    driven.readers.join()
    records = driven.records()
    assert (outcomes(records), set(records["status"])) == ({"rejected"}, {404})


def test_readers_come_whatever_the_server_does(tmp_path):
    with silent() as target:
        driven = Driven(target, tmp_path, timeout="300ms")
        driven.readers.start()
        driven.readers.join()
    records = driven.records()
    assert len(records) == len(driven.due)
    assert outcomes(records) == {"timeout_response"}
    # One who waited for the one before would come 300 ms later than that one; a busy machine holds up all, and by less.
    assert np.quantile(records["sent_s"] - records["due_s"], 0.5) < 0.3
    assert (records["done_s"] - records["sent_s"]).min() >= 0.299


def test_a_port_that_is_closed_refuses_readers(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
    driven = Driven(Endpoint(socket.AF_INET, address, "x"), tmp_path)
    driven.readers.start()
    driven.readers.join()
    assert outcomes(driven.records()) == {"refused"}


def test_more_reads_at_once_than_allowed_are_the_generators_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.drive.readers.MAX_READS_IN_FLIGHT", 3)
    with silent() as target:
        driven = Driven(target, tmp_path, timeout="1s")
        driven.readers.start()
        driven.readers.join()
    records = driven.records()
    assert outcomes(records) == {"generator_error", "timeout_response"}
    assert len(records) == len(driven.due)


def test_a_read_that_hangs_delays_the_end_by_a_second_at_most(tmp_path, monkeypatch):
    waits_s: list[float | None] = []
    join = GreenletPool.join

    def noted(pool, timeout_s=None):
        waits_s.append(timeout_s)
        return join(pool, timeout_s)

    monkeypatch.setattr(GreenletPool, "join", noted)

    with silent() as target:
        driven = Driven(target, tmp_path, timeout="1h")
        driven.readers.start()
        gevent.sleep(0.2)
        before_s = driven.clock()
        driven.readers.stop()
        took_s = driven.clock() - before_s
        monkeypatch.undo()
        driven.readers.join()
    assert waits_s == [1.0, None], "a second for reads that end, and then until all are broken off"
    assert 1.0 <= took_s < 60, "the read's own timeout would be an hour"
    assert len(driven.records()) == 0, "broken off: neither answered nor failed"
    assert before_s <= driven.readers.until_s < before_s + took_s - 0.99, (
        "when it was stopped, not when the reads were over"
    )


def test_killed_readers_leave_nothing_behind(tmp_path):
    with silent() as target:
        driven = Driven(target, tmp_path, timeout="1h")
        driven.readers.start()
        gevent.sleep(0.1)
        driven.readers.kill()
        driven.readers.join()
    assert len(driven.records()) == 0


READERS = """
[readers]
rate = "100/s"
"""
HANGING = """
[[faults]]
kind = "timeout"
match = { phase = "public" }
"""


def test_readers_read_as_long_as_any_station_of_any_worker_uploads(tmp_path):
    text = TINY.replace("[server]", READERS + "[server]") + '[[thresholds]]\nassert = "p95(reader_seconds) < 5s"\n'
    folder, code, output = run_to_end(tmp_path, text, "--workers", "2")
    assert_passed_or_late(code, folder.path, output)
    summary = load_summary(folder)
    readers = summary.readers
    assert readers is not None
    ends = [worker.reads_until_s for worker in folder.read_run().workers]
    # Stations arrive for two seconds, the last in one worker only: the readers of both go on to the end.
    assert min(ends) > 1.5
    assert max(ends) - min(ends) < 1.0
    assert readers.planned == pytest.approx(100 * np.mean(ends), rel=0.3)
    assert readers.answered >= 0.9 * readers.planned
    assert summary.attempts.total == summary.pages.planned == 36
    assert "Reads answered" in folder.markdown.read_text("utf-8")


def test_reads_that_hang_make_no_run_invalid_and_delay_no_end(tmp_path):
    text = TINY.replace("[server]", READERS + "[server]") + HANGING
    folder, code, output = run_to_end(tmp_path, text)
    assert_passed_or_late(code, folder.path, output)
    readers = load_summary(folder).readers
    assert readers is not None
    assert readers.answered == 0
    assert readers.unfinished > 100
    ended = folder.read_run().ended
    assert ended is not None
    assert ended.how == "completed"
    assert ended.at_s < 7


def test_paths_of_an_external_target_are_read(server, tmp_path):
    paths = '\npaths = ["/healthz", "/nothing"]\n'
    text = TINY.replace("[server]", READERS.rstrip() + paths + "[server]")
    url = f"http://127.0.0.1:{server.ready['port']}"
    folder, code, output = run_to_end(tmp_path, text, "--target", url)
    assert code == ExitCode.INVALID, output  # what that server stores is unknown
    readers = load_summary(folder).readers
    assert readers is not None
    assert readers.by_outcome.keys() == {"accepted", "rejected"}
    assert readers.answered == pytest.approx(readers.planned / 2, rel=0.4)


def test_the_line_and_the_readers_are_key_figures_of_a_run(tmp_path):
    """Photos of 30 KB over 100 KB/s: eleven seconds' worth in two, of which the deadline lets eight."""
    text = TINY.replace("[server]", READERS + '[server]\ningress = "100KB/s"\negress = "10MB/s"')
    folder, code, output = run_to_end(tmp_path, text, **REPORT)
    assert code in {ExitCode.FAILED, ExitCode.INVALID}, output
    summary = load_summary(folder)
    assert summary.server.ingress_utilisation_max_ratio == pytest.approx(1.0, abs=0.02)
    assert summary.server.egress_utilisation_max_ratio is not None
    assert summary.server.egress_utilisation_max_ratio < 0.5
    assert summary.stations.completed_by_deadline < 12
    page = folder.page.read_text("utf-8")
    assert "Ingress in use" in page
    assert "Response to a reader" in page


def test_readers_of_levels_are_refused_for_an_external_target(tmp_path):
    (tmp_path / "scenario.toml").write_text(TINY.replace("[server]", READERS + "[server]"), "utf-8")
    code, output = harness("run", "scenario.toml", "--target", "http://127.0.0.1:9", cwd=tmp_path)
    assert code == ExitCode.USAGE
    assert "readers.paths" in output
    assert not RunFolder(tmp_path / "run").path.exists()
