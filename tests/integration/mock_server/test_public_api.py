"""The public read side: shapes as KPU's, sums that agree at every level."""

import asyncio
import json
import re

import pytest

from mock_server.http.auth import StationCredentials
from tests.support.mock_in_process import READING, Mock, photo, running, station

CODES = ("3509191001001", "3509191001002", "3509191002001", "3510011001001", "1101012001001")
VOTES = ("100025", "100026", "100027")
PATHS = {
    "": "/pemilu/hhcw/ppwp.json",
    "35": "/pemilu/hhcw/ppwp/35.json",
    "3509": "/pemilu/hhcw/ppwp/35/3509.json",
    "350919": "/pemilu/hhcw/ppwp/35/3509/350919.json",
    "3509191001": "/pemilu/hhcw/ppwp/35/3509/350919/3509191001.json",
    "3509191001001": "/pemilu/hhcw/ppwp/35/3509/350919/3509191001/3509191001001.json",
}


def reading(*votes: int) -> str:
    total = sum(votes)
    counts = {"suara_sah": total, "suara_tidak_sah": 0, "suara_total": total, "pemilih_dpt_j": 300}
    return json.dumps({"administrasi": counts, "chart": dict(zip(VOTES, votes, strict=True))})


def stations() -> StationCredentials:
    return StationCredentials({code: code[-6:] for code in CODES}, {CODES[0]: "TPS 001 Mangli"})


async def get(mock: Mock, path: str):
    answer = await mock.ask("GET", path)
    assert answer.status == 200, path
    return answer.json


async def test_regions_are_listed_level_by_level(tmp_path):
    async with running(tmp_path, stations()) as mock:
        assert await get(mock, "/wilayah/pemilu/ppwp/0.json") == [
            {"nama": "11", "id": 11, "kode": "11", "tingkat": 1},
            {"nama": "35", "id": 35, "kode": "35", "tingkat": 1},
        ]
        below = {
            "35": ["3509", "3510"],
            "35/3509": ["350919"],
            "35/3509/350919": ["3509191001", "3509191002"],
            "35/3509/350919/3509191001": ["3509191001001", "3509191001002"],
        }
        for level, (path, codes) in enumerate(below.items(), 2):
            children = await get(mock, f"/wilayah/pemilu/ppwp/{path}.json")
            assert [(child["kode"], child["tingkat"]) for child in children] == [(code, level) for code in codes]
        assert [child["nama"] for child in children] == ["TPS 001 Mangli", "TPS 002"]


