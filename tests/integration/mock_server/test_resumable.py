"""Resumable uploads over raw sockets: what draft-ietf-httpbis-resumable-upload-12 asks of a server."""

import asyncio
import hashlib
import json
from itertools import pairwise

import pytest

from mock_server.upload.resumable import PROGRESS_BYTES
from tests.support.mock_in_process import READING, head, path_of, photo, repr_digest, running, until
from tests.support.resumable_requests import PARTIAL, VERSION, append, create, exchange, path_in, state
from tests.support.tus_requests import arrived

PICTURE = photo(size=9000)


async def test_a_whole_photo_is_put_as_ever_and_could_have_been_resumed(tmp_path):
    async with running(tmp_path) as mock:
        done = await create(mock, PICTURE, 9000, completes=True, Reading=READING, Repr_Digest=repr_digest(PICTURE))
        (told,) = done.interim
        assert (told.status, told.headers["upload-draft-interop-version"]) == (104, "8")
        assert told.headers["upload-limit"].startswith("max-size=")
        assert (done.final.status, done.final.headers["upload-complete"]) == (201, "?1")
        assert done.final.json["sha256"] == hashlib.sha256(PICTURE).hexdigest()
        assert "service;dur=" in done.final.headers["server-timing"]
        (row,) = await mock.stored()
        assert (row["reading"], row["sha256"]) == (READING, done.final.json["sha256"])
        assert await state(mock, done.place) == (204, 9000, "?1")
        assert list((tmp_path / "uploads").iterdir()) == [], "its bytes are not kept twice"


async def test_an_upload_in_parts_becomes_a_page_with_the_last_of_them(tmp_path):
    async with running(tmp_path) as mock:
        done = await create(mock, PICTURE[:3000], 9000)
        assert (done.final.status, done.final.headers["upload-complete"]) == (201, "?0")
        path = path_in(done.final)
        assert path == done.place
        done = await append(mock, path, 3000, PICTURE[3000:6000])
        assert (done.final.status, done.final.headers["upload-complete"]) == (204, "?0")
        found = (await exchange(mock, "HEAD", path, {})).final
        assert {name: found.headers[name] for name in ("upload-offset", "upload-complete", "upload-length", "cache-control")} == {
            "upload-offset": "6000", "upload-complete": "?0", "upload-length": "9000", "cache-control": "no-store",
        }  # fmt: skip
        assert await mock.stored() == []
        done = await append(mock, path, 6000, PICTURE[6000:], completes=True)
        assert (done.final.status, done.final.headers["upload-complete"]) == (201, "?1")
        assert [row["size_bytes"] for row in await mock.stored()] == [9000]


async def test_the_length_may_be_unknown_until_the_end(tmp_path):
    async with running(tmp_path) as mock:
        path = (await create(mock, PICTURE[:3000])).place
        assert "upload-length" not in (await exchange(mock, "HEAD", path, {})).final.headers
        done = await append(mock, path, 3000, PICTURE[3000:], completes=True)
        assert (done.final.status, len(await mock.stored())) == (201, 1)
        assert (await exchange(mock, "HEAD", path, {})).final.headers["upload-length"] == "9000"


@pytest.mark.parametrize("version", ["6", "x", ""])
async def test_clients_of_another_iteration_are_served_without_interim_responses(tmp_path, version):
    async with running(tmp_path) as mock:
        done = await create(mock, PICTURE, completes=True, **{"Upload-Draft-Interop-Version": version})
        assert (done.final.status, done.final.headers["upload-complete"], done.interim) == (201, "?1", [])


@pytest.mark.parametrize("value", ["1", "?2", "true", ""])
async def test_a_field_that_is_no_boolean_is_ignored(tmp_path, value):
    async with running(tmp_path) as mock:
        done = await exchange(mock, "PUT", path_of(), {"Upload-Complete": value, "Content-Type": "image/jpeg"}, PICTURE)
        assert (done.final.status, done.interim) == (201, [])
        assert "upload-complete" not in done.final.headers


async def test_how_far_it_has_come_is_told_on_the_way(tmp_path):
    picture = photo(size=4 * PROGRESS_BYTES)
    async with running(tmp_path) as mock:
        done = await create(mock, picture, len(picture), completes=True)
        offsets = [int(one.headers["upload-offset"]) for one in done.interim[1:]]
        assert len(offsets) in {2, 3}, "by the pieces in which it arrives"
        assert all(PROGRESS_BYTES <= later - before < 2 * PROGRESS_BYTES for before, later in pairwise([0, *offsets]))
        assert all("location" not in one.headers for one in done.interim[1:])


