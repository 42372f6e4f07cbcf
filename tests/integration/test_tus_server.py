"""The tus client against a server written by others: @tus/server with @tus/file-store, from npm."""

import hashlib
import json
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest

from harness.base.model import Outcome
from harness.drive.client.connection import Progress
from harness.drive.client.pool import AttemptConnection, ConnectionPool
from harness.drive.client.protocols import tus
from harness.drive.client.protocols.base import UploadContext
from harness.plan import make_plan
from harness.protocol import Photo
from harness.scenario.client import TusOptions
from harness.scenario.loader import load_scenario
from tests.support.upload_driver import drive, target_of

pytestmark = pytest.mark.peers

ACCEPTED, REPLAYED = str(Outcome.ACCEPTED), str(Outcome.REPLAYED)
STATIONS = range(4)
CUT_BYTES = 150_000


@pytest.fixture
def installed(npm):
    """A folder where @tus/server is installed."""
    return npm("tus-server")


@pytest.fixture(scope="module")
def plan():
    return make_plan(load_scenario("kaliwates", ["photos.size=300KB", "photos.bank=2", 'arrivals={kind="constant", over="1ms"}']))  # fmt: skip


@contextmanager
def running(installed, files, path="/v1/files", cuts=0):
    """The server's port."""
    files.mkdir()
    process = subprocess.Popen(
        ["node", "tus-server.mjs", str(files), path, str(cuts), str(CUT_BYTES)],
        cwd=installed, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield {"port": int(process.stdout.readline())}
    finally:
        process.communicate(timeout=20)


def held(files):
    """(station, page) -> SHA-256 of every file that is as long as it was said to become."""
    found = {}
    for path in files.glob("*.json"):
        said = json.loads(path.read_text())
        content = path.with_suffix("").read_bytes()
        if len(content) == said["size"]:
            found[said["metadata"]["station"], int(said["metadata"]["page"])] = hashlib.sha256(content).hexdigest()
    return found


def planned(plan):
    pages = (plan.page(page) for station in STATIONS for page in plan.pages_of(station))
    return {(page.station, page.page): page.sha256 for page in pages}


@pytest.mark.parametrize("connection", ["new", "each", "reuse"])
@pytest.mark.parametrize("options", ["{}", '{chunk_size="64KB"}', '{chunk_size="64KB", creation_with_upload=true}'])
def test_every_photo_arrives_as_it_was_sent(installed, plan, tmp_path, options, connection):
    with running(installed, tmp_path / "files") as ready:
        chosen = ("client.protocol=tus", f"client.tus={options}", f"client.connection={connection}")
        driven = drive(target_of(ready), plan, STATIONS, tmp_path, *chosen)
    assert driven.outcomes == [ACCEPTED] * 12
    assert held(tmp_path / "files") == planned(plan)
    assert not driven.ends["resent_bytes"].any()


@pytest.mark.parametrize("options", ["{}", '{chunk_size="100KB"}'])
def test_after_cuts_in_mid_body_the_uploads_go_on_where_they_stood(installed, plan, tmp_path, options):
    with running(installed, tmp_path / "files", cuts=6) as ready:
        chosen = ("client.protocol=tus", f"client.tus={options}", 'client.retry={strategy="fixed", base="100ms"}')
        driven = drive(target_of(ready), plan, STATIONS, tmp_path, *chosen, 'client.link={upload="16Mbit/s"}')
    assert driven.outcomes.count("reset") == 6
    assert len([outcome for outcome in driven.outcomes if outcome in {ACCEPTED, REPLAYED}]) == 12
    assert held(tmp_path / "files") == planned(plan)
    # Each cut came after 150 KB. A client that begins again sends them all again; what was on its way is far less.
    assert 0 <= int(driven.ends["resent_bytes"].sum()) < 6 * CUT_BYTES / 2
    assert len(list((tmp_path / "files").glob("*.json"))) == 12, "no upload was begun twice"


def test_attempts_that_run_out_of_time_bring_a_photo_through_bit_by_bit(installed, plan, tmp_path):
    with running(installed, tmp_path / "files") as ready:
        chosen = ("client.protocol=tus", 'client.link={upload="4Mbit/s"}', "client.timeout=300ms")  # 150 KB an attempt
        driven = drive(
            target_of(ready), plan, STATIONS, tmp_path, *chosen, 'client.retry={strategy="fixed", base="50ms"}'
        )
    assert driven.outcomes.count("timeout_send") >= 12
    assert held(tmp_path / "files") == planned(plan)


def test_a_creation_path_of_its_own_can_be_told(installed, tmp_path):
    content = bytes(range(256)) * 400
    photo = Photo("3509191001001", "ppwp", 1, memoryview(content)[:-9], content[-9:], "", "")
    with running(installed, tmp_path / "files", "/another/place") as ready:
        target = target_of(ready)
        connections = ConnectionPool(target, "new", time.monotonic)
        source = connections.source()
        host = f"127.0.0.1:{ready['port']}"
        connection = AttemptConnection(source, time.monotonic, Progress(), None, time.monotonic() + 10)
        context = UploadContext(host, "anyone", 1, 10.0, idempotency_key=False)
        result = tus.TusUpload(photo, TusOptions(), "/another/place").attempt(connection, context)
        connection.release()
        source.close()
    assert (result.outcome, target.family) == (Outcome.ACCEPTED, socket.AF_INET)
    assert held(tmp_path / "files") == {("3509191001001", 1): hashlib.sha256(content).hexdigest()}
