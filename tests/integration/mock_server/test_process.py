"""The server as a process: how it starts, receives messages and stops."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mock_server.net.tls import make_certificate
from tests.support.mock_in_process import BOUNDARY, STATION, form, head, path_of, photo, station
from tests.support.mock_process import ADMIN_TOKEN, LONGEST_S, Process, process, put


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


def test_it_ends_with_its_input_even_if_the_event_loop_is_busy(tmp_path):
    server = Process(tmp_path)
    os.kill(server.ready["pid"], signal.SIGSTOP)
    assert server.popen.stdin is not None
    server.popen.stdin.close()
    os.kill(server.ready["pid"], signal.SIGCONT)
    server.popen.wait(20.0)  # fails after that; a busy machine needs seconds for what takes milliseconds
    server.end()


def test_a_process_that_computes_without_end_ends_with_its_input_too():
    code = "import sys; from mock_server.supervisor import receive_commands; receive_commands(sys.stdin, print); print('busy', flush=True)\nwhile True: pass"
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


def test_the_schedule_counts_from_t0(tmp_path):
    """Counted from when T0 arrived, or from the server's start, the fault would begin 97 s later than it may here."""
    fault = {"kind": "abort", "start": "100s", "duration": "2s"}
    with process(tmp_path, t0=False, faults=[fault]) as server:
        token = server.token(STATION)
        t0_s = time.monotonic() - 97.0
        server.say({"event": "t0", "monotonic": t0_s})
        assert put(server, token, page=1) == 201
        server.until(lambda: put(server, token, page=2) == 503)
        assert 100.0 <= time.monotonic() - t0_s < 100.0 + LONGEST_S
        server.until(lambda: put(server, token, page=3) == 201)
        assert 102.0 <= time.monotonic() - t0_s < 102.0 + LONGEST_S


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--profile", "missing.toml"], "cannot be read"),
        (["--profile", "wrong.toml"], 'wrokers is not a known key; did you mean "workers"?'),
        (["--stations", "wrong.csv"], "needs the columns code, name, pin"),
        (["--host", "192.0.2.1", "--port", "0", "--admin-port", "0"], "cannot listen"),
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
