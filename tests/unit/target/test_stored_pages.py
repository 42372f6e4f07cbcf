"""Reading what a server from outside holds: the formats of lists, what fits no page, and what can't be read whole."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.base.address import Origin
from harness.plan import make_plan
from harness.scenario.loader import load_scenario
from harness.scenario.target import StoredCommand, StoredFetch, StoredUrl
from harness.target.listing import StoreUnreadableError
from harness.target.stored_pages import (
    StoreClient,
    fetch_planned_pages,
    read_listing,
    run_listing_command,
)

NAME = "/{station}/{form}/{page}.jpg"


@pytest.fixture(scope="module")
def plan():
    return make_plan(load_scenario("smoke", ["photos.size=2KB", "photos.bank=1", "stations.count=2"]))


@contextlib.contextmanager
def door(answers, sent=None, environment=None, links=None):
    """A server that answers each path with (status, body, Content-Length or None for the true one), and its Link header."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body, length = answers(self.path)
            if sent is not None:
                sent.append((self.path, dict(self.headers)))
            self.send_response(status)
            if links and self.path in links:
                self.send_header("Link", links[self.path])
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code="-", size="-"):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.005])
    thread.start()
    try:
        origin = Origin("http", "photos.example", server.server_port)  # no such name: only the address is used
        yield StoreClient(origin, "127.0.0.1", environment or {}, lambda: None)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def url(**more):
    return StoredUrl.model_validate({"kind": "url", "path": "/stored", "name": NAME, **more})


def rows_of(plan, text, **more):
    with door(lambda _: (200, text.encode(), None)) as way:
        return list(read_listing(url(**more), way, plan))


def test_names_are_split_by_the_template_that_made_them_wherever_they_lie(plan):
    page = plan.page(1)
    text = f"{page.sha256}  /srv/data/{page.station}/ppwp/2.jpg\n{'0' * 64} *x/{page.station}/ppwp/2.jpg.part\n"
    one, other = rows_of(plan, text, format="sha256sum")
    assert (one["station"], one["form"], one["page"], one["sha256"]) == (page.station, "ppwp", 2, page.sha256)
    assert (other["station"], other["form"], other["page"]) == (f"x/{page.station}/ppwp/2.jpg.part", "", 0)
    assert one["reading"] is None  # a file doesn't tell it: nothing is held against it


def test_a_digest_alone_is_the_page_that_has_it_or_nobodys(plan):
    known, unknown = rows_of(plan, f"{plan.page(4).sha256}\n{'f' * 64}\n", format="digests")
    assert (known["station"], known["form"], known["page"]) == plan.key(4)
    assert (unknown["station"], unknown["page"], unknown["sha256"]) == ("", 0, "f" * 64)


def test_an_object_a_line_says_everything_itself(plan):
    text = f'{{"station": "1", "form": "ppwp", "page": 2, "sha256": "{"a" * 64}", "reading": "{{}}", "stored_at": 7}}\n'
    assert rows_of(plan, text, format="json") == [
        {"station": "1", "form": "ppwp", "page": 2, "sha256": "a" * 64, "size_bytes": 0, "reading": "{}", "stored_at": 7.0}
    ]  # fmt: skip


@pytest.mark.parametrize(("form", "text"), [("digests", "abc"), ("digests", "A" * 64), ("sha256sum", "hello world"), ("json", "[1]"), ("json", "{}"), ("json", '{"station": "1"'), ("json", "x" * 70_000), ("json", f'{{"station": 1, "form": 2, "page": 1e400, "sha256": "{"a" * 64}"}}'), ("json", f'{{"station": 1, "form": 2, "page": 2147483648, "sha256": "{"a" * 64}"}}'), ("json", "[" * 50_000)])  # fmt: skip
def test_a_line_that_is_none_of_the_format_leaves_the_store_unread(plan, form, text):
    with pytest.raises(StoreUnreadableError, match="the list"):
        rows_of(plan, text, format=form)


