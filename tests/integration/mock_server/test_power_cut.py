"""The power fails: the mock server comes back with all that it had acknowledged, and a careless one is caught."""

import contextlib
import hashlib
import json
import threading
import time

import pytest

from tests.support.mock_in_process import STATION, path_of, photo
from tests.support.mock_process import Process, put
from tests.support.power import CARELESS, careless, needs_power_cut
from tests.support.tus_requests import arrived, metadata

pytestmark = needs_power_cut


def acknowledged_pages(server: Process, least: int) -> set[tuple[str, int]]:
    """Uploads from several threads until so many pages are acknowledged; every page whose answer arrived."""
    acknowledged: set[tuple[str, int]] = set()
    codes = [f"3509191001{number:03d}" for number in range(1, 1 + -(-least // 3))]

    def send(share: list[str]) -> None:
        for code in share:
            token = server.token(code)
            for page in (1, 2, 3):
                if put(server, token, code, page) == 201:
                    acknowledged.add((code, page))

    threads = [threading.Thread(target=send, args=(codes[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return acknowledged


def cut_power(server: Process, *, torn: bool) -> dict[str, int]:
    """Cuts the power and waits until the server is back; what was lost."""
    fault = {"kind": "power_cut", "restart_after": "0s", "torn": torn}
    with contextlib.suppress(OSError):  # killed before it could answer
        server.ask("POST", "/faults", {}, json.dumps(fault).encode(), admin=True)
    report = server.wait_for("power_cut")
    server.wait_for("restarted")
    return report


@pytest.mark.parametrize("torn", [False, True], ids=["dropped", "torn"])
def test_what_was_acknowledged_survives_a_power_cut(tmp_path, torn):
    server = Process(tmp_path, "--power-cut", workers=16)
    acknowledged = acknowledged_pages(server, 30)
    cut_power(server, torn=torn)
    held = {(row["station"], row["page"]): row["sha256"] for row in server.stored()}
    assert len(acknowledged) >= 30
    assert acknowledged <= set(held)
    assert all(digest == hashlib.sha256(photo(key)).hexdigest() for key, digest in held.items())
    lines = [json.loads(line) for line in (tmp_path / "data" / "injections.jsonl").read_text().splitlines()]
    assert [line["fault"] for line in lines] == ["power_cut"]
    assert server.end() == 0
    assert (tmp_path / "data" / "store.sqlite").stat().st_size > 0, "an orderly end puts everything on the disk"


@pytest.mark.parametrize("kind", CARELESS)
def test_pages_of_a_server_that_does_not_sync_are_gone(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("PYTHONPATH", careless(tmp_path / "careless", kind))
    server = Process(tmp_path, "--power-cut", workers=16)
    acknowledged = acknowledged_pages(server, 30)
    report = cut_power(server, torn=False)
    assert report["lost_pages" if kind == "synchronous off" else "lost_names"] > 0
    assert acknowledged - {(row["station"], row["page"]) for row in server.stored()}
    server.end()


def test_an_offset_that_was_promised_holds_after_a_power_cut(tmp_path):
    server = Process(tmp_path, "--power-cut")
    data = photo((STATION, 1))
    head = {"Authorization": f"Bearer {server.token(STATION)}", "Tus-Resumable": "1.0.0"}
    where = server.created({**head, "Upload-Length": str(len(data)), "Upload-Metadata": metadata()})
    patch = {**head, "Content-Type": "application/offset+octet-stream"}
    assert server.ask("PATCH", where, {**patch, "Upload-Offset": "0"}, data[:1000])[0] == 204
    cut_power(server, torn=True)
    assert server.offset(where, head) == 1000
    assert server.ask("PATCH", where, {**patch, "Upload-Offset": "1000"}, data[1000:])[0] == 204
    assert [row["sha256"] for row in server.stored()] == [hashlib.sha256(data).hexdigest()]
    server.end()


@pytest.mark.parametrize("asked", [False, True], ids=["acknowledged", "asked for"])
def test_the_offset_of_an_upload_over_http_that_was_promised_holds_after_a_power_cut(tmp_path, asked):
    server = Process(tmp_path, "--power-cut")
    data = photo((STATION, 1))
    head = {"Authorization": f"Bearer {server.token(STATION)}"}
    creation = {**head, "Upload-Complete": "?0", "Upload-Length": str(len(data)), "Content-Type": "image/jpeg"}
    where = server.created(creation, path_of(), b"" if asked else data[:1000])
    append = {**head, "Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?0"}
    if asked:
        server.break_off("PATCH", where, append, len(data), data[:1000])
        server.until(lambda: arrived(tmp_path / "data") == 1000)
        assert server.offset(where, head) == 1000
    cut_power(server, torn=True)
    assert server.offset(where, head) == 1000
    append = {**append, "Upload-Offset": "1000", "Upload-Complete": "?1"}
    assert server.ask("PATCH", where, append, data[1000:])[0] == 201
    assert [row["sha256"] for row in server.stored()] == [hashlib.sha256(data).hexdigest()]
    server.end()


def test_an_offset_by_tus_that_was_asked_for_holds_after_a_power_cut(tmp_path):
    server = Process(tmp_path, "--power-cut")
    data = photo((STATION, 1))
    head = {"Authorization": f"Bearer {server.token(STATION)}", "Tus-Resumable": "1.0.0"}
    where = server.created({**head, "Upload-Length": str(len(data)), "Upload-Metadata": metadata()})
    patch = {**head, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    server.break_off("PATCH", where, patch, len(data), data[:1000])
    server.until(lambda: server.metric("http_server_active_requests") == 0 and arrived(tmp_path / "data") == 1000)
    assert server.offset(where, head) == 1000
    cut_power(server, torn=True)
    assert server.offset(where, head) == 1000
    server.end()


def test_without_such_a_disk_the_fault_is_refused(tmp_path):
    server = Process(tmp_path)
    status, body = server.ask("POST", "/faults", {}, b'{"kind": "power_cut"}', admin=True)
    assert (status, b"--power-cut" in body) == (409, True)
    server.end()


def await_more(server: Process, acknowledged: set[tuple[str, int]], more: int) -> None:
    enough = len(acknowledged) + more
    server.until(lambda: len(acknowledged) >= enough)


@pytest.mark.slow
def test_fifty_power_cuts_amid_uploads_lose_nothing_that_was_acknowledged(tmp_path):
    server = Process(tmp_path, "--power-cut", workers=16, seed=1)
    acknowledged: set[tuple[str, int]] = set()
    is_over = threading.Event()

    def send(first: int) -> None:
        for number in range(first, 1000, 4):
            code, page = f"3509191{first + 1:03d}{number:03d}", 1
            while page <= 3 and not is_over.is_set():
                with contextlib.suppress(OSError, AssertionError, ValueError):  # the power has failed: once more
                    if put(server, server.token(code), code, page) in {200, 201}:
                        acknowledged.add((code, page))
                        page += 1
                    continue
                time.sleep(0.02)

    threads = [threading.Thread(target=send, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    lost_pages = 0
    for number in range(50):
        await_more(server, acknowledged, 8)
        lost_pages += cut_power(server, torn=number % 2 == 1)["lost_pages"]
    is_over.set()
    for thread in threads:
        thread.join()
    held = {(row["station"], row["page"]): row["sha256"] for row in server.stored()}
    assert acknowledged <= set(held)
    assert all(digest == hashlib.sha256(photo(key)).hexdigest() for key, digest in held.items())
    assert len(held) == len(server.stored()), "no page twice"
    assert lost_pages > 0, "the cuts took something"
    server.end()