async def test_what_arrived_before_the_connection_broke_is_kept(tmp_path):
    picture = photo(size=200_000)
    async with running(tmp_path) as mock:
        line = await mock.line()
        headers = {**await mock.bearer(), **VERSION, "Upload-Complete": "?1", "Content-Type": "image/jpeg"}
        await line.send(head("PUT", path_of(), headers, len(picture)) + picture[:120_000])
        path = path_in(await line.answer())
        await until(lambda: arrived(tmp_path) > 0)
        await line.close()
        status, offset, complete = await state(mock, path)
        assert (status, complete) == (204, "?0")
        assert 0 < offset <= 120_000
        done = await append(mock, path, offset, picture[offset:], completes=True)
        assert done.final.status == 201
        assert [row["sha256"] for row in await mock.stored()] == [hashlib.sha256(picture).hexdigest()]


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
async def test_a_transfer_that_hangs_is_ended_by_the_next_request(tmp_path, method):
    async with running(tmp_path) as mock:
        line = await mock.line()
        headers = {**await mock.bearer(), **VERSION, "Upload-Complete": "?1", "Content-Type": "image/jpeg"}
        await line.send(head("PUT", path_of(), headers, 9000) + PICTURE[:4000])
        path = path_in(await line.answer())
        await until(lambda: arrived(tmp_path) == 4000)
        if method == "PATCH":
            done = await append(mock, path, 4000, PICTURE[4000:], completes=True)
            assert done.final.status == 201
        else:
            done = await exchange(mock, method, path, {})
            assert done.final.status == 204
        assert (await line.rest()).end == "rst"
        await line.close()
        assert (await state(mock, path))[0] == (410 if method == "DELETE" else 204)


async def test_while_a_page_is_processed_its_offset_is_told_and_an_append_waits_for_it(tmp_path):
    async with running(tmp_path, service_time="500ms") as mock:
        creating = asyncio.create_task(create(mock, PICTURE[:8999], 9000))
        path = (await creating).place
        finishing = asyncio.create_task(append(mock, path, 8999, PICTURE[8999:], completes=True))
        await until(lambda: mock.server.pool.busy == 1)
        assert await state(mock, path) == (204, 9000, "?0")
        done = await append(mock, path, 9000, b"", completes=True)
        assert (done.final.status, done.final.headers["upload-complete"]) == (200, "?1")
        assert done.final.json["receipt"] == (await finishing).final.json["receipt"]
        assert len(await mock.stored()) == 1


async def test_a_page_that_is_refused_for_now_keeps_its_bytes_and_is_completed_without_them(tmp_path):
    async with running(tmp_path, service_time="400ms", workers=1, shed="queue_full", queue_capacity=0) as mock:
        path = (await create(mock, PICTURE[:3000], 9000)).place
        line = await mock.line()
        headers = {**await mock.bearer(), **PARTIAL, "Upload-Offset": "3000", "Upload-Complete": "?1"}
        await line.send(head("PATCH", path, headers, 6000) + PICTURE[3000:4000])
        await until(lambda: arrived(tmp_path) == 4000)
        other = asyncio.create_task(mock.upload("3509191001002"))
        await until(lambda: mock.server.pool.busy == 1)
        await line.send(PICTURE[4000:])
        refused = await line.answer()
        await line.close()
        assert (refused.status, refused.headers["upload-complete"]) == (503, "?0")
        assert await state(mock, path) == (204, 9000, "?0")
        assert (await other).status == 201
        assert (await append(mock, path, 9000, b"", completes=True)).final.status == 201
        assert len(await mock.stored()) == 2


async def test_another_photo_than_the_one_that_was_announced_is_refused_and_the_upload_gone(tmp_path):
    async with running(tmp_path) as mock:
        done = await create(mock, PICTURE[:3000], 9000, Repr_Digest=repr_digest(photo("other", size=9000)))
        refused = await append(mock, done.place, 3000, PICTURE[3000:], completes=True)
        assert (refused.final.status, refused.final.headers["upload-complete"]) == (400, "?1")
        assert (await state(mock, done.place))[0] == 410
        assert await mock.stored() == []


async def test_an_append_elsewhere_than_the_offset_is_a_conflict_that_names_it(tmp_path):
    async with running(tmp_path) as mock:
        path = (await create(mock, PICTURE[:3000], 9000)).place
        answer = (await append(mock, path, 100, b"x")).final
        assert (answer.status, answer.headers["upload-offset"], answer.headers["upload-complete"]) == (
            409,
            "3000",
            "?0",
        )
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json
        assert told["type"] == "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
        assert (told["expected-offset"], told["provided-offset"]) == (3000, 100)


