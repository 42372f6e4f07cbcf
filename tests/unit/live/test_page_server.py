"""The live page's server, over real sockets: who gets in, what is sent, the button, the report at the end."""

import json
import re
import threading
import time

import aiohttp
import pytest

from harness.base.errors import UsageError
from harness.live.access import WebAddress
from harness.live.feed import Cursor, LiveFeed
from harness.live.page_server import PageServer, report_file
from harness.plan import make_plan
from harness.run_folder.layout import FaultRecord, RunEnd, RunFolder, WorkerRecord
from harness.run_folder.scrape_log import Scrape
from harness.scenario.loader import load_scenario
from reports.live_view import Snapshot
from tests.support import made_up_run

LOOPBACK = WebAddress("127.0.0.1", 0)
PLAN = make_plan(load_scenario("smoke"))


class SilentView:
    def __init__(self):
        self.lines = []

    def log(self, text):
        self.lines.append(text)

    def show(self, snapshot):
        pass


def snapshot(t_s, **more):
    figures = {
        "t_s": t_s, "deadline_s": 10.0, "phase": "clear", "stations_planned": 20, "stations_completed": 2, "pages_planned": 60,
        "pages_delivered": 6, "pages_due": 9, "offered_per_s": 1.0, "goodput_per_s": 2.0, "throughput_per_s": 2.0,
    }  # fmt: skip
    return Snapshot(**{**figures, **more})


def record():
    return made_up_run.record().model_copy(
        update={
            "faults": [FaultRecord(name="hiccup", kind="abort", start_s=2.0, end_s=3.0)],
            "ended": None,
            "deadline_s": 10.0,
        }
    )


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    return folder


@pytest.fixture
def feed(folder):
    return LiveFeed("run", "smoke", folder.path)


def begun(feed, folder, title="smoke"):
    view = feed.view(title, SilentView())
    view.begin(folder, record(), PLAN)
    return view


def events(text):
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line]


async def test_the_page_its_files_and_nothing_else_is_served_with_the_token(feed):
    with PageServer(feed, LOOPBACK, lambda: None) as server:
        async with aiohttp.ClientSession() as http:
            for name, kind, part in (
                ("", "text/html", "live.js"),
                ("live.js", "text/javascript", "EventSource"),
                ("live.css", "text/css", "--paper"),
            ):
                async with http.get(server.url + name) as answer:
                    assert (answer.status, answer.content_type) == (200, kind)
                    assert part in await answer.text()
                    assert answer.headers["Referrer-Policy"] == "no-referrer"
                    assert not re.search("&[a-z]+;", await answer.text()) or not name  # escaped, a rule would not apply
            async with http.get(server.url) as answer:
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            for path in ("run.json", "../run.json", "report/", "logs/generator.log"):
                async with http.get(server.url + path) as answer:
                    assert answer.status in {403, 404}
            base = server.url.rsplit("/", 2)[0]
            for url in (f"{base}/", f"{base}/wrong/", f"{base}/wrong/events", f"{base}/favicon.ico"):
                async with http.get(url) as answer:
                    assert answer.status == 403
            async with http.get(server.url, headers={"Host": "evil.example"}) as answer:
                assert answer.status == 403
        feed.finish(None)


async def test_only_the_page_itself_can_press_stop_and_it_stops_once(feed):
    pressed = []
    with PageServer(feed, LOOPBACK, lambda: pressed.append(threading.current_thread().name)) as server:
        own = {"Origin": server.url.rsplit("/", 2)[0]}
        async with aiohttp.ClientSession() as http:
            for headers in ({}, {"Origin": "http://evil.example"}, {**own, "Sec-Fetch-Site": "cross-site"}):
                async with http.post(server.url + "stop", headers=headers) as answer:
                    assert answer.status == 403
            async with http.get(server.url + "stop") as answer:
                assert answer.status == 404
            assert pressed == []
            for _ in range(2):
                async with http.post(server.url + "stop", headers=own) as answer:
                    assert (answer.status, await answer.json()) == (200, {"stopped": True})
        assert pressed == ["live-page"]
        assert events("data: " + feed.message(Cursor(), None)[0])[0]["lines"] == [
            [None, "Stopped by the button of the live page"]
        ]