@pytest.mark.parametrize(
    ("status", "length", "why"), [(404, None, "HTTP status 404"), (302, None, "HTTP status 302"), (200, 999, "too early|IncompleteRead|timed out")]
)  # fmt: skip
def test_a_list_that_is_refused_or_torn_leaves_the_store_unread(plan, status, length, why):
    answer = (status, f"{plan.page(0).sha256}\n".encode(), length)
    with door(lambda _: answer) as way, pytest.raises(StoreUnreadableError, match=why):
        list(read_listing(url(format="digests", timeout="2s"), way, plan))


def test_headers_come_from_the_environment_and_the_host_is_the_targets(plan):
    sent: list[tuple[str, dict[str, str]]] = []
    with door(lambda _: (200, b"", None), sent, {"TARGET_KEY": "sesame"}) as way:
        assert list(read_listing(url(headers={"X-Api-Key": "${TARGET_KEY}"}), way, plan)) == []
    ((path, headers),) = sent
    assert (path, headers["X-Api-Key"], headers["Host"]) == ("/stored", "sesame", way.origin.host_header)


def test_fetching_hashes_what_comes_back_and_leaves_out_what_is_not_there(plan):
    content = {
        f"/{plan.key(n).station}/ppwp/{plan.key(n).page}.jpg": b"".join(map(bytes, plan.photo(n))) for n in range(4)
    }
    first = next(iter(content))
    content[first] = b"damaged"
    source = StoredFetch.model_validate({"kind": "fetch", "path": NAME})
    with door(lambda path: (200, content[path], None) if path in content else (404, b"", None)) as way:
        rows = list(fetch_planned_pages(source, way, plan))
    assert [(row["station"], row["form"], row["page"]) for row in rows] == [plan.key(number) for number in range(4)]
    assert [row["sha256"] == plan.page(number).sha256 for number, row in enumerate(rows)] == [False, True, True, True]


@pytest.mark.parametrize("answer", [(500, b"", None), (302, b"", None), (200, b"torn", 99)])
def test_a_page_that_is_neither_there_nor_not_there_leaves_the_store_unread(plan, answer):
    source = StoredFetch.model_validate({"kind": "fetch", "path": NAME, "timeout": "2s"})
    with door(lambda _: answer) as way, pytest.raises(StoreUnreadableError):
        list(fetch_planned_pages(source, way, plan))


def test_a_command_that_fails_is_quoted_with_its_last_line_and_without_values_of_the_environment(plan):
    script = 'echo first >&2; echo "cannot open $0/x" >&2; echo >&2; exit 3'
    source = StoredCommand.model_validate({"kind": "command", "command": ["sh", "-c", script, "${TARGET_ROOT}"]})
    with pytest.raises(StoreUnreadableError) as failed:
        list(run_listing_command(source, {"TARGET_ROOT": "/sesame"}, plan))
    assert str(failed.value) == "the command sh exited with code 3: cannot open ${TARGET_ROOT}/x"


def test_a_command_gets_its_words_as_they_are_and_no_shell_reads_them(plan, tmp_path):
    page = plan.page(0)
    words = ["printf", "%s\\n", f"{page.sha256}  ${{TARGET_ROOT}}/{page.station}/ppwp/1.jpg", "; touch never"]
    source = StoredCommand.model_validate({"kind": "command", "command": words[:3], "name": NAME})
    (row,) = run_listing_command(source, {"TARGET_ROOT": "/data; touch never"}, plan)
    assert (row["station"], row["page"]) == (page.station, 1)
    for command, timeout, why in [
        (["false"], "60s", "exited with code 1"),
        (["/no/such/program"], "60s", "No such file"),
        (["sleep", "9"], "300ms", "too long"),
    ]:
        source = StoredCommand.model_validate({"kind": "command", "command": command, "timeout": timeout})
        with pytest.raises(StoreUnreadableError, match=why):
            list(run_listing_command(source, {}, plan))
