"""Clients written by others: tuspy, aiotus, tus-js-client, curl."""

import asyncio
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import aiotus
import pytest
from tusclient import client as tuspy

from tests.support.mock_in_process import READING, STATION, path_of, photo
from tests.support.mock_process import Process, process

pytestmark = pytest.mark.peers

PICTURE = photo("from afar", size=700_000)
SHA256 = hashlib.sha256(PICTURE).hexdigest()
FLAKY = [
    {"kind": "abort", "status": 503, "match": {"method": "PATCH"}, "skip_first": 1, "count": 1},
    {"kind": "offset_rollback", "match": {"method": "PATCH"}, "skip_first": 2, "count": 1},
    {"kind": "reset_peer", "match": {"method": "PATCH"}, "skip_first": 4, "count": 1},
]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "page.jpg"
    path.write_bytes(PICTURE)
    return path


@pytest.fixture
def tus_js(npm: Callable[[str], Path]) -> Path:
    """A folder where tus-js-client is installed."""
    return npm("tus-client")


def the_page_is_stored_once(server: Process, reading: str = "") -> None:
    (row,) = server.stored()
    assert (row["station"], row["form"], row["page"]) == (STATION, "ppwp", 2)
    assert (row["sha256"], row["size_bytes"], row["reading"]) == (SHA256, len(PICTURE), reading)


def url(server: Process, path: str) -> str:
    return f"http://127.0.0.1:{server.ready['port']}{path}"


def tuspy_upload(server: Process, picture: Path, **options: object) -> None:
    peer = tuspy.TusClient(url(server, "/v1/files"), headers={"Authorization": f"Bearer {server.token(STATION)}"})
    metadata = {"station": STATION, "form": "ppwp", "page": "2", "reading": READING}
    with picture.open("rb") as file:
        peer.uploader(file_stream=file, chunk_size=100_000, metadata=metadata, **options).upload()


def test_tuspy_uploads_in_chunks(tmp_path, picture):
    with process(tmp_path) as server:
        tuspy_upload(server, picture)
        the_page_is_stored_once(server, READING)


def test_tuspy_uploads_with_checksums(tmp_path, picture):
    with process(tmp_path) as server:
        tuspy_upload(server, picture, upload_checksum=True)
        the_page_is_stored_once(server, READING)


def test_tuspy_goes_on_where_it_was_interrupted(tmp_path, picture):
    with process(tmp_path) as server:
        headers = {"Authorization": f"Bearer {server.token(STATION)}"}
        peer = tuspy.TusClient(url(server, "/v1/files"), headers=headers)
        metadata = {"station": STATION, "form": "ppwp", "page": "2"}
        with picture.open("rb") as file:
            first = peer.uploader(file_stream=file, chunk_size=100_000, metadata=metadata)
            first.upload(stop_at=300_000)
            assert server.stored() == []
            peer.uploader(file_stream=file, chunk_size=100_000, url=first.url).upload()
        the_page_is_stored_once(server)


async def test_aiotus_uploads(tmp_path, picture):
    with process(tmp_path) as server:
        token = await asyncio.to_thread(server.token, STATION)
        metadata = {"station": STATION.encode(), "form": b"ppwp", "page": b"2", "reading": READING.encode()}
        with picture.open("rb") as file:
            async with aiohttp.ClientSession() as session:
                location = await aiotus.upload(
                    url(server, "/v1/files"), file, metadata, client_session=session, chunksize=100_000,
                    headers={"Authorization": f"Bearer {token}"},
                )  # fmt: skip
        assert "/v1/files/" in str(location)
        the_page_is_stored_once(server, READING)


def test_tus_js_client_uploads(tmp_path, picture, tus_js):
    with process(tmp_path) as server:
        done = js_upload(server, picture, tus_js)
        assert done["retries"] == 0
        the_page_is_stored_once(server)


def test_tus_js_client_comes_through_refusals_resets_and_lost_bytes(tmp_path, picture, tus_js):
    with process(tmp_path, faults=FLAKY) as server:
        done = js_upload(server, picture, tus_js)
        assert done["retries"] >= 2
        the_page_is_stored_once(server)
        for fault in FLAKY:
            assert server.metric(f'mock_server_faults_injected_total{{fault="{fault["kind"]}"}}') == 1


def test_tus_js_client_uploads_by_the_ietfs_draft(tmp_path, picture, tus_js):
    with process(tmp_path) as server:
        done = js_upload(server, picture, tus_js, path_of(page=2), "ietf-draft-05")
        assert done["retries"] == 0
        the_page_is_stored_once(server)
        assert "/v1/uploads/" in str(done["url"])


def test_tus_js_client_comes_through_refusals_resets_and_lost_bytes_by_the_ietfs_draft(tmp_path, picture, tus_js):
    with process(tmp_path, faults=FLAKY) as server:
        done = js_upload(server, picture, tus_js, path_of(page=2), "ietf-draft-05")
        assert done["retries"] >= 2
        the_page_is_stored_once(server)
        for fault in FLAKY:
            assert server.metric(f'mock_server_faults_injected_total{{fault="{fault["kind"]}"}}') == 1


def js_upload(
    server: Process, picture: Path, folder: Path, path: str = "/v1/files", protocol: str = "tus-v1"
) -> dict[str, Any]:
    arguments = [url(server, path), server.token(STATION), str(picture), f"{STATION}/ppwp/2", "100000", protocol]
    done = subprocess.run(
        ["node", "upload.mjs", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def curl(server: Process, *arguments: str) -> tuple[int, str]:
    """Status and body of what curl got."""
    token = server.token(STATION)
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {token}", *arguments],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_curl_uploads_a_form(tmp_path, picture):
    with process(tmp_path) as server:
        parts = ["-F", f"photo=@{picture};type=image/jpeg", "-F", f"reading={READING};type=application/json"]
        status, body = curl(server, *parts, url(server, path_of(page=2)))
        assert (status, json.loads(body)["sha256"]) == (201, SHA256)
        the_page_is_stored_once(server, READING)


def test_curl_uploads_the_raw_photo_and_waits_to_be_asked_for_it(tmp_path, picture):
    with process(tmp_path) as server:
        arguments = ["-T", str(picture), "-H", "Content-Type: image/jpeg", "-H", "Expect: 100-continue"]
        status, _ = curl(server, *arguments, "-H", f"Reading: {READING}", url(server, path_of(page=2)))
        assert status == 201
        the_page_is_stored_once(server, READING)


def test_curl_uploads_chunked(tmp_path, picture):
    with process(tmp_path) as server:
        arguments = ["-X", "PUT", "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{picture}"]
        status, _ = curl(server, *arguments, "-H", "Content-Type: image/jpeg", url(server, path_of(page=2)))
        assert status == 201
        the_page_is_stored_once(server)


def test_curl_reads_a_refusal_while_it_is_still_sending(tmp_path, picture):
    with process(tmp_path, faults=[{"kind": "abort", "status": 503, "retry_after": "7s"}], t0=True) as server:
        done = subprocess.run(
            ["curl", "-sS", "-i", "-T", str(picture), "-H", "Expect:", url(server, path_of(page=2))],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert " 503 " in done.stdout.splitlines()[0]
        assert "Retry-After: 7" in done.stdout