async def test_a_browser_is_sent_what_is_new_and_at_the_end_where_the_report_is(feed, folder):
    server = PageServer(feed, LOOPBACK, lambda: None)
    server.__enter__()
    view = begun(feed, folder)
    view.log("Starting")
    view.show(snapshot(1.0))
    async with aiohttp.ClientSession() as http, http.get(server.url + "events") as answer:
        first = json.loads((await answer.content.readuntil(b"\n\n"))[6:])
        assert first["about"]["deadline_s"] == 10.0
        assert first["lines"] == [[None, "Starting"]]
        assert first["state"]["now"]["pages_delivered"] == 6
        assert first["state"]["faults"][0]["state"] == "to come"
        assert first["report"] == ""
        view.show(snapshot(2.5, phase="hiccup"))
        second = json.loads((await answer.content.readuntil(b"\n\n"))[6:])
        while second["state"]["t_s"] < 2:
            second = json.loads((await answer.content.readuntil(b"\n\n"))[6:])
        assert "about" not in second
        assert second["lines"] == [[2.5, "Fault hiccup (abort) begins"]]
        assert second["state"]["faults"][0]["state"] == "active"
        folder.page.write_text("<!DOCTYPE html><title>done</title>", "utf-8")
        view.end(RunEnd(how="completed", at_s=3.0))
        feed.finish(folder.page)
        rest = ""
        closing = threading.Thread(target=server.__exit__, args=(None, None, None))
        closing.start()
        while not answer.content.at_eof():
            rest += (await answer.content.readany()).decode()
        assert events(rest)[-1]["report"] == "report/index.html"
        assert closing.is_alive()  # until the browser has fetched it
        async with http.get(server.url + "report/index.html") as report:
            assert "done" in await report.text()
            assert "connect-src" not in report.headers["Content-Security-Policy"]
            assert report.headers["Content-Security-Policy"].startswith("default-src 'none'")
    closing.join(20)
    assert not closing.is_alive()
    assert not server._thread.is_alive()


def test_while_nobody_watches_nothing_is_computed(feed, folder, monkeypatch):
    computed = []
    monkeypatch.setattr(LiveFeed, "state", lambda _: computed.append(1))
    with PageServer(feed, LOOPBACK, lambda: None):
        view = begun(feed, folder)
        view.show(snapshot(1.0))
        time.sleep(1.5)  # more than one tick
    assert computed == []


def test_an_address_that_is_taken_is_an_error_of_usage(feed):
    with PageServer(feed, LOOPBACK, lambda: None) as server:
        taken = WebAddress("127.0.0.1", int(server.url.split(":")[2].split("/")[0]))
        with pytest.raises(UsageError, match="not available"), PageServer(feed, taken, lambda: None):
            pass


def test_only_files_of_reports_are_served(tmp_path):
    (tmp_path / "runs" / "a, seed 1" / "report").mkdir(parents=True)
    page = tmp_path / "runs" / "a, seed 1" / "report" / "index.html"
    page.write_text("x")
    (tmp_path / "run.json").write_text("secret")
    (tmp_path / "report").symlink_to(tmp_path)
    assert report_file(tmp_path, "runs/a, seed 1/report/index.html") == page
    for path in (
        "run.json",
        "report/run.json",
        "report/../run.json",
        "runs/../report/index.html",
        "/etc/passwd",
        "runs/a, seed 1/report/missing.html",
        "report/%2e%2e/run.json",
    ):
        assert report_file(tmp_path, path) is None, path


