"""Resumable uploads over raw sockets: what tus 1.0.0 asks for."""

import asyncio
import base64
import hashlib
import time

import pytest

from mock_server.storage.resumable import ResumableUpload
from mock_server.upload.pipeline import UploadPipeline
from tests.support.mock_in_process import READING, head, photo, running, station, until
from tests.support.tus_requests import BYTES, VERSION, arrived, create, metadata, offset_of, patch, path_in


async def test_an_upload_in_three_pieces_becomes_a_page(tmp_path):
    picture = photo(size=9000)
    async with running(tmp_path) as mock:
        path = await create(mock, picture, page=2, reading=READING)
        for begin in (0, 3000, 6000):
            assert (await offset_of(mock, path)).headers["upload-offset"] == str(begin)
            assert await mock.stored() == []
            answer = await patch(mock, path, begin, picture[begin : begin + 3000])
            assert (answer.status, answer.headers["upload-offset"]) == (204, str(begin + 3000))
        assert "service;dur=" in answer.headers["server-timing"]
        (row,) = await mock.stored()
        assert (row["page"], row["reading"], row["size_bytes"]) == (2, READING, 9000)
        assert row["sha256"] == hashlib.sha256(picture).hexdigest()
        found = await offset_of(mock, path)
        assert (found.headers["upload-offset"], found.headers["upload-length"]) == ("9000", "9000")
        assert found.headers["upload-metadata"] == metadata(2, reading=READING)
        assert list((tmp_path / "uploads").iterdir()) == [], "its bytes are not kept twice"


async def test_the_server_tells_what_it_speaks(tmp_path):
    async with running(tmp_path, max_body="7MB") as mock:
        answer = await mock.ask("OPTIONS", "/v1/files")
        assert answer.status == 204
        assert answer.headers["tus-version"] == "1.0.0"
        assert answer.headers["tus-extension"] == "creation,creation-with-upload,expiration,checksum,termination"
        assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256"
        assert answer.headers["tus-max-size"] == "7000000"


async def test_the_first_bytes_may_come_with_the_creation(tmp_path):
    picture = photo()
    async with running(tmp_path) as mock:
        headers = {**await mock.bearer(), **VERSION, **BYTES, "Upload-Length": "3000", "Upload-Metadata": metadata()}
        answer = await mock.ask("POST", "/v1/files", headers, picture[:1000])
        assert (answer.status, answer.headers["upload-offset"]) == (201, "1000")
        assert "upload-expires" in answer.headers
        assert (await patch(mock, path_in(answer), 1000, picture[1000:])).status == 204
        assert len(await mock.stored()) == 1


async def test_a_whole_photo_may_come_with_the_creation(tmp_path):
    async with running(tmp_path) as mock:
        headers = {**await mock.bearer(), **VERSION, **BYTES, "Upload-Length": "3000", "Upload-Metadata": metadata()}
        answer = await mock.ask("POST", "/v1/files", headers, photo())
        assert (answer.status, answer.headers["upload-offset"]) == (201, "3000")
        assert len(await mock.stored()) == 1


