"""Servers of others on a disk whose power is cut: `harness powercut`, SQLite, PostgreSQL, and the harness's own journal."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.analysis.summarise import summarise
from harness.runner.sync_thread import sync_run
from powercut.mount import PowerCutMount
from tests.support.power import needs_power_cut
from tests.support.run_builder import RunBuilder

pytestmark = needs_power_cut

PATIENCE_S = 60.0
CARELESS_AND_CAREFUL = """
import os, sys, time
folder = sys.argv[1]
def write(name, sync):
    with open(f"{folder}/{name}", "w") as file:
        file.write(name); file.flush()
        if sync:
            os.fsync(file.fileno())
            there = os.open(folder, os.O_RDONLY); os.fsync(there); os.close(there)
lives = len(os.listdir(folder))
write(f"careful-{lives}", True); write(f"careless-{lives}", False)
print("written", flush=True)
time.sleep(100)
"""


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def lines_until(process: subprocess.Popen[str], begin: str) -> list[str]:
    found = []
    for line in process.stdout or ():
        found.append(line.rstrip())
        if line.startswith(begin):
            return found
    pytest.fail(f"no line {begin}: {found}")


def test_a_command_loses_what_it_did_not_sync_and_is_started_again(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    script = tmp_path / "server.py"
    script.write_text(CARELESS_AND_CAREFUL)
    command = [sys.executable, "-m", "harness", "powercut", str(data), "--after", "100s", "--restart-after", "0s", "--"]
    with subprocess.Popen(
        [*command, sys.executable, str(script), str(data)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines_until(process, "written")
        assert names_in(data) == ["careful-0", "careless-0"]
        process.send_signal(signal.SIGUSR1)
        (cut,) = [line for line in lines_until(process, "written") if line.startswith("power cut 1 of 1")]
        assert cut.endswith("lost 1 pages of 4 KiB and 1 names that were not synced")
        assert names_in(data) == ["careful-0", "careful-1", "careless-1"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert not data.is_mount()
    assert (data / "careless-1").read_text() == "careless-1", "an orderly end keeps everything"


INSERT = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode = WAL"); database.execute(f"PRAGMA synchronous = {sys.argv[2]}")
database.execute("CREATE TABLE IF NOT EXISTS pages (number INTEGER)")
for number in range(1, 10**9):
    database.execute("INSERT INTO pages VALUES (?)", (number,)); print(number, flush=True)
"""


@pytest.mark.parametrize(("synchronous", "is_safe"), [("FULL", True), ("OFF", False)])
def test_sqlite_in_wal_mode_keeps_its_commits_only_if_it_syncs(tmp_path, synchronous, is_safe):
    with PowerCutMount(tmp_path) as disk:
        with subprocess.Popen(
            [sys.executable, "-c", INSERT, str(tmp_path / "store.sqlite"), synchronous],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            committed = [int(writer.stdout.readline()) for _ in range(40)][-1]
            writer.kill()
        disk.cut(1, torn=False)
    try:
        (found,) = sqlite3.connect(tmp_path / "store.sqlite").execute("SELECT count(*) FROM pages").fetchone()
    except sqlite3.OperationalError:
        found = 0
    assert (found >= committed) is is_safe


def test_a_run_whose_own_machine_lost_its_power_is_reported_up_to_the_last_sync(tmp_path):
    for seed in range(4):
        place = tmp_path / str(seed)
        place.mkdir()
        with PowerCutMount(place) as disk:
            run = RunBuilder(place / "run", stations=400)
            run.scrape_idle_generator(5)
            for page in range(100):
                run.attempt(page, due_s=0.01 * page)
            run.flush()
            sync_run(run.folder)
            for page in range(100, 400):
                run.attempt(page, due_s=0.01 * page)
            folder = run.break_off()
            disk.cut(seed, torn=True)
        summary = summarise(folder)
        assert summary.ended == "broken_off"
        assert 100 <= summary.pages.delivered <= 400


POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@contextmanager
def postgres(data: Path, fsync: str):
    """A running PostgreSQL as the user postgres; killed with its children at the end."""
    settings = [
        f"fsync={fsync}",
        "listen_addresses=",
        f"unix_socket_directories={data.parent}",
        "shared_buffers=16MB",
        "wal_sync_method=fdatasync",
    ]
    options = [word for setting in settings for word in ("-c", setting)]
    argv = [
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        str(POSTGRES[-1] / "postgres"),
        "-D",
        str(data),
        *options,
    ]
    with (
        (data.parent / "log").open("ab") as log,
        subprocess.Popen(argv, stderr=log, stdout=log, process_group=0) as server,
    ):
        try:
            yield server
        finally:
            subprocess.run(["pkill", "-KILL", "-P", str(server.pid)], check=False)
            server.kill()


def ask(data: Path, statement: str) -> str:
    argv = ["psql", "-h", str(data.parent), "-U", "postgres", "-qtAX", "-c", statement, "postgres"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def count_pages(data: Path) -> int:
    """How many pages are stored; 0 if the database is damaged."""
    try:
        return int(ask(data, "SELECT count(*) FROM pages"))
    except subprocess.CalledProcessError:
        return 0


def until_ready(data: Path, server: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and server.poll() is None:
        if subprocess.run(["pg_isready", "-q", "-h", str(data.parent)], check=False).returncode == 0:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.peers
@pytest.mark.skipif(not POSTGRES, reason="needs postgresql: apt-get install postgresql")
@pytest.mark.parametrize(("fsync", "is_safe"), [("on", True), ("off", False)])
def test_postgresql_keeps_its_commits_only_with_fsync_on(tmp_path, fsync, is_safe):
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("test_", "pytest-", "popen-")):
            folder.chmod(0o755)  # pytest's own are closed to the user postgres
    place = tmp_path / "place"
    place.mkdir()
    data = place / "data"
    shutil.chown(place, "postgres", "postgres")
    data.mkdir(mode=0o700)
    shutil.chown(data, "postgres", "postgres")
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    subprocess.run([*as_postgres, str(POSTGRES[-1] / "initdb"), "-D", str(data), "-A", "trust", "--no-sync"], check=True, capture_output=True)  # fmt: skip
    with PowerCutMount(data) as disk:
        with postgres(data, fsync) as server:
            assert until_ready(data, server), (place / "log").read_text()
            ask(data, "CREATE TABLE pages (number int)")
            ask(data, "CHECKPOINT")
            for number in range(20):
                ask(data, f"INSERT INTO pages VALUES ({number})")  # noqa: S608
        disk.cut(1, torn=False)
        disk.mount()
        (data / "postmaster.pid").unlink(missing_ok=True)
        with postgres(data, fsync) as server:
            found = count_pages(data) if until_ready(data, server) else 0
    assert (found == 20) is is_safe, (place / "log").read_text()
