"""A server that accepts and never answers ends in a clear INVALID that names what ran out, not in a pile of tracebacks."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode
from harness.judge.verdict import load_verdict
from harness.run_folder.layout import RunFolder
from tests.support.real_runs import HARNESS, environment, family_of

pytestmark = pytest.mark.slow

SERVER = Path(__file__).parents[1] / "support" / "hanging_server.py"
SCENARIO = """
name = "hanging"
seed = 5
deadline = "{deadline}"
arrivals = {{ kind = "constant", over = "4s" }}
[stations]
region = "stations.csv"
[photos]
size = {{ distribution = "fixed", value = "1KB" }}
bank = 1
[client]
{client}
[target]
path = "/{{station}}/{{form}}/{{page}}"
"""
BOUNDED_BYTES = 600e6
"""The worker's most: about 110 MB to begin with, 12 to 20 KB a station at it, and the journal's rows. Here 15,000 are at it: 300 MB."""


@contextlib.contextmanager
def hanging(prefix=()):
    with subprocess.Popen(
        [*prefix, sys.executable, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.stdin.close()


class Memory(threading.Thread):
    """Watches the most memory that a run's processes take, each."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.peak_bytes, self.over = folder, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.2):
            for pid in family_of(self.folder):
                with contextlib.suppress(OSError):
                    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                    self.peak_bytes = max(self.peak_bytes, pages * os.sysconf("SC_PAGE_SIZE"))


def run_against(port, folder, stations, client, deadline="6s", prefix=()):
    """(what the run printed, its exit code, its reasons, what it counted, the peak of its memory, the seconds it took)."""
    left = (
        f"{3509000000 + number},Hanging,{min(500, stations - first)}\n"
        for number, first in enumerate(range(0, stations, 500))
    )
    (folder / "stations.csv").write_text("".join(left))
    (folder / "hanging.toml").write_text(SCENARIO.format(client=client, deadline=deadline))
    out = folder / "out"
    memory = Memory(out)
    memory.start()
    began = time.monotonic()
    done = subprocess.run(
        [*prefix, *HARNESS, "run", "hanging.toml", "--target", f"http://127.0.0.1:{port}", "--out", out],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    took_s = time.monotonic() - began
    memory.over.set()
    memory.join()
    words = done.stdout + done.stderr + "".join(log.read_text() for log in (out / "logs").glob("*.log"))
    assert "Traceback" not in words, words
    assert len(words.splitlines()) < 200
    made = RunFolder(out)
    return done.returncode, " ".join(load_verdict(made).validity.reasons), load_summary(made), memory.peak_bytes, took_s


def test_eight_thousand_attempts_a_second_on_a_server_that_hangs_are_invalid_by_what_they_could_not_get(tmp_path):
    client = 'timeout = "3s"\nmax_in_flight = 15_000'
    with hanging() as port:
        code, reasons, summary, peak_bytes, took_s = run_against(port, tmp_path, 32_000, client)
    assert code == ExitCode.INVALID
    assert "more stations were active at once than client.max_in_flight allows per worker (15,000)" in reasons
    outcomes = summary.attempts.by_outcome
    assert set(outcomes) <= {"generator_error", "timeout_response", "timeout_connect", "timeout_send", "censored"}
    assert outcomes["generator_error"] >= 32_000 - 2 * 15_000
    assert summary.pages.delivered == 0
    assert peak_bytes < BOUNDED_BYTES
    assert took_s < 60  # 9 s and what a busy machine makes of drawing 35,000 rows


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="a network of its own needs root")
def test_ports_that_retries_use_up_are_named_and_are_not_the_servers_fault(tmp_path):
    name = f"hang{os.getpid()}"
    inside = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        subprocess.run([*inside, "sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40199"], check=True)
        client = 'timeout = "300ms"\nconnection = "each"\nretry = { strategy = "fixed", base = "100ms" }'
        with hanging(inside) as port:
            code, reasons, summary, _, _ = run_against(port, tmp_path, 100, client, prefix=inside)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
    assert code == ExitCode.INVALID
    assert "this machine ran out of ports (200 per source address and destination" in reasons
    outcomes = summary.attempts.by_outcome
    assert outcomes["timeout_response"] > 100
    assert outcomes["generator_error"] > 0
    assert set(outcomes) <= {"generator_error", "timeout_response", "censored"}