def test_the_runs_of_an_experiment_follow_each_other_with_their_verdicts(tmp_path):
    feed = LiveFeed("experiment", "which is best?", tmp_path, planned=2)
    feed.note("cell 1 of 2: first, seed 1")
    cursor = Cursor()
    for number in (1, 2):
        folder = RunFolder(tmp_path / "runs" / f"first-{number}")
        folder.create()
        view = begun(feed, folder, f"first, seed {number}")
        view.show(snapshot(1.0))
        text, cursor = feed.message(cursor, feed.state())
        found = json.loads(text)
        assert found["about"]["run_title"] == f"first, seed {number}"
        folder.verdict.write_text(made_up_run.verdict("fail").model_dump_json(by_alias=True), "utf-8")
        folder.page.write_text("x")
    assert found["known"] == "cell 1 of 2: first, seed 1"
    assert found["runs"] == [{"title": "first, seed 1", "verdict": "fail", "link": "runs/first-1/report/index.html"}]
    text, _ = feed.message(cursor, feed.state())
    assert "about" not in json.loads(text)
    assert json.loads(text)["lines"] == []


def test_a_run_that_begins_between_a_state_and_its_message_is_described_in_the_next(feed, folder):
    state = feed.state()
    view = begun(feed, folder)
    view.show(snapshot(1.0))
    text, cursor = feed.message(Cursor(), state)
    assert (json.loads(text)["run"], "about" in json.loads(text)) == (0, False)
    text, _ = feed.message(cursor, feed.state())
    assert (json.loads(text)["run"], "about" in json.loads(text)) == (1, True)


def test_the_state_of_the_run_before_is_not_shown_as_that_of_the_next(tmp_path):
    feed = LiveFeed("experiment", "x", tmp_path)
    first, second = RunFolder(tmp_path / "runs" / "1"), RunFolder(tmp_path / "runs" / "2")
    for one in (first, second):
        one.create()
    begun(feed, first).show(snapshot(9.0))
    _, cursor = feed.message(Cursor(), feed.state())
    late = feed.state()
    begun(feed, second, "second")
    text, cursor = feed.message(cursor, late)
    assert "state" not in json.loads(text)
    text, _ = feed.message(cursor, feed.state())
    assert json.loads(text)["about"]["run_title"] == "second"


def test_of_remote_workers_the_scrapes_alone_are_known_until_the_end(feed, folder):
    view = feed.view("smoke", SilentView())
    thresholds = [{"assert": "stations.completed_by_deadline_ratio >= 95%"}, {"assert": "p95(delivery_seconds) < 1s"}]
    remote = record().model_copy(
        update={
            "workers": [WorkerRecord(rank=0, host="other")],
            "scenario": {**record().scenario, "thresholds": thresholds},
        }
    )
    view.begin(folder, remote, PLAN)
    view.show(snapshot(4.0))
    state = feed.state()
    assert state is not None
    assert [(one["state"], one["observed"]) for one in state["thresholds"]] == [("pending", "10 %"), ("at_end", None)]
    assert state["groups"]["known"] is False


def test_a_malformed_scrape_changes_nothing(feed, folder):
    view = begun(feed, folder)
    view.add(Scrape("worker-0", 1.0, "process_cpu_seconds_total 1.2.3\n"))
    view.show(snapshot(1.0))
    assert feed.state() is not None


def test_a_terminal_shows_what_it_did_before(feed, folder):
    inner = SilentView()
    view = feed.view("smoke", inner)
    view.log("Starting")
    view.begin(folder, record(), PLAN)
    view.add(Scrape("worker-0", 1.0, "harness_pages_due_total 3.0\n"))
    view.show(snapshot(1.0))
    assert inner.lines == ["Starting"]


def test_a_log_of_hours_is_bounded(feed):
    for number in range(2_000):
        feed.log(f"line {number}")
    text, cursor = feed.message(Cursor(), None)
    lines = json.loads(text)["lines"]
    assert len(lines) == 500
    assert lines[-1] == [None, "line 1999"]
    assert cursor.lines == 2_000
    feed.log("one more")
    assert json.loads(feed.message(cursor, None)[0])["lines"] == [[None, "one more"]]
