"""Uploads that are answered 202 before they are read: what the server tells of them later."""

import hashlib
import sqlite3

import pytest

from tests.support.mock_in_process import path_of, photo, read, running


@pytest.mark.virtual_time
async def test_asynchronous_reading_answers_202_and_tells_the_rest_later(tmp_path):
    async with running(tmp_path, reading="asynchronous", reading_time="500ms", workers=1) as mock:
        first, second = await mock.upload(page=1), await mock.upload(page=2)
        assert (first.status, second.status) == (202, 202)
        assert first.headers["location"] == path_of(page=1) + "/status"
        states = [await mock.ask("GET", path_of(page=page) + "/status", await mock.bearer()) for page in (1, 2)]
        assert [state.json["status"] for state in states] == ["reading", "queued"]
        assert await mock.stored() == []
        await read(mock)
        status = await mock.ask("GET", path_of(page=2) + "/status", await mock.bearer())
        assert status.json["status"] == "stored"
        assert len(await mock.stored()) == 2


async def test_asynchronous_reading_finds_out_later_what_is_unreadable(tmp_path):
    async with running(tmp_path, reading="asynchronous", reading_time="10ms") as mock:
        assert (await mock.upload(picture=b"not a photo")).status == 202
        await read(mock)
        status = await mock.ask("GET", path_of() + "/status", await mock.bearer())
        assert status.json["status"] == "unreadable"
        assert await mock.stored() == []


async def test_a_page_that_is_held_is_called_stored_when_another_photo_of_it_was_refused(tmp_path):
    async with running(tmp_path, reading="asynchronous", reading_time="10ms") as mock:
        for picture in (photo(1), photo(2), b"not a photo"):
            assert (await mock.upload(picture=picture)).status == 202
            await read(mock)
            status = (await mock.ask("GET", path_of() + "/status", await mock.bearer())).json
            assert (status["status"], status["sha256"]) == ("stored", hashlib.sha256(photo(1)).hexdigest())


async def test_an_asynchronous_upload_that_the_store_fails_is_called_refused(tmp_path, monkeypatch):
    async with running(tmp_path, reading="asynchronous", reading_time="10ms") as mock:

        async def fails(*_arguments):
            raise sqlite3.OperationalError

        monkeypatch.setattr(mock.server.store, "put", fails)
        assert (await mock.upload()).status == 202
        await read(mock)
        status = await mock.ask("GET", path_of() + "/status", await mock.bearer())
        assert status.json == {"status": "refused", "detail": "The store failed"}


async def test_nothing_is_known_of_a_page_that_never_came(tmp_path):
    async with running(tmp_path) as mock:
        assert (await mock.ask("GET", path_of() + "/status", await mock.bearer())).status == 404
