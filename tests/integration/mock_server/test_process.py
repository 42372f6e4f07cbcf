"""The server as a process: how it starts, is told things, stops, crashes and comes back."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from mock_server.tls import make_certificate
from tests.integration.mock_server.process import ADMIN_TOKEN, LONGEST_S, Process, is_alive, process
from tests.integration.mock_server.running import BOUNDARY, READING, STATION, form, head, path_of, photo, station


def put(server: Process, token: str, code: str = STATION, page: int = 1) -> int:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "image/jpeg"}
    return server.ask("PUT", path_of(code, page), headers, photo((code, page)))[0]


def test_it_tells_its_ports_takes_uploads_and_stops_when_told(tmp_path):
    server = Process(tmp_path)
    assert server.ready["pid"] == server.popen.pid
    assert put(server, server.token(STATION)) == 201
    assert len(server.stored()) == 1
    server.say({"event": "stop"})
    assert server.popen.wait(LONGEST_S) == 0
    assert server.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_gracefully_even_where_it_was_ignored(tmp_path, number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        server = Process(tmp_path)
    finally:
        signal.signal(number, before)
    server.popen.send_signal(number)
    assert server.popen.wait(LONGEST_S) == 0
    server.end()


@pytest.mark.timed
def test_it_ends_with_its_input_even_if_the_event_loop_is_busy(tmp_path):
    server = Process(tmp_path)
    os.kill(server.ready["pid"], signal.SIGSTOP)
    assert server.popen.stdin is not None
    server.popen.stdin.close()
    os.kill(server.ready["pid"], signal.SIGCONT)
    begun = time.monotonic()
    server.popen.wait(LONGEST_S)
    assert time.monotonic() - begun < 1.0
    server.end()


def test_a_process_that_computes_without_end_ends_with_its_input_too():
    code = "import sys; from mock_server.supervision import listen; listen(sys.stdin, print); print('busy', flush=True)\nwhile True: pass"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as busy:
        assert busy.stdout is not None
        assert busy.stdin is not None
        assert busy.stdout.readline() == "busy\n"
        busy.stdin.close()
        assert busy.wait(LONGEST_S) == 0


def test_no_fault_is_on_before_t0_is_known(tmp_path):
    with process(tmp_path, t0=False, faults=[{"kind": "abort"}]) as server:
        token = server.token(STATION)
        assert put(server, token) == 201
        server.say({"event": "t0", "monotonic": time.monotonic() - 100.0})
        server.until(lambda: put(server, token, page=2) == 503)


@pytest.mark.timed
def test_the_schedule_counts_from_t0(tmp_path):
    fault = {"kind": "abort", "start": "100s", "duration": "500ms"}
    with process(tmp_path, t0=False, faults=[fault]) as server:
        token = server.token(STATION)
        t0_s = time.monotonic() - 99.5
        server.say({"event": "t0", "monotonic": t0_s})
        assert put(server, token, page=1) == 201
        server.until(lambda: put(server, token, page=2) == 503)
        assert 100.0 <= time.monotonic() - t0_s < 100.5
        server.until(lambda: put(server, token, page=3) == 201)
        assert 100.5 <= time.monotonic() - t0_s < 101.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--profile", "missing.toml"], "can't be read"),
        (["--profile", "wrong.toml"], 'wrokers is not a key; did you mean "workers"?'),
        (["--stations", "wrong.csv"], "needs the columns code, name, pin"),
        (["--host", "192.0.2.1", "--port", "0", "--admin-port", "0"], "can't listen"),
    ],
)
def test_what_cannot_be_used_ends_it_with_code_2(tmp_path, arguments, says):
    (tmp_path / "wrong.toml").write_text("wrokers = 3\n")
    (tmp_path / "wrong.csv").write_text("kode,sandi\n1,2\n")
    command = [sys.executable, "-m", "mock_server", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert says in done.stderr


def test_help_names_every_flag():
    done = subprocess.run(
        [sys.executable, "-m", "mock_server", "--help"], capture_output=True, text=True, timeout=30, check=True
    )
    for flag in ("--profile", "--stations", "--data", "--port", "--admin-port", "--tls", "--supervised", "--kept"):
        assert flag in done.stdout


def test_alone_it_introduces_itself_and_stops_on_ctrl_c(tmp_path):
    command = [sys.executable, "-u", "-m", "mock_server", "--port", "0", "--admin-port", "0", "--data", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "MOCK_SERVER_ADMIN_TOKEN"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        told = dict(server.stdout.readline().split(None, 1) for _ in range(2))
        token_line = server.stdout.readline()
        path = Path(token_line.removeprefix("admin token").strip())
        assert oct(path.stat().st_mode & 0o777) == "0o600"
        admin = told["admin"].strip().rsplit(":", 1)[1]
        with socket.create_connection(("127.0.0.1", int(admin))) as line:
            token = path.read_text()
            line.sendall(f"GET /profile HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            assert line.recv(100).startswith(b"HTTP/1.1 200")
        server.send_signal(signal.SIGINT)
        assert server.wait(10) == 0
        assert not path.exists()


def test_the_admin_token_is_neither_logged_nor_left_in_its_folder(tmp_path):
    with process(tmp_path, faults=[{"kind": "abort", "probability": 0.5}]) as server:
        token = server.token(STATION) if server.ask("GET", "/healthz")[0] == 200 else ""
        server.ask("GET", "/faults", admin=True)
        server.ask("POST", "/drain", admin=True)
        assert put(server, token) in {201, 503}
    content = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert ADMIN_TOKEN.encode() not in content
    assert token.encode() not in content, "a station's token is not kept either, only its digest"


def test_tokens_survive_a_restart_if_the_profile_says_so(tmp_path):
    for survive, expected in ((True, 200), (False, 401)):
        folder = tmp_path / str(survive)
        folder.mkdir()
        with process(folder, tokens_survive_restart=survive) as server:
            token = server.token(STATION)
            assert put(server, token) == 201
        with process(folder, tokens_survive_restart=survive) as server:
            assert put(server, token) == expected


@pytest.mark.timed
def test_a_graceful_stop_finishes_what_it_has_and_refuses_new_work(tmp_path):
    server = Process(tmp_path, service_time="1500ms", grace="5s")
    token = server.token(STATION)
    statuses: dict[int, int] = {}
    running = threading.Thread(target=lambda: statuses.__setitem__(1, put(server, token, page=1)))
    running.start()
    server.until(lambda: server.metric("mock_server_workers_busy") == 1)
    server.popen.send_signal(signal.SIGTERM)
    server.until(lambda: server.ask("GET", "/readyz")[0] == 503)
    assert put(server, token, page=2) == 503
    running.join()
    assert statuses == {1: 201}
    begun = time.monotonic()
    assert server.popen.wait(LONGEST_S) == 0
    assert time.monotonic() - begun < 3
    server.end()


@pytest.mark.timed
def test_a_graceful_stop_refuses_what_it_cannot_finish_in_its_grace_time(tmp_path):
    server = Process(tmp_path, service_time="1h", grace="2s", workers=1)
    token = server.token(STATION)
    statuses: list[int] = []
    uploads = [
        threading.Thread(target=lambda page=page: statuses.append(put(server, token, page=page))) for page in (1, 2)
    ]
    for upload in uploads:
        upload.start()
    server.until(lambda: server.metric("mock_server_queue_depth") == 1)
    begun = time.monotonic()
    server.popen.send_signal(signal.SIGTERM)
    assert server.popen.wait(LONGEST_S) == 0
    assert time.monotonic() - begun < 2 + 1.0
    for upload in uploads:
        upload.join()
    assert statuses == [503, 503]
    server.end()


def half_sent(server: Process, token: str) -> tuple[socket.socket, bytes]:
    """A connection on which half an upload has come, and the other half."""
    line, picture = socket.create_connection(("127.0.0.1", server.ready["port"])), photo(size=100_000)
    line.settimeout(LONGEST_S)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "image/jpeg"}
    line.sendall(head("PUT", path_of(), headers, len(picture)) + picture[:50_000])
    server.until(lambda: server.metric("http_server_active_requests") == 1)
    return line, picture[50_000:]


@pytest.mark.timed
def test_an_upload_that_is_half_sent_may_be_finished_within_the_grace_time(tmp_path):
    server = Process(tmp_path, grace="5s")
    line, rest = half_sent(server, server.token(STATION))
    with line:
        server.popen.send_signal(signal.SIGTERM)
        server.until(lambda: server.ask("GET", "/readyz")[0] == 503)
        line.sendall(rest)
        assert line.recv(65536).startswith(b"HTTP/1.1 201")
    assert server.popen.wait(LONGEST_S) == 0
    server.end()


@pytest.mark.timed
def test_an_upload_that_is_half_sent_at_the_end_of_the_grace_time_is_refused(tmp_path):
    server = Process(tmp_path, grace="1500ms")
    line, rest = half_sent(server, server.token(STATION))
    with line:
        begun = time.monotonic()
        server.popen.send_signal(signal.SIGTERM)
        answer = line.recv(65536)
        line.sendall(rest)
        head_, _, body = answer.partition(b"\r\n\r\n")
        assert head_.startswith(b"HTTP/1.1 503")
        assert b"connection: close" in head_.lower()
        assert json.loads(body)["detail"] == "The server is stopping"
        assert server.popen.wait(LONGEST_S) == 0
        assert time.monotonic() - begun < 1.5 + 1.0
    server.end()


def acknowledged_until_killed(server: Process, codes: list[str], least: int) -> set[tuple[str, int]]:
    """Uploads from several threads until so many are acknowledged, then `kill -9`; the pages whose answer arrived."""
    acknowledged: set[tuple[str, int]] = set()

    def send(code: str) -> None:
        try:
            token = server.token(code)
            for page in (1, 2, 3):
                if put(server, token, code, page) in {200, 201}:
                    acknowledged.add((code, page))
        except (OSError, AssertionError, ValueError):
            return

    def some(share: list[str]) -> None:
        for code in share:
            send(code)

    threads = [threading.Thread(target=some, args=(codes[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + LONGEST_S
    while len(acknowledged) < least:
        assert time.monotonic() < deadline, "the server takes nothing"
        time.sleep(0.002)
    os.kill(server.ready["pid"], signal.SIGKILL)
    for thread in threads:
        thread.join()
    return acknowledged


def test_kill_9_loses_no_acknowledged_page_and_corrupts_nothing(tmp_path):
    acknowledged: set[tuple[str, int]] = set()
    for life, least in enumerate((15, 40, 90)):
        server = Process(tmp_path, workers=16)
        codes = [f"3509191{life + 1:03d}{number:03d}" for number in range(1, 400)]
        acknowledged |= acknowledged_until_killed(server, codes, least)
        server.end()
    assert len(acknowledged) >= 15 + 40 + 90
    with process(tmp_path) as server:
        held = {(row["station"], row["page"]): row["sha256"] for row in server.stored()}
        assert acknowledged <= set(held)
        for page_key, digest in held.items():
            assert digest == hashlib.sha256(photo(page_key)).hexdigest()
        rows = server.stored()
        assert len(rows) == len(held), "no page twice"


def test_kill_9_leaves_a_line_for_each_page_that_a_fault_changed_and_no_other(tmp_path):
    faults = [{"kind": "duplicate_store", "probability": 0.5}]
    for life, least in enumerate((30, 60)):
        server = Process(tmp_path, workers=16, seed=life, faults=faults)
        codes = [f"3509191{life + 1:03d}{number:03d}" for number in range(1, 400)]
        acknowledged_until_killed(server, codes, least)
        server.end()
    with process(tmp_path) as server:
        copies = Counter((row["station"], row["page"]) for row in server.stored())
    lines = [json.loads(line) for line in (tmp_path / "data" / "injections.jsonl").read_text().splitlines()]
    logged = Counter((line["station"], line["page"]) for line in lines)
    assert logged == {page: 1 for page, count in copies.items() if count == 2}
    assert len(logged) > 20


def until_dead(pid: int) -> None:
    deadline = time.monotonic() + LONGEST_S
    while is_alive(pid):
        assert time.monotonic() < deadline, "the process lives on"
        time.sleep(0.005)


def until_refused(port: int) -> None:
    """A process that is being killed has threads, and its last one closes the port."""
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionError:
            return
        time.sleep(0.01)
    pytest.fail("the port still takes connections")


@pytest.mark.timed
def test_crash_kills_the_server_which_comes_back_with_all_that_was_acknowledged(tmp_path):
    server = Process(tmp_path, t0=False, faults=[{"kind": "crash", "start": "100s", "restart_after": "2s"}])
    token = server.token(STATION)
    first_pid = server.ready["pid"]
    assert first_pid != server.popen.pid, "a keeper stands between"
    assert put(server, token) == 201
    server.say(
        {"event": "t0", "monotonic": time.monotonic() - 99.0}
    )  # near its start: what T0 finds long begun is late
    assert server.wait_for("crash")["restart_after"] == 2.0
    until_refused(server.ready["port"])
    again = server.wait_for("restarted")
    assert (again["port"], again["admin_port"]) == (server.ready["port"], server.ready["admin_port"])
    assert again["pid"] != first_pid
    assert put(server, token) == 200, "the same page, by the same token"
    assert len(server.stored()) == 1
    lines = [json.loads(line) for line in (tmp_path / "data" / "injections.jsonl").read_text().splitlines()]
    assert [line["fault"] for line in lines] == ["crash"]
    server.end()
    until_dead(again["pid"])


@pytest.mark.parametrize(("moment", "held", "answered"), [("before", 0, 201), ("after", 1, 200)])
def test_a_crash_at_a_commit_leaves_nothing_before_it_and_everything_after_it(tmp_path, moment, held, answered):
    crash = {"kind": "crash_at_commit", "moment": moment, "skip_first": 1, "restart_after": "100ms"}
    earlier = {"kind": "empty_response", "match": {"station": "999"}}
    server = Process(tmp_path, faults=[earlier, crash])
    token = server.token(STATION)
    assert put(server, token) == 201
    widened = json.dumps(
        {"kind": "empty_response"}
    ).encode()  # it stands first, and would end the answer without a crash
    assert server.ask("PUT", "/faults/empty_response", {}, widened, admin=True)[0] == 200
    with pytest.raises(OSError):  # noqa: PT011 - reset or closed, as the kernel likes
        put(server, token, page=2)
    again = server.wait_for("restarted")
    assert len(server.stored()) == 1 + held, "what was acknowledged is there"
    assert put(server, token, page=2) == answered
    assert put(server, token, page=3) == 201, "it does not happen again"
    lines = [json.loads(line) for line in (tmp_path / "data" / "injections.jsonl").read_text().splitlines()]
    assert [(line["fault"], line["page"]) for line in lines] == [("crash_at_commit", 2)]
    server.end()
    until_dead(again["pid"])


def test_a_kept_server_crashes_on_demand_and_dies_with_its_keeper(tmp_path):
    server = Process(tmp_path, "--kept")
    with contextlib.suppress(OSError):
        server.ask("POST", "/faults", {}, json.dumps({"kind": "crash", "restart_after": "200ms"}).encode(), admin=True)
    again = server.wait_for("restarted")
    server.popen.kill()
    server.popen.wait()
    until_dead(again["pid"])
    server.end()


def test_a_keeper_passes_a_stop_on(tmp_path):
    server = Process(tmp_path, "--kept")
    server.say({"event": "stop"})
    assert server.popen.wait(LONGEST_S) == 0
    assert not is_alive(server.ready["pid"])
    server.end()


def fill(path: Path) -> None:
    """Puts 100,000 pages of 33,334 stations into a store."""
    store = sqlite3.connect(path)
    with store:
        store.executemany(
            "INSERT INTO pages (station, form, page, sha256, size_bytes, reading, stored_at, sent_sha256,"
            " idempotency_key, receipt) VALUES (?, 'ppwp', ?, ?, 1, ?, 0, ?, '', ?)",
            (
                (f"35{n // 3:011d}", n % 3 + 1, f"{n:064x}", READING if n % 3 == 1 else "", f"{n:064x}", f"{n:016x}")
                for n in range(100_000)
            ),
        )
    store.close()


@pytest.mark.timed
def test_a_restart_with_100_000_pages_takes_less_than_two_seconds(tmp_path):
    begun = time.monotonic()
    with process(tmp_path) as server:
        empty_took = time.monotonic() - begun
        assert put(server, server.token(STATION)) == 201
    fill(tmp_path / "data" / "store.sqlite")
    begun = time.monotonic()
    with process(tmp_path) as server:
        assert server.ask("GET", "/readyz")[0] == 200
        took = time.monotonic() - begun
        assert server.metric("process_cpu_seconds_total") < 2.0
        assert len(server.stored()) == 100_001
        result = json.loads(server.ask("GET", "/pemilu/hhcw/ppwp.json")[1])
        assert result["progres"] == {"total": 33_335, "progres": 33_333}
        assert result["chart"]["100025"] == 33_333 * json.loads(READING)["chart"]["100025"]
    # A machine that is busy with other things starts nothing in two seconds: then it may take what an empty one took.
    assert took < max(2.0, 2 * empty_took)


@pytest.mark.parametrize("own", [False, True])
def test_tls_with_a_certificate_made_at_start_or_given(tmp_path, own):
    flags = ["--tls"]
    if own:
        certificate, key = make_certificate(tmp_path, "127.0.0.1")
        flags += ["--certificate", str(certificate), "--key", str(key)]
    with process(tmp_path, *flags) as server:
        context = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem") if own else None)
        if not own:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        body = form(photo())
        with (
            socket.create_connection(("127.0.0.1", server.ready["port"])) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
        ):
            login = json.dumps({"station": STATION, "pin": STATION[-6:]}).encode()
            line.sendall(head("POST", "/v1/login", {}, len(login)) + login)
            token = json.loads(line.recv(65536).partition(b"\r\n\r\n")[2])["token"]
            kind = f"multipart/form-data; boundary={BOUNDARY}"
            line.sendall(
                head("POST", path_of(), {"Authorization": f"Bearer {token}", "Content-Type": kind}, len(body)) + body
            )
            assert line.recv(65536).startswith(b"HTTP/1.1 201")
        assert [row["station"] for row in server.stored()] == [STATION]
        assert station(1) == STATION
