"""Faults injected into the harness itself, each at a random moment of a real run, and what the command reported.

The moment comes from a seeded generator, so that a repetition that fails can be had again by its number.
"""

import contextlib
import http.server
import os
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.real_runs import HARNESS, REPORT, TINY, environment, family_of, wait_for

SCENARIO = TINY.replace('over = "2s"', 'over = "4s"').replace('median = "20ms"', 'median = "100ms"')
PATIENCE_S = 150.0
"""A bound for one step of a run on a busy machine."""
MOMENT_S = 2.5
"""A run of this scenario takes longer than this from its first attempt on."""
TARGET = """
[target]
method = "PUT"
path = "/photos/{station}/{form}/{page}.jpg"
accept_unknown_safety = true
[target.stored]
kind = "none"
"""
_STEPPING = """
import mmap, os, struct, time
_real = time.time
with open(os.environ["STEPPED_CLOCK"], "rb") as _file:
    _step = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
time.time = lambda: _real() + struct.unpack("<d", _step[:8])[0]
"""


@dataclass
class Told:
    """How a run with an injected fault ended."""

    folder: Path
    code: int
    output: str
    done: str
    """A description of the fault."""

    @property
    def own_words(self):
        """The output without the ends of children's logs."""
        return self.output.split("The end of its log", 1)[0]


class Victim:
    """A run under way, and the moments of one repetition."""

    def __init__(self, path, seed, *arguments, scenario=SCENARIO, out=None, **variables):
        path.mkdir()
        (path / "evening.toml").write_text(scenario, "utf-8")
        self.path, self.folder = path, out or path / "run"
        self.random = random.Random(seed)
        self._output = (path / "output").open("w+")
        self.process = subprocess.Popen(
            [*HARNESS, "run", "evening.toml", "--out", str(self.folder), *arguments],
            stdout=self._output, stderr=subprocess.STDOUT, env=environment(**variables), cwd=path,
        )  # fmt: skip

    def named(self, *words):
        """The process of the run whose command line has all these words, as soon as there is one."""
        return wait_for(lambda: self._find(words), PATIENCE_S)

    def begun(self):
        """Wait until run.json is there."""
        wait_for((self.folder / "run.json").exists, PATIENCE_S)

    def uploading(self):
        """Wait until attempts have reached the journal."""
        wait_for(lambda: any(path.stat().st_size for path in self.folder.glob("journal/*.journal")), PATIENCE_S)

    def moment(self):
        """Wait for a random moment: one in three counts from now on, the others from the first attempts on."""
        if self.random.random() < 1 / 3:
            time.sleep(self.random.uniform(0, MOMENT_S))
        else:
            self.uploading()
            time.sleep(self.random.uniform(0, MOMENT_S))

    def end(self, done):
        """Wait for the run's end."""
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self._output.seek(0)
            output = self._output.read()
            self._output.close()
        return Told(self.folder, self.process.returncode, output, done)

    def _find(self, words):
        for pid in family_of(self.folder):
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if all(word.encode() in line for word in words):
                    return pid
        return None


def _killed(path, seed, *words, arguments=()):
    run = Victim(path, seed, *arguments)
    pid = run.named(*words)
    run.moment()
    os.kill(pid, signal.SIGKILL)
    return run.end(f"kill -9 of {' '.join(words)}")


def mock_killed(path, seed):
    """Kill -9 of the mock server."""
    return _killed(path, seed, "mock_server")


def worker_killed(path, seed):
    """Kill -9 of one of two Locust workers."""
    return _killed(path, seed, "--worker", arguments=("--workers", "2"))


def master_killed(path, seed):
    """Kill -9 of Locust's master."""
    return _killed(path, seed, "--master", arguments=("--workers", "2"))


def harness_killed(path, seed):
    """Kill -9 of the harness itself."""
    run = Victim(path, seed, "--workers", "2")
    run.begun()
    run.moment()
    run.process.kill()
    return run.end("kill -9 of the harness")


def disk_full(path, seed):
    """The disk of the run folder fills up; where mounting one is not allowed, files may not grow further."""
    disk = path.with_name(path.name + "-disk")
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    try:
        run = Victim(path, seed, out=disk / "run", **REPORT)
        run.begun()
        run.moment()
        if mounted:
            _fill(disk / "filler")
        else:
            for pid in [run.process.pid, *family_of(run.folder)]:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
        told = run.end("a full disk" if mounted else "RLIMIT_FSIZE 0")
        (disk / "filler").unlink(missing_ok=True)
        shutil.copytree(run.folder, path / "run")  # away from the disk, which goes
        return replace(told, folder=path / "run")
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill(filler):
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass


def port_taken(path, seed):
    """Another process takes the metrics port while the run starts: before or after its check of the port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        early = random.Random(seed).random() < 0.5
        if early:
            other.listen()
        run = Victim(path, seed, "--metrics-port", str(other.getsockname()[1]))
        if not early:  # bound, the check finds it free; listening, the worker does not
            run.begun()
            other.listen()
        return run.end("the port taken early" if early else "the port taken late")


def clock_steps(path, seed):
    """The wall clock steps by seconds to hours, forth or back: time.time of every process of the run is a seam.

    The machine's own clock is left alone, and a time namespace has no wall clock of its own.
    """
    seam = path.with_name(path.name + "-seam")
    seam.mkdir()
    (seam / "sitecustomize.py").write_text(_STEPPING, "utf-8")
    (seam / "step").write_bytes(struct.pack("<d", 0.0))
    paths = os.pathsep.join(filter(None, [str(seam), os.environ.get("PYTHONPATH", "")]))
    run = Victim(path, seed, PYTHONPATH=paths, STEPPED_CLOCK=str(seam / "step"))
    run.uploading()
    run.moment()
    step_s = run.random.choice([-1, 1]) * run.random.choice([2.0, 60.0, 3600.0])
    with (seam / "step").open("r+b") as file:
        file.write(struct.pack("<d", step_s))
    return run.end(f"a step of {step_s:g} s")


def descriptors_exhausted(path, seed):
    """The harness may not open further descriptors (its children keep their own limits)."""
    run = Victim(path, seed, **REPORT)
    run.begun()
    run.moment()
    most = run.random.randint(12, 30)
    resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (most, most))
    return run.end(f"RLIMIT_NOFILE {most}")


class _Taking(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def target_vanishes(path, seed):
    """An external target stops for good in the middle of the run."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Taking)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    scenario = SCENARIO[: SCENARIO.index("[server]")] + SCENARIO[SCENARIO.index("[[thresholds]]") :] + TARGET
    try:
        run = Victim(path, seed, "--target", f"http://127.0.0.1:{server.server_port}", scenario=scenario)
        run.uploading()
        run.moment()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    return run.end("the target gone")