async def test_a_station_that_has_not_uploaded_has_nulls(tmp_path):
    async with running(tmp_path, stations()) as mock:
        found = await get(mock, PATHS["3509191001001"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", found.pop("ts"))
        assert found == {
            "mode": "hhcw", "psu": None, "chart": None, "images": [None, None, None], "administrasi": None,
            "status_suara": False, "status_adm": False,
        }  # fmt: skip


async def test_a_stations_votes_appear_at_every_level_and_the_sums_agree(tmp_path):
    async with running(tmp_path, stations(), public_cache="0s") as mock:
        await mock.upload(CODES[0], page=2, reading=reading(105, 91, 34))
        await mock.upload(CODES[1], page=2, reading=reading(1, 2, 3))
        await mock.upload(CODES[3], page=2, reading=reading(10, 20, 30))
        await mock.upload(CODES[4], page=1)
        expected = {
            "3509191001": (106, 93, 37), "350919": (106, 93, 37), "3509": (106, 93, 37), "35": (116, 113, 67),
            "": (116, 113, 67),
        }  # fmt: skip
        for code, votes in expected.items():
            found = await get(mock, PATHS[code])
            assert tuple(found["chart"][candidate] for candidate in VOTES) == votes
            for number, candidate in enumerate(VOTES):
                assert sum(child[candidate] for child in found["table"].values()) == votes[number]
        nation = await get(mock, PATHS[""])
        assert nation["progres"] == {"total": 5, "progres": 3}
        assert nation["chart"]["persen"] == 60.0
        assert nation["table"]["11"]["status_progress"] is False
        assert nation["table"]["35"]["persen"] == 75.0
        single = await get(mock, PATHS["3509191001001"])
        assert single["chart"] == {"100025": 105, "100026": 91, "100027": 34}
        assert single["administrasi"]["suara_sah"] == 230
        assert (single["status_suara"], single["status_adm"]) == (True, True)


@pytest.mark.virtual_time
async def test_what_is_lost_is_taken_out_of_the_sums(tmp_path):
    faults = [{"kind": "lose_after_ack", "after": "200ms"}]
    async with running(tmp_path, stations(), public_cache="0s", faults=faults) as mock:
        await mock.upload(CODES[0], page=2, reading=READING)
        assert (await get(mock, PATHS["35"]))["chart"]["100025"] == 105
        await asyncio.sleep(0.5)
        assert (await get(mock, PATHS["35"]))["chart"]["100025"] == 0
        assert (await get(mock, PATHS[CODES[0]]))["chart"] is None


async def test_what_comes_in_the_place_of_what_was_lost_is_counted_and_the_lost_is_not(tmp_path):
    faults = [{"kind": "lose_after_ack", "after": "1h", "count": 1}]
    async with running(tmp_path, stations(), public_cache="0s", faults=faults) as mock:
        await mock.upload(CODES[0], page=2, reading=reading(105, 0, 0))
        assert (await get(mock, PATHS["35"]))["chart"]["100025"] == 105
        await mock.admin("POST", "/drain")
        await mock.upload(CODES[1], page=2, reading=reading(7, 0, 0))
        assert (await get(mock, PATHS["35"]))["chart"]["100025"] == 7
        assert (await get(mock, PATHS[CODES[0]]))["chart"] is None


@pytest.mark.parametrize("chart", [{"100025": 10**4298}, {"100025": 10**9}, {"x": 5}, {"\ud800": 5}])
async def test_figures_that_nobody_can_have_counted_are_stored_with_a_warning_and_left_out(tmp_path, chart):
    async with running(tmp_path, stations(), public_cache="0s", faults=[{"kind": "misread"}]) as mock:
        text = json.dumps({"chart": chart, "administrasi": {"suara_sah": 1}})
        for code in CODES[:2]:
            answer = await mock.upload(code, page=2, reading=text)
            assert (answer.status, len(answer.json["warnings"])) == (201, 1)
        for code, path in PATHS.items():
            found = await get(mock, path)
            assert found["chart"] is None if code == CODES[0] else found["chart"]["100025"] == 0


async def test_a_deep_reading_is_refused_before_a_fault_gets_lost_in_it(tmp_path):
    async with running(tmp_path, faults=[{"kind": "misread"}]) as mock:
        for depth, status in ((975, 400), (32, 201)):
            deep = '{"a":' * depth + "1" + "}" * depth
            assert (await mock.upload(reading=deep)).status == status


async def test_of_several_copies_the_first_one_counts(tmp_path):
    async with running(tmp_path, stations(), public_cache="0s", dedupe="none") as mock:
        await mock.upload(CODES[0], page=2, reading=reading(1, 1, 1))
        await mock.upload(CODES[0], page=2, reading=reading(9, 9, 9))
        assert (await get(mock, PATHS["35"]))["chart"]["100025"] == 1
        assert (await get(mock, PATHS[""]))["progres"]["progres"] == 1


@pytest.mark.virtual_time
async def test_an_answer_is_cached_for_the_time_the_profile_says(tmp_path):
    async with running(tmp_path, stations(), public_cache="600ms") as mock:
        assert (await get(mock, PATHS["35"]))["chart"]["100025"] == 0
        await mock.upload(CODES[0], page=2, reading=READING)
        assert (await get(mock, PATHS["35"]))["chart"]["100025"] == 0
        await asyncio.sleep(0.7)
        assert (await get(mock, PATHS["35"]))["chart"]["100025"] == 105
        assert (await get(mock, PATHS[CODES[0]]))["chart"]["100025"] == 105, "everybody sees the same snapshot"


async def test_no_cache_asks_for_what_is_stored_now(tmp_path):
    async with running(tmp_path, stations(), public_cache="1h") as mock:
        assert (await get(mock, PATHS["35"]))["chart"]["100025"] == 0
        await mock.upload(CODES[0], page=2, reading=READING)
        answers = await asyncio.gather(*(mock.ask("GET", PATHS["35"], {"Cache-Control": "No-Cache"}) for _ in range(5)))
        assert [answer.json["chart"]["100025"] for answer in answers] == [105] * 5
        assert (await get(mock, PATHS["35"]))["chart"]["100025"] == 105, "and everybody else has it too"


async def test_a_client_that_has_the_latest_response_gets_304(tmp_path):
    async with running(tmp_path, stations(), public_cache="1h") as mock:
        for path in (*PATHS.values(), "/wilayah/pemilu/ppwp/35.json"):
            first = await mock.ask("GET", path)
            assert first.headers["cache-control"] == "max-age=3600"
            for known in (first.headers["etag"], f'"old", W/{first.headers["etag"]}', "*"):
                again = await mock.ask("GET", path, {"If-None-Match": known})
                assert (again.status, again.body) == (304, b"")
                assert again.headers["etag"] == first.headers["etag"]
            assert (await mock.ask("GET", path, {"If-None-Match": '"old"'})).body == first.body
        fresh = await mock.ask("GET", PATHS[""], {"If-None-Match": first.headers["etag"], "Cache-Control": "no-cache"})
        assert fresh.status == 200
        assert fresh.headers["etag"] != first.headers["etag"]
        assert (await mock.ask("GET", "/pemilu/hhcw/ppwp/99.json", {"If-None-Match": "*"})).status == 404


@pytest.mark.parametrize("keep", [True, False])
async def test_images_are_named_and_served_if_they_are_kept(tmp_path, keep):
    async with running(tmp_path, stations(), public_cache="0s", keep_photos=keep) as mock:
        await mock.upload(CODES[0], page=3)
        images = (await get(mock, PATHS[CODES[0]]))["images"]
        assert images[:2] == [None, None]
        assert re.fullmatch(r"/images/3509191001001-\d{8}-\d{6}--[0-9a-f-]{36}\.jpg", images[2])
        answer = await mock.ask("GET", images[2])
        if keep:
            assert (answer.headers["content-type"], answer.body) == ("image/jpeg", photo((CODES[0], 3)))
        else:
            assert answer.status == 404


async def test_without_a_stations_file_those_that_uploaded_are_known(tmp_path):
    async with running(tmp_path, public_cache="0s") as mock:
        assert await get(mock, "/wilayah/pemilu/ppwp/0.json") == []
        await mock.upload(station(7), page=2, reading=READING)
        assert [child["kode"] for child in await get(mock, "/wilayah/pemilu/ppwp/0.json")] == ["35"]


@pytest.mark.parametrize(
    "path",
    [
        "/pemilu/hhcw/ppwp/36.json",
        "/pemilu/hhcw/ppwp/3509.json",
        "/pemilu/hhcw/ppwp/35/3510/350919.json",
        "/pemilu/hhcw/ppwp/35/3509/350919/3509191001/3509191001999.json",
        "/pemilu/hhcw/ppwp/x/y.json",
        "/wilayah/pemilu/ppwp/35/3509/350919/3509191001/3509191001001.json",
        "/images/nix.jpg",
    ],
)
async def test_what_is_no_region_is_not_found(tmp_path, path):
    async with running(tmp_path, stations()) as mock:
        answer = await mock.ask("GET", path)
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
