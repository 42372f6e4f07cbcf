"""Scrapes: as they came, whatever came, and readable after a crash."""

import gzip
import http.server
import os
import threading
import tracemalloc

import pytest

from harness.measure.clock_monitor import ClockMonitor
from harness.measure.scraper import Scraper
from harness.run_folder import scrape_log
from harness.run_folder.scrape_log import Scrape


def test_scrapes_come_back_as_they_came(tmp_path):
    kept = [Scrape("server", float(n), f"metric {n}\n" * 1000) for n in range(40)] + [
        Scrape("server", 40.0, "", "refused")
    ]
    for scrape in kept:
        scrape_log.append_scrape(tmp_path, scrape)
    assert list(scrape_log.read_scrapes(tmp_path, "server")) == kept
    assert scrape_log.list_targets(tmp_path) == ["server"]
    assert (tmp_path / "server.gz").stat().st_size < 40 * 11_000 / 20  # compressed


def test_a_small_file_that_stands_for_very_much_is_read_up_to_it(tmp_path):
    scrape_log.append_scrape(tmp_path, Scrape("server", 0.0, "x 1\n"))
    with (tmp_path / "server.gz").open("ab") as file:
        file.write(gzip.compress(bytes(250_000_000), compresslevel=1))
    scrape_log.append_scrape(tmp_path, Scrape("server", 1.0, "x 1\n"))
    tracemalloc.start()
    try:
        assert [scrape.t_s for scrape in scrape_log.read_scrapes(tmp_path, "server")] == [0.0]
        assert tracemalloc.get_traced_memory()[1] < 230_000_000  # a growing buffer may be copied once
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("torn", [1, 7, 20])
def test_a_torn_tail_costs_the_last_scrape_only(tmp_path, torn):
    for number in range(3):
        scrape_log.append_scrape(tmp_path, Scrape("server", float(number), "x 1\n"))
    path = tmp_path / "server.gz"
    os.truncate(path, path.stat().st_size - torn)
    assert [scrape.t_s for scrape in scrape_log.read_scrapes(tmp_path, "server")] == [0.0, 1.0]


def test_a_foreign_tail_ends_the_reading(tmp_path):
    scrape_log.append_scrape(tmp_path, Scrape("server", 0.0, "x 1\n"))
    with (tmp_path / "server.gz").open("ab") as file:
        file.write(b"this is no gzip")
    assert len(list(scrape_log.read_scrapes(tmp_path, "server"))) == 1


class Exporter(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"up 1\n")

    def log_message(self, *_args):
        pass


class Waited(threading.Event):
    """A clock that waiting moves, and the end of the waiting at a time of its own."""

    def __init__(self, until_s):
        super().__init__()
        self.now_s, self._until_s = 0.0, until_s

    def wait(self, timeout=None):
        self.now_s = min(self.now_s + (timeout or 0.0), self._until_s)
        return self.now_s >= self._until_s


@pytest.fixture
def exporter():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_collector_scrapes_every_second_and_once_more_when_told(tmp_path, exporter):
    clock = Waited(until_s=2.5)
    seen: list[Scrape] = []
    collector = Scraper(tmp_path, {"server": exporter}, lambda: clock.now_s, seen.append)
    collector._stopped = clock
    collector.start()
    collector._threads[0].join(60)
    collector.stop()
    collector.take()
    found = list(scrape_log.read_scrapes(tmp_path, "server"))
    assert [(scrape.t_s, scrape.text) for scrape in found] == [(t_s, "up 1\n") for t_s in (0.0, 1.0, 2.0, 2.5)]
    assert seen == found


def test_a_target_that_does_not_answer_is_recorded_and_stops_nothing(tmp_path, exporter):
    collector = Scraper(tmp_path, {"gone": "http://127.0.0.1:1/metrics", "server": exporter}, lambda: 1.0)
    collector.take()
    (gone,) = scrape_log.read_scrapes(tmp_path, "gone")
    assert gone.text == ""
    assert "refused" in gone.error.lower()
    assert [scrape.text for scrape in scrape_log.read_scrapes(tmp_path, "server")] == ["up 1\n"]


def test_an_answer_that_is_an_error_is_recorded_as_such(tmp_path, exporter, monkeypatch):
    monkeypatch.setattr(Exporter, "status", 500)
    Scraper(tmp_path, {"server": exporter}, lambda: 1.0).take()
    assert [scrape.error for scrape in scrape_log.read_scrapes(tmp_path, "server")] == ["HTTP status 500"]


def test_the_clock_watch_finds_a_step_and_its_sign():
    wall, monotonic = [1000.0], [0.0]
    watch = ClockMonitor(lambda: wall[0], lambda: monotonic[0])
    for step in (0.0, 0.0, -3.0, 0.0):
        wall[0] += 1.0 + step
        monotonic[0] += 1.0
        watch.look()
    assert watch.step_s == pytest.approx(-3.0)


def test_a_slow_drift_is_no_step():
    wall, monotonic = [1000.0], [0.0]
    watch = ClockMonitor(lambda: wall[0], lambda: monotonic[0])
    for _ in range(1000):
        wall[0] += 1.0005  # ntpd slews by at most 500 ppm
        monotonic[0] += 1.0
        watch.look()
    assert abs(watch.step_s) < 0.001
