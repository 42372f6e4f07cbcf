"""Reading what a server holds: all of it, or a reason and no file."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import read_stored
from harness.runner.server import NO_STORE_ACCESS, collect_stored, drain
from harness.target.earlier_store import EarlierStore
from harness.target.mock_admin import MockAdmin

ROW = {
    "station": "3509191001001", "form": "ppwp", "page": 1, "sha256": "ab" * 32, "size_bytes": 10, "reading": "", "stored_at": 1.5,
}  # fmt: skip


def line(**changes):
    return json.dumps({**ROW, **changes}).encode() + b"\n"


@pytest.fixture
def answering():
    """Starts a server that answers everything with these bytes after the status line; gives its admin."""
    servers = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.wfile.write(answer)

            do_POST = do_GET  # noqa: N815 - the library's name

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return MockAdmin(server.server_port, "token")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def stored(*pieces, rows, last=b"0\r\n\r\n"):
    """An answer in chunks, as the mock's."""
    head = f"HTTP/1.1 200 OK\r\nStored-Rows: {rows}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + last


def stock(folder, admin, *, exit_code=None):
    spec: Any = SimpleNamespace(
        folder=folder,
        external=None,
        plan=SimpleNamespace(same_bytes=0),
        scenario=SimpleNamespace(audit=SimpleNamespace(kill_server=False, power_cut=False)),
    )
    processes: Any = defaultdict(lambda: SimpleNamespace(exit_code=exit_code))
    return collect_stored(processes, spec, admin)


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.create()
    return made


def test_every_row_that_the_server_holds_is_written(folder, answering):
    found = stock(folder, answering(stored(line(), line(page=2), rows=2)))
    assert (found.reason, found.after_kill) == ("", False)
    columns = read_stored(folder.stored)
    assert columns is not None
    assert columns["page"].tolist() == [1, 2]


def test_an_empty_store_is_read_as_such(folder, answering):
    assert stock(folder, answering(stored(rows=0))).reason == ""
    assert folder.stored.exists()


BAD = [
    (stored(line(), rows=2), "received 1 of 2 rows"),
    (stored(line(), rows=2, last=b""), "received 1 of 2 rows"),
    (stored(line(), line(page=2)[:20], rows=2, last=b""), "JSONDecodeError"),
    (stored(line(), line(), rows=1), "received 2 of 1 rows"),
    (stored(line(), rows="many"), "ValueError"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "no Stored-Rows header"),
    (b"HTTP/1.1 500 Internal\r\nContent-Length: 0\r\n\r\n", "HTTP status 500"),
    (b"no HTTP at all", "BadStatusLine"),
    (b"", "RemoteDisconnected"),
    (stored(b"<html>\n", rows=1), "JSONDecodeError"),
    (stored(line(sha256="ab"), rows=1), "not a stored page"),
    (stored(line(page="1"), rows=1), "not a stored page"),
    (stored(line(page=2**40), rows=1), "not a stored page"),
    (stored(line(size_bytes=True), rows=1), "not a stored page"),
    (stored(b"[1]\n", rows=1), "not a stored page"),
]


@pytest.mark.parametrize(("answer", "reason"), BAD)
def test_an_answer_that_is_not_whole_or_no_stock_list_gives_a_reason_and_no_file(folder, answering, answer, reason):
    found = stock(folder, answering(answer))
    assert found.reason.startswith("GET /stored: ")
    assert reason in found.reason
    assert not folder.stored.exists()


def test_a_server_that_is_gone_gives_a_reason(folder, answering):
    assert "server was killed by SIGKILL" in stock(folder, answering(b""), exit_code=-9).reason
    assert "ConnectionRefusedError" in stock(folder, MockAdmin(9, "token")).reason


def test_a_server_from_outside_that_nobody_knows_how_to_read_gives_a_reason(folder):
    assert stock(folder, None).reason == NO_STORE_ACCESS


def test_what_an_external_store_had_before_the_run_is_left_out_of_what_is_written(folder):
    old, new = ({**ROW, "form": form, "stored_at": None} for form in ("old", "new"))
    external = SimpleNamespace(api=None, has_readable_store=True, unseen=[], stored=lambda *_: iter([old, new]))
    processes: Any = {}
    audit = SimpleNamespace(kill_server=False, power_cut=False)
    spec: Any = SimpleNamespace(
        external=external, folder=folder, plan=SimpleNamespace(same_bytes=0), scenario=SimpleNamespace(audit=audit)
    )
    record = collect_stored(processes, spec, None, earlier=EarlierStore([old]))
    assert record.earlier == 1
    written = read_stored(folder.stored)
    assert written is not None
    assert list(written["form"]) == ["new"]


def test_a_drain_that_fails_or_leaves_work_is_told(answering):
    def answer(content):
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)

    assert drain(answering(answer(b'{"idle": true}'))) == ""
    assert "not idle" in drain(answering(answer(b'{"idle": false, "busy": 3}')))
    assert "could not be drained" in drain(answering(b""))
