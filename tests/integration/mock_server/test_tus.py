"""Resumable uploads over raw sockets: what tus 1.0.0 asks for, and what faults do to it."""

import asyncio
import base64
import hashlib
import json
import time
from pathlib import Path

import pytest

from mock_server import uploads
from mock_server.dice import uniform
from mock_server.resumable import Resumable
from tests.integration.mock_server.running import READING, STATION, Answer, Mock, head, photo, running, station, until

VERSION = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}


def metadata(page: int = 1, code: str = STATION, **more: str) -> str:
    pairs = {"station": code, "form": "ppwp", "page": str(page), **more}
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())


async def create(mock: Mock, picture: bytes, page: int = 1, code: str = STATION, **more: str) -> str:
    """A new upload's path."""
    headers = {**await mock.bearer(code), **VERSION, "Upload-Length": str(len(picture))}
    answer = await mock.ask("POST", "/v1/files", {**headers, "Upload-Metadata": metadata(page, code, **more)})
    assert answer.status == 201, answer.raw
    return path_in(answer)


def path_in(answer: Answer) -> str:
    """The path of the upload's address."""
    address = answer.headers["location"]
    assert address.startswith("http://mock/v1/files/"), "absolute, with the host that the client used"
    return address.removeprefix("http://mock")


async def patch(mock: Mock, path: str, offset: int, data: bytes, code: str = STATION, **more: str):
    headers = {**await mock.bearer(code), **VERSION, **BYTES, "Upload-Offset": str(offset)}
    return await mock.ask("PATCH", path, {**headers, **{k.replace("_", "-"): v for k, v in more.items()}}, data)


def arrived(folder: Path) -> int:
    """How many bytes of unfinished uploads a server has written down."""
    return sum(path.stat().st_size for path in (folder / "uploads").glob("*.part"))


async def offset_of(mock: Mock, path: str):
    return await mock.ask("HEAD", path, {**await mock.bearer(), **VERSION})


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