async def test_a_patch_elsewhere_than_the_offset_is_a_conflict(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        assert (await patch(mock, path, 100, b"x")).status == 409
        assert (await offset_of(mock, path)).headers["upload-offset"] == "0"


async def test_what_arrived_before_the_connection_broke_is_kept(tmp_path):
    picture = photo(size=200_000)
    async with running(tmp_path) as mock:
        path = await create(mock, picture)
        line = await mock.line()
        headers = {**await mock.bearer(), **VERSION, **BYTES, "Upload-Offset": "0"}
        await line.send(head("PATCH", path, headers, len(picture)) + picture[:120_000])
        await until(lambda: arrived(tmp_path) > 0)
        await line.close()
        await until(lambda: mock.server.metrics.active == 0)
        offset = int((await offset_of(mock, path)).headers["upload-offset"])
        assert 0 < offset <= 120_000
        assert (await patch(mock, path, offset, picture[offset:])).status == 204
        (row,) = await mock.stored()
        assert row["sha256"] == hashlib.sha256(picture).hexdigest()


async def test_two_patches_at_once_never_write_a_range_twice(tmp_path):
    picture = photo(size=300_000)
    async with running(tmp_path) as mock:
        path = await create(mock, picture)
        line = await mock.line()
        headers = {**await mock.bearer(), **VERSION, **BYTES, "Upload-Offset": "0"}
        await line.send(head("PATCH", path, headers, len(picture)) + picture[:1000])
        await until(lambda: arrived(tmp_path) > 0)
        others = await asyncio.gather(*(patch(mock, path, offset, picture[offset:]) for offset in (0, 1000, 1000)))
        assert {answer.status for answer in others} <= {409, 423}
        assert 423 in {answer.status for answer in others}
        await line.send(picture[1000:])
        assert (await line.answer()).status == 204
        await line.close()
        (row,) = await mock.stored()
        assert row["sha256"] == hashlib.sha256(picture).hexdigest()


async def test_racing_patches_store_one_page_with_the_right_bytes(tmp_path):
    picture = photo(size=100_000)
    async with running(tmp_path) as mock:
        path = await create(mock, picture)
        answers = await asyncio.gather(*(patch(mock, path, 0, picture) for _ in range(12)))
        assert [answer.status for answer in answers].count(204) == 1
        assert {answer.status for answer in answers} <= {204, 409, 423}
        (row,) = await mock.stored()
        assert row["sha256"] == hashlib.sha256(picture).hexdigest()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_a_chunk_is_kept_only_if_its_checksum_is_right(tmp_path, algorithm):
    picture = photo()
    async with running(tmp_path) as mock:
        path = await create(mock, picture)
        right = base64.b64encode(hashlib.new(algorithm, picture[:1000]).digest()).decode()
        wrong = await patch(mock, path, 0, b"y" * 1000, Upload_Checksum=f"{algorithm} {right}")
        assert wrong.status == 460
        assert (await offset_of(mock, path)).headers["upload-offset"] == "0"
        assert (await patch(mock, path, 0, picture[:1000], Upload_Checksum=f"{algorithm} {right}")).status == 204
        assert (await patch(mock, path, 1000, picture[1000:])).status == 204


@pytest.mark.parametrize("header", ["md5 AAAA", "sha1 ???", "sha1"])
async def test_a_checksum_that_cannot_be_checked_is_refused(tmp_path, header):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        answer = await patch(mock, path, 0, photo()[:10], Upload_Checksum=header)
        assert answer.status in {400, 460}
        assert (await offset_of(mock, path)).headers["upload-offset"] == "0"


async def test_a_post_may_say_what_it_means_to_be(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        headers = {**await mock.bearer(), **VERSION, **BYTES, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
        assert (await mock.ask("POST", path, headers, photo())).status == 204
        assert len(await mock.stored()) == 1
        assert (await mock.ask("POST", path, {**headers, "X-HTTP-Method-Override": "FLY"})).status == 405


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Tus-Resumable": "0.2.2"}, 412),
        ({"Upload-Length": "-1"}, 400),
        ({"Upload-Length": "99999999"}, 413),
        ({"Upload-Length": "x"}, 400),
        ({"Upload-Metadata": "station !!!"}, 400),
        ({"Upload-Metadata": ""}, 403),
        ({"Upload-Metadata": metadata(page=9)}, 404),
        ({"Upload-Metadata": metadata(code="3509191001002")}, 403),
        ({"Upload-Metadata": metadata(reading="{")}, 400),
        ({"Authorization": "Bearer x"}, 401),
    ],
)
async def test_a_creation_that_cannot_be_is_refused(tmp_path, change, status):
    async with running(tmp_path) as mock:
        headers = {**await mock.bearer(), **VERSION, "Upload-Length": "3000", "Upload-Metadata": metadata(), **change}
        assert (await mock.ask("POST", "/v1/files", headers)).status == status


async def test_nobody_touches_another_stations_upload(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        foreign = {**await mock.bearer(station(2)), **VERSION}
        assert (await mock.ask("HEAD", path, foreign)).status == 403
        assert (await patch(mock, path, 0, photo(), code=station(2))).status == 403
        assert (await mock.ask("DELETE", path, foreign)).status == 403
        assert (await mock.ask("HEAD", "/v1/files/nix", foreign)).status == 404


async def test_more_bytes_than_were_announced_are_refused(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        assert (await patch(mock, path, 0, photo(size=3001))).status == 413
        assert await mock.stored() == []


@pytest.mark.parametrize("extra", [",\udcff cHB3cA==", ",x \udcff"])
async def test_metadata_that_is_not_ascii_is_refused(tmp_path, extra):
    async with running(tmp_path) as mock:
        headers = {**await mock.bearer(), **VERSION, "Upload-Length": "3000", "Upload-Metadata": metadata() + extra}
        assert (await mock.ask("POST", "/v1/files", headers)).status == 400


async def test_a_checksum_that_is_not_ascii_is_refused(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        assert (await patch(mock, path, 0, photo(), Upload_Checksum="sha1 \udcff")).status == 400


async def test_every_answer_says_the_version_errors_too(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        answers = [
            await patch(mock, path, 5, photo()),
            await mock.ask("POST", "/v1/files", VERSION),
            await mock.ask("HEAD", "/v1/files/nix", {**await mock.bearer(), **VERSION}),
            await mock.ask("GET", path),
            await mock.ask("PATCH", path),
        ]
        assert [answer.status for answer in answers] == [409, 400, 404, 405, 412]
        assert {answer.headers["tus-resumable"] for answer in answers} == {"1.0.0"}


async def test_the_version_is_looked_at_before_the_content_type(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        headers = {**await mock.bearer(), "Content-Type": "text/plain"}
        assert (await mock.ask("PATCH", path, headers, b"x")).status == 412
        assert (await mock.ask("PATCH", path, {**headers, **VERSION}, b"x")).status == 415


async def test_an_empty_upload_is_refused_when_it_is_created(tmp_path):
    async with running(tmp_path) as mock:
        headers = {**await mock.bearer(), **VERSION, "Upload-Length": "0", "Upload-Metadata": metadata()}
        assert (await mock.ask("POST", "/v1/files", headers)).status == 400


async def test_a_request_that_is_cut_short_leaves_no_write_behind(tmp_path, monkeypatch):
    append = ResumableUpload.append

    def slowly(upload: ResumableUpload, chunk: bytes) -> None:
        time.sleep(1.0)
        append(upload, chunk)

    picture = photo()
    async with running(tmp_path, handler_timeout="300ms") as mock:
        path = await create(mock, picture)
        monkeypatch.setattr(ResumableUpload, "append", slowly)
        assert (await patch(mock, path, 0, picture[:1000])).status == 503
        monkeypatch.setattr(ResumableUpload, "append", append)
        monkeypatch.setattr(UploadPipeline, "within_timeout", lambda _, work: work)  # the rest may take its time
        offset = int((await offset_of(mock, path)).headers["upload-offset"])
        assert (await patch(mock, path, offset, picture[offset:2000])).status == 204
        await asyncio.sleep(1.0)
        assert (await patch(mock, path, 2000, picture[2000:])).status == 204
        assert (await mock.stored())[0]["sha256"] == hashlib.sha256(picture).hexdigest()