@pytest.mark.parametrize(
    ("offset", "data", "headers", "gone"),
    [
        (3000, PICTURE[3000:] + b"x", {}, True),
        (3000, PICTURE[3000:8000], {"completes": True}, False),
        (3000, PICTURE[3000:4000], {"Upload_Length": "9001"}, False),
    ],
    ids=["too long", "too short", "another length"],
)
async def test_lengths_that_contradict_each_other_are_refused(tmp_path, offset, data, headers, gone):
    async with running(tmp_path) as mock:
        path = (await create(mock, PICTURE[:3000], 9000)).place
        answer = (await append(mock, path, offset, data, **headers)).final
        assert (answer.status, answer.headers["upload-complete"]) == (400, "?0")
        assert json.loads(answer.body)["type"].endswith("#inconsistent-upload-length")
        assert (await state(mock, path))[0] == (410 if gone else 204)


async def test_more_bytes_than_the_length_in_a_body_without_a_length_are_refused(tmp_path):
    async with running(tmp_path) as mock:
        path = (await create(mock, PICTURE[:3000], 9000)).place
        line = await mock.line()
        headers = {**await mock.bearer(), **PARTIAL, "Upload-Offset": "3000", "Upload-Complete": "?1"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await line.send(f"PATCH {path} HTTP/1.1\r\nHost: mock\r\n{lines}Transfer-Encoding: chunked\r\n\r\n".encode())
        await line.send(b"%x\r\n%b\r\n0\r\n\r\n" % (7000, bytes(7000)))
        assert (await line.answer()).status == 400
        await line.close()
        assert (await state(mock, path))[0] == 410


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Content-Type": "image/jpeg"}, 415),
        ({"Upload-Offset": "x"}, 400),
        ({"Upload-Offset": "-1"}, 400),
        ({"Upload-Complete": "1"}, 400),
        ({"Authorization": "Bearer wrong"}, 401),
    ],
)
async def test_an_append_that_cannot_be_is_refused(tmp_path, change, status):
    async with running(tmp_path) as mock:
        path = (await create(mock, PICTURE[:3000], 9000)).place
        headers = {**PARTIAL, "Upload-Offset": "3000", "Upload-Complete": "?1", **change}
        assert (await exchange(mock, "PATCH", path, headers, b"x")).final.status == status
        assert await state(mock, path) == (204, 3000, "?0")


async def test_a_photo_that_is_larger_than_the_server_takes_is_refused_with_the_limit(tmp_path):
    async with running(tmp_path, max_body="5KB") as mock:
        answer = (await create(mock, PICTURE[:100], 9000)).final
        assert (answer.status, answer.headers["upload-limit"]) == (413, "max-size=5000")


async def test_the_limits_are_told_to_those_who_ask(tmp_path):
    async with running(tmp_path, max_body="7MB", upload_lifetime="1h") as mock:
        answer = await mock.ask("OPTIONS", path_of())
        assert (answer.status, answer.headers["upload-limit"]) == (204, "max-size=7000000, max-age=3600")


async def test_a_cancelled_upload_is_gone(tmp_path):
    async with running(tmp_path) as mock:
        path = (await create(mock, PICTURE[:3000], 9000)).place
        assert (await exchange(mock, "DELETE", path, {})).final.status == 204
        assert (await append(mock, path, 3000, PICTURE[3000:], completes=True)).final.status == 410
        assert arrived(tmp_path) == 0
        assert (await state(mock, "/v1/uploads/unknown"))[0] == 404


async def test_nobody_touches_another_stations_upload(tmp_path):
    async with running(tmp_path) as mock:
        path = (await create(mock, PICTURE[:3000], 9000)).place
        answer = await mock.ask("DELETE", path, await mock.bearer("3509191001002"))
        assert answer.status == 403
        assert (await state(mock, path))[0] == 204


async def test_a_restarted_server_goes_on_where_it_was(tmp_path):
    async with running(tmp_path) as mock:
        path = (await create(mock, PICTURE, 9000)).place
    async with running(tmp_path) as mock:
        assert await state(mock, path) == (204, 9000, "?0"), "an offset never decreases"
        done = await append(mock, path, 9000, b"", completes=True)
        assert done.final.status == 201
    async with running(tmp_path) as mock:
        assert await state(mock, path) == (204, 9000, "?1")
        again = await append(mock, path, 9000, b"", completes=True)
        assert (again.final.status, again.final.json) == (200, done.final.json)
        assert (await append(mock, path, 9000, b"x", completes=True)).final.status == 400


async def test_an_expired_upload_is_gone(tmp_path):
    async with running(tmp_path, upload_lifetime="200ms") as mock:
        path = (await create(mock, PICTURE[:3000], 9000)).place
        await asyncio.sleep(0.3)
        assert (await state(mock, path))[0] == 410


async def test_a_form_is_taken_as_one_whatever_it_says_of_resumption(tmp_path):
    async with running(tmp_path) as mock:
        assert (await mock.upload(Upload_Complete="?1")).status == 201
