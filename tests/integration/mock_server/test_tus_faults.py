"""What the faults of resumable uploads do to them, and to whom."""

import hashlib
import json
import time

import pytest

from mock_server.profile.keyed_random import keyed_uniform
from tests.support.mock_in_process import Answer, head, photo, running, station, until
from tests.support.tus_requests import BYTES, VERSION, arrived, create, offset_of, patch


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
        expected = {code for code in codes if keyed_uniform(11, 3, kind, "hit", code, "ppwp", 1, 1) < 0.5}
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
