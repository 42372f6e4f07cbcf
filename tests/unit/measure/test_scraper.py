"""The scraper: once a second, whatever a target does."""

import http.server
import threading

import pytest

from harness.measure.scraper import Scraper
from harness.run_folder import scrape_log
from harness.run_folder.scrape_log import Scrape


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


def test_the_scraper_scrapes_every_second_and_once_more_on_request(tmp_path, exporter):
    clock = Waited(until_s=2.5)
    seen: list[Scrape] = []
    scraper = Scraper(tmp_path, {"server": exporter}, lambda: clock.now_s, seen.append)
    scraper._stopped = clock
    scraper.start()
    scraper._threads[0].join(60)
    scraper.stop()
    scraper.scrape_now()
    found = list(scrape_log.read_scrapes(tmp_path, "server"))
    assert [(scrape.t_s, scrape.text) for scrape in found] == [(t_s, "up 1\n") for t_s in (0.0, 1.0, 2.0, 2.5)]
    assert seen == found


def test_a_target_that_does_not_answer_is_recorded_and_stops_nothing(tmp_path, exporter):
    scraper = Scraper(tmp_path, {"gone": "http://127.0.0.1:1/metrics", "server": exporter}, lambda: 1.0)
    scraper.scrape_now()
    (gone,) = scrape_log.read_scrapes(tmp_path, "gone")
    assert gone.text == ""
    assert "refused" in gone.error.lower()
    assert [scrape.text for scrape in scrape_log.read_scrapes(tmp_path, "server")] == ["up 1\n"]


def test_an_error_response_is_recorded_as_such(tmp_path, exporter, monkeypatch):
    monkeypatch.setattr(Exporter, "status", 500)
    Scraper(tmp_path, {"server": exporter}, lambda: 1.0).scrape_now()
    assert [scrape.error for scrape in scrape_log.read_scrapes(tmp_path, "server")] == ["HTTP status 500"]