async def test_an_upload_can_be_given_up(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        assert (await mock.ask("DELETE", path, {**await mock.bearer(), **VERSION})).status == 204
        assert (await offset_of(mock, path)).status == 410
        assert (await patch(mock, path, 0, photo())).status == 410
        assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.timed
async def test_an_upload_expires(tmp_path):
    async with running(tmp_path, upload_lifetime="300ms") as mock:
        path = await create(mock, photo())
        assert (await offset_of(mock, path)).status == 200
        await asyncio.sleep(0.4)
        assert (await offset_of(mock, path)).status == 410


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


async def test_an_unreadable_photo_is_told_at_its_end_and_the_upload_is_gone(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, b"x" * 3000)
        assert (await patch(mock, path, 0, b"x" * 3000)).status == 422
        assert (await offset_of(mock, path)).status == 410, "its offset must not say that the page is safe"


async def test_an_upload_of_a_page_held_otherwise_is_a_conflict_and_gone(tmp_path):
    async with running(tmp_path) as mock:
        await mock.upload()
        path = await create(mock, photo("other"))
        assert (await patch(mock, path, 0, photo("other"))).status == 409
        assert (await offset_of(mock, path)).status == 410


async def test_an_upload_of_a_page_held_already_is_a_repetition(tmp_path):
    async with running(tmp_path) as mock:
        await mock.upload(picture=photo())
        path = await create(mock, photo())
        assert (await patch(mock, path, 0, photo())).status == 204
        assert len(await mock.stored()) == 1


async def test_an_upload_that_is_shed_at_its_end_goes_back_to_where_it_was(tmp_path):
    picture = photo()
    async with running(tmp_path, workers=1, queue_capacity=0, service_time="700ms") as mock:
        path = await create(mock, picture)
        assert (await patch(mock, path, 0, picture[:1000])).status == 204
        line = await mock.line()
        headers = {**await mock.bearer(), **VERSION, **BYTES, "Upload-Offset": "1000"}
        await line.send(head("PATCH", path, headers, 2000) + picture[1000:2000])
        await until(lambda: arrived(tmp_path) > 1000)
        busy = asyncio.create_task(mock.upload(station(2)))
        await until(lambda: mock.server.pool.busy == 1)
        await line.send(picture[2000:])
        assert (await line.answer()).status == 503
        await line.close()
        assert (await offset_of(mock, path)).headers["upload-offset"] == "1000"
        assert (await busy).status == 201
        assert (await patch(mock, path, 1000, picture[1000:])).status == 204
        assert len(await mock.stored()) == 2


async def test_while_the_page_is_worked_on_its_upload_is_not_called_complete(tmp_path):
    async with running(tmp_path, service_time="500ms") as mock:
        path = await create(mock, photo())
        finishing = asyncio.create_task(patch(mock, path, 0, photo()))
        await until(lambda: mock.server.pool.busy == 1)
        assert (await offset_of(mock, path)).status == 423
        assert (await finishing).status == 204
        assert (await offset_of(mock, path)).headers["upload-offset"] == "3000"


async def test_an_upload_goes_on_after_a_restart(tmp_path):
    picture = photo()
    async with running(tmp_path) as mock:
        path = await create(mock, picture)
        await patch(mock, path, 0, picture[:2000])
    async with running(tmp_path) as mock:
        assert (await offset_of(mock, path)).headers["upload-offset"] == "2000"
        assert (await patch(mock, path, 2000, picture[2000:])).status == 204
        assert len(await mock.stored()) == 1
    async with running(tmp_path) as mock:
        assert (await offset_of(mock, path)).headers["upload-offset"] == "3000"


async def test_bytes_that_were_all_there_but_not_stored_are_not_complete_after_a_restart(tmp_path):
    picture = photo()
    async with running(tmp_path) as mock:
        path = await create(mock, picture)
    (tmp_path / "uploads" / f"{path.rsplit('/', 1)[1]}.part").write_bytes(picture)
    async with running(tmp_path) as mock:
        assert (await offset_of(mock, path)).headers["upload-offset"] == "2999"
        assert (await patch(mock, path, 2999, picture[2999:])).status == 204
        assert (await mock.stored())[0]["sha256"] == hashlib.sha256(picture).hexdigest()


async def test_offset_rollback_loses_half_of_what_was_sent(tmp_path):
    picture = photo()
    async with running(tmp_path) as mock:
        path = await create(mock, picture)
        await patch(mock, path, 0, picture[:2000])
        await mock.admin("POST", "/faults", {"kind": "offset_rollback", "lose": 0.5, "count": 1})
        assert (await offset_of(mock, path)).headers["upload-offset"] == "1000"
        assert (await patch(mock, path, 2000, picture[2000:])).status == 409
        assert (await patch(mock, path, 1000, picture[1000:])).status == 204
        assert (await mock.stored())[0]["sha256"] == hashlib.sha256(picture).hexdigest()


async def test_offset_rollback_meets_a_patch_with_a_conflict(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        await patch(mock, path, 0, photo()[:2000])
        await mock.admin("POST", "/faults", {"kind": "offset_rollback", "lose": 1.0, "count": 1})
        answer = await patch(mock, path, 2000, photo()[2000:])
        assert (answer.status, answer.headers["upload-offset"]) == (409, "0")


async def test_false_complete_claims_the_whole_length_and_stores_nothing(tmp_path):
    async with running(tmp_path, faults=[{"kind": "false_complete", "match": {"method": "PATCH"}}]) as mock:
        path = await create(mock, photo())
        answer = await patch(mock, path, 0, photo()[:1000])
        assert (answer.status, answer.headers["upload-offset"]) == (204, "3000")
        await mock.admin("DELETE", "/faults")
        assert (await offset_of(mock, path)).headers["upload-offset"] == "3000", "a lie is kept up"
        assert await mock.stored() == []


async def test_stale_lock_answers_423_for_a_while(tmp_path):
    async with running(tmp_path, faults=[{"kind": "stale_lock"}]) as mock:
        path = await create(mock, photo())
        assert (await patch(mock, path, 0, photo())).status == 423
        assert (await offset_of(mock, path)).status == 423
        await mock.admin("DELETE", "/faults")
        assert (await patch(mock, path, 0, photo())).status == 204


async def test_expire_upload_makes_it_gone_for_good(tmp_path):
    async with running(tmp_path, faults=[{"kind": "expire_upload", "count": 1}]) as mock:
        path = await create(mock, photo())
        assert (await patch(mock, path, 0, photo())).status == 410
        assert (await patch(mock, path, 0, photo())).status == 410
        assert await mock.stored() == []
        assert (await patch(mock, await create(mock, photo()), 0, photo())).status == 204


async def test_an_upload_in_use_is_not_touched_by_a_fault_that_strikes_another_request(tmp_path):
    picture = photo(size=300_000)
    async with running(tmp_path, faults=[{"kind": "offset_rollback", "match": {"method": "HEAD"}}]) as mock:
        path = await create(mock, picture)
        line = await mock.line()
        headers = {**await mock.bearer(), **VERSION, **BYTES, "Upload-Offset": "0"}
        await line.send(head("PATCH", path, headers, len(picture)) + picture[:100_000])
        await until(lambda: arrived(tmp_path) > 0)
        assert (await offset_of(mock, path)).status == 423
        await line.send(picture[100_000:])
        assert (await line.answer()).status == 204
        await line.close()
        (row,) = await mock.stored()
        assert row["sha256"] == hashlib.sha256(picture).hexdigest()


async def test_an_upload_that_became_a_page_is_not_struck_any_more(tmp_path):
    async with running(tmp_path, faults=[{"kind": "offset_rollback", "match": {"method": "HEAD"}}]) as mock:
        path = await create(mock, photo())
        assert (await patch(mock, path, 0, photo())).status == 204
        found = await offset_of(mock, path)
        assert (found.status, found.headers["upload-offset"]) == (200, "3000")
        assert await mock.metric('mock_server_faults_injected_total{fault="offset_rollback"}') == 0


@pytest.mark.parametrize("extra", [",\udcff cHB3cA==", ",x \udcff"])
async def test_metadata_that_is_not_ascii_is_refused(tmp_path, extra):
    async with running(tmp_path) as mock:
        headers = {**await mock.bearer(), **VERSION, "Upload-Length": "3000", "Upload-Metadata": metadata() + extra}
        assert (await mock.ask("POST", "/v1/files", headers)).status == 400


async def test_a_checksum_that_is_not_ascii_is_refused(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        assert (await patch(mock, path, 0, photo(), Upload_Checksum="sha1 \udcff")).status == 400


async def test_an_upload_is_answered_only_when_stored_even_where_reading_is_asynchronous(tmp_path):
    async with running(tmp_path, reading="asynchronous", reading_time="300ms") as mock:
        path = await create(mock, photo())
        assert (await patch(mock, path, 0, photo())).status == 204
        assert len(await mock.stored()) == 1, "at once: the last offset is an acknowledgement"
        assert (
            await mock.ask("GET", "/v1/stations/" + STATION + "/forms/ppwp/pages/1/status", await mock.bearer())
        ).json["status"] == "stored"


async def test_an_upload_given_up_while_a_patch_waits_is_not_stored(tmp_path):
    latency = {"kind": "latency", "delay": "500ms", "match": {"method": "PATCH"}}
    async with running(tmp_path, faults=[latency]) as mock:
        path = await create(mock, photo())
        waiting = asyncio.create_task(patch(mock, path, 0, photo()))
        await until(lambda: mock.server.metrics.active == 1)
        assert (await mock.ask("DELETE", path, {**await mock.bearer(), **VERSION})).status == 204
        assert (await waiting).status == 410
        assert await mock.stored() == []
        assert list((tmp_path / "uploads").iterdir()) == []


async def test_an_upload_does_not_expire_while_its_page_is_worked_on(tmp_path):
    expiry = {"kind": "expire_upload", "match": {"method": "HEAD"}}
    async with running(tmp_path, service_time="500ms", faults=[expiry]) as mock:
        path = await create(mock, photo())
        finishing = asyncio.create_task(patch(mock, path, 0, photo()))
        await until(lambda: mock.server.pool.busy == 1)
        assert (await offset_of(mock, path)).status == 423
        assert (await finishing).status == 204
        assert (await offset_of(mock, path)).status == 200


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


@pytest.mark.timed
async def test_a_request_that_is_cut_short_leaves_no_write_behind(tmp_path, monkeypatch):
    append = Resumable.append

    def slowly(upload: Resumable, chunk: bytes) -> None:
        time.sleep(0.6)
        append(upload, chunk)

    picture = photo()
    async with running(tmp_path, handler_timeout="300ms") as mock:
        path = await create(mock, picture)
        monkeypatch.setattr(Resumable, "append", slowly)
        assert (await patch(mock, path, 0, picture[:1000])).status == 503
        monkeypatch.setattr(Resumable, "append", append)
        offset = int((await offset_of(mock, path)).headers["upload-offset"])
        assert (await patch(mock, path, offset, picture[offset:2000])).status == 204
        await asyncio.sleep(0.5)
        assert (await patch(mock, path, 2000, picture[2000:])).status == 204
        assert (await mock.stored())[0]["sha256"] == hashlib.sha256(picture).hexdigest()


def told(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.headers.get("upload-offset")


STRUCK = {
    "offset_rollback": (200, "1000"), "false_complete": (200, "3000"), "stale_lock": (423, None),
    "expire_upload": (410, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", STRUCK)
async def test_each_fault_of_resumable_uploads_hits_by_its_dice_in_its_window_and_nobody_else(tmp_path, kind):
    codes = [station(number) for number in range(1, 25)]
    rule = {"kind": kind, "probability": 0.5, "start": "1h", "duration": "1h", "seed": 3, "match": {"method": "HEAD"}}
    async with running(tmp_path, seed=11, faults=[rule]) as mock:

        async def asked(path: str, code: str, attempt: int) -> tuple[int, str | None]:
            headers = {**await mock.bearer(code), **VERSION, "X-Attempt": str(attempt)}
            return told(await mock.ask("HEAD", path, headers))

        paths = {code: await create(mock, photo(), code=code) for code in codes}
        for code, path in paths.items():
            assert (await patch(mock, path, 0, photo()[:2000], code)).status == 204
        assert await asked(paths[codes[0]], codes[0], 1) == (200, "2000"), "before its window"
        mock.server._t0 = time.monotonic() - 3600  # an hour later
        seen = {code: await asked(path, code, 1) for code, path in paths.items()}
        expected = {code for code in codes if uniform(11, 3, kind, "hit", code, "ppwp", 1, 1) < 0.5}
        assert 6 <= len(expected) <= 18
        assert {code for code, answer in seen.items() if answer == STRUCK[kind]} == expected
        assert {code for code, answer in seen.items() if answer == (200, "2000")} == set(codes) - expected
        assert await mock.metric(f'mock_server_faults_injected_total{{fault="{kind}"}}') == len(expected)
        mock.server._t0 = time.monotonic() - 7200  # after it is over
        untouched = next(code for code in codes if code not in expected)
        assert await asked(paths[untouched], untouched, 2) == (200, "2000")
        assert (await patch(mock, paths[untouched], 2000, photo()[2000:], untouched)).status == 204
    log = [json.loads(line) for line in (tmp_path / "injections.jsonl").read_text().splitlines()]
    assert {(line["station"], line["fault"]) for line in log} == {(code, kind) for code in expected}
    assert all(3600 <= line["time_s"] < 7200 for line in log)


async def test_expired_bytes_are_swept_though_nothing_is_created(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "_SWEEP_EVERY_S", 0.1)
    async with running(tmp_path, upload_lifetime="400ms") as mock:
        path = await create(mock, photo())
        await patch(mock, path, 0, photo()[:2000])
        files = tmp_path / "uploads"
        assert len(list(files.iterdir())) == 1
        await until(lambda: not list(files.iterdir()))
        assert (await offset_of(mock, path)).status in {404, 410}
        assert mock.server.uploads._open == {}


async def test_a_sweep_leaves_alone_what_is_in_use_or_not_expired_and_takes_what_nobody_knows(tmp_path):
    async with running(tmp_path) as mock:
        running_upload, waiting, late = [await create(mock, photo(), page) for page in (1, 2, 3)]
        store = mock.server.uploads
        (await store.find(running_upload.rsplit("/", 1)[1])).is_locked = True
        orphan = tmp_path / "uploads" / "nobodys.part"
        orphan.write_bytes(b"x")
        ids = [path.rsplit("/", 1)[1] for path in (running_upload, late)]
        for name in ids:
            await mock.server.store.run("UPDATE uploads SET expires_at = ? WHERE id = ?", (time.time() - 1, name))
        await store.sweep()
        left = {path.stem for path in (tmp_path / "uploads").iterdir()}
        assert left == {ids[0], waiting.rsplit("/", 1)[1]}
        assert (await offset_of(mock, late)).status == 410, "its record stays for a while"


async def test_a_sweep_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "_MOST_AT_ONCE", 3)
    folder = tmp_path / "uploads"
    async with running(tmp_path) as mock:
        folder.mkdir()
        for number in range(7):
            (folder / f"{number}.part").touch()
        left = []
        for _ in range(3):
            await mock.server.uploads.sweep()
            left.append(len(list(folder.iterdir())))
        assert left == [4, 1, 0]
