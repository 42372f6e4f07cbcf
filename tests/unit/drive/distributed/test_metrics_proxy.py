"""A worker's metrics, scraped on its leader's loopback."""

import threading
import urllib.error
import urllib.request

import gevent
import pytest

from harness.drive.distributed import metrics_proxy
from harness.drive.distributed.metrics_proxy import MetricsProxy


def scrape(port, path="/metrics"):
    """Status and body, asked from a thread while our loop goes on."""
    answers: list[tuple[int, bytes]] = []

    def ask():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                answers.append((answer.status, answer.read()))
        except urllib.error.HTTPError as error:
            answers.append((error.code, error.read()))

    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        gevent.sleep(0.01)
    return answers[0]


def test_a_scrape_shows_what_the_worker_answers_to_it_and_not_to_an_earlier_one():
    asked: list[int] = []
    proxy = MetricsProxy(asked.append)
    port = proxy.start(0)

    def answer():
        gevent.sleep(0.05)
        proxy.deliver(99, b"of another")
        proxy.deliver(asked[-1], b"up 1\n")

    answering = gevent.spawn(answer)
    assert scrape(port) == (200, b"up 1\n")
    answering.get()
    assert asked == [1]


def test_a_worker_that_does_not_answer_is_a_scrape_that_failed(monkeypatch):
    monkeypatch.setattr(metrics_proxy, "_TIMEOUT_S", 0.05)
    proxy = MetricsProxy(lambda _: None)
    port = proxy.start(0)
    assert scrape(port) == (504, b"the worker did not answer\n")
    proxy.deliver(1, b"too late")
    assert scrape(port, "/elsewhere")[0] == 404


@pytest.mark.parametrize("answers", [3])
def test_scrapes_side_by_side_get_each_their_own_answer(answers):
    proxy = MetricsProxy(
        lambda number: gevent.spawn_later(0.02 * (answers - number), proxy.deliver, number, b"%d" % number)
    )
    port = proxy.start(0)
    seen = [gevent.spawn(scrape, port) for _ in range(answers)]
    assert sorted(one.get()[1] for one in seen) == [b"1", b"2", b"3"]
