"""How resumable uploads end: as a page, refused, given up, expired and swept; and what a restart leaves of them."""

import asyncio
import hashlib
import time

from mock_server.storage import resumable
from tests.support.mock_in_process import STATION, head, photo, running, station, until
from tests.support.tus_requests import BYTES, VERSION, arrived, create, offset_of, patch


async def test_an_upload_can_be_given_up(tmp_path):
    async with running(tmp_path) as mock:
        path = await create(mock, photo())
        assert (await mock.ask("DELETE", path, {**await mock.bearer(), **VERSION})).status == 204
        assert (await offset_of(mock, path)).status == 410
        assert (await patch(mock, path, 0, photo())).status == 410
        assert list((tmp_path / "uploads").iterdir()) == []


async def test_an_upload_expires(tmp_path):
    async with running(tmp_path, upload_lifetime="1h") as mock:
        path = await create(mock, photo())
        assert (await offset_of(mock, path)).status == 200
        mock.server.resumable._now = lambda: time.time() + 3601
        assert (await offset_of(mock, path)).status == 410


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


async def test_expired_bytes_are_swept_though_nothing_is_created(tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "_SWEEP_INTERVAL_S", 0.1)
    async with running(tmp_path, upload_lifetime="400ms") as mock:
        path = await create(mock, photo())
        await patch(mock, path, 0, photo()[:2000])
        files = tmp_path / "uploads"
        assert len(list(files.iterdir())) == 1
        await until(lambda: not list(files.iterdir()))
        assert (await offset_of(mock, path)).status in {404, 410}
        assert mock.server.resumable._open == {}


async def test_a_sweep_leaves_alone_what_is_in_use_or_not_expired_and_takes_what_nobody_knows(tmp_path):
    async with running(tmp_path) as mock:
        running_upload, waiting, late = [await create(mock, photo(), page) for page in (1, 2, 3)]
        store = mock.server.resumable
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
    monkeypatch.setattr(resumable, "_MAX_PER_SWEEP", 3)
    # the server's own first sweep may come late on a busy machine, and would be one too many
    monkeypatch.setattr(resumable.ResumableStore, "keep_clean", lambda _: asyncio.sleep(60))
    folder = tmp_path / "uploads"
    async with running(tmp_path) as mock:
        folder.mkdir()
        for number in range(7):
            (folder / f"{number}.part").touch()
        left = []
        for _ in range(3):
            await mock.server.resumable.sweep()
            left.append(len(list(folder.iterdir())))
        assert left == [4, 1, 0]
