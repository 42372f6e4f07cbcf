"""Uploads by multipart and PUT: answers, receipts, repetition, conflict, digests."""

import asyncio
import gc
import hashlib
import json
import threading
from urllib.parse import quote

import pytest

from mock_server.http.auth import StationCredentials
from mock_server.http.responses import reason_phrase
from tests.support.mock_in_process import (
    BOUNDARY,
    READING,
    STATION,
    form,
    head,
    path_of,
    photo,
    repr_digest,
    running,
    station,
    until,
)


async def test_a_new_page_is_stored_and_answered_with_its_receipt(tmp_path):
    async with running(tmp_path) as mock:
        answer = await mock.upload(page=2, reading=READING)
        assert answer.status == 201
        digest = hashlib.sha256(photo((STATION, 2))).hexdigest()
        assert answer.json["sha256"] == digest
        assert answer.json["size"] == 3000
        (row,) = await mock.stored()
        assert (row["station"], row["form"], row["page"]) == (STATION, "ppwp", 2)
        assert (row["sha256"], row["size_bytes"], row["reading"]) == (digest, 3000, READING)


@pytest.mark.virtual_time
async def test_the_answer_tells_where_its_time_went(tmp_path):
    async with running(tmp_path, service_time="40ms") as mock:
        answer = await mock.upload()
    parts = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert list(parts) == ["queue", "service", "store"]
    assert float(parts["service"]) == pytest.approx(40, abs=25)
    assert float(parts["queue"]) < 25
    assert 0 < float(parts["store"]) < 500


async def test_the_same_page_again_gives_the_same_receipt(tmp_path):
    async with running(tmp_path) as mock:
        first, second = await mock.upload(), await mock.upload()
        assert (first.status, second.status) == (201, 200)
        assert first.json["receipt"] == second.json["receipt"]
        assert len(await mock.stored()) == 1


async def test_another_photo_of_a_held_page_is_a_conflict(tmp_path):
    async with running(tmp_path) as mock:
        await mock.upload()
        answer = await mock.upload(picture=photo("other"))
        assert answer.status == 409
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["sha256"] == hashlib.sha256(photo((STATION, 1))).hexdigest()
        assert len(await mock.stored()) == 1


async def test_racing_uploads_of_one_page_store_one_copy(tmp_path):
    async with running(tmp_path, workers=64) as mock:
        answers = await asyncio.gather(*(mock.upload() for _ in range(30)))
        assert sorted(answer.status for answer in answers) == [200] * 29 + [201]
        assert len({answer.json["receipt"] for answer in answers}) == 1
        assert len(await mock.stored()) == 1


async def test_without_dedupe_every_arrival_is_a_row(tmp_path):
    async with running(tmp_path, dedupe="none") as mock:
        assert [(await mock.upload()).status for _ in range(3)] == [201, 201, 201]
        assert len(await mock.stored()) == 3


async def test_dedupe_by_key_knows_a_repetition_by_its_idempotency_key_only(tmp_path):
    async with running(tmp_path, dedupe="key") as mock:
        statuses = [(await mock.upload(Idempotency_Key=key)).status for key in ("a", "a", "b")]
        assert statuses == [201, 200, 201]
        assert (await mock.upload(Idempotency_Key="a", picture=photo("other"))).status == 409
        assert (await mock.upload()).status == 201
        assert len(await mock.stored()) == 3


async def test_a_put_stores_the_raw_photo_and_the_reading_of_its_header(tmp_path):
    async with running(tmp_path) as mock:
        headers = {**await mock.bearer(), "Content-Type": "image/jpeg", "Reading": READING}
        answer = await mock.ask("PUT", path_of(page=2), headers, photo("raw"))
        assert answer.status == 201
        (row,) = await mock.stored()
        assert (row["sha256"], row["reading"]) == (hashlib.sha256(photo("raw")).hexdigest(), READING)
        again = await mock.upload(page=2, picture=photo("raw"), reading=READING)
        assert again.status == 200, "both protocols end in the same store"


async def test_a_chunked_body_is_taken(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        picture = photo("chunked")
        headers = {**await mock.bearer(), "Transfer-Encoding": "chunked"}
        lines = [f"PUT {path_of()} HTTP/1.1", "Host: mock", *(f"{name}: {value}" for name, value in headers.items())]
        await line.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        for begin in range(0, len(picture), 700):
            piece = picture[begin : begin + 700]
            await line.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await line.send(b"0\r\n\r\n")
        assert (await line.answer()).json["sha256"] == hashlib.sha256(picture).hexdigest()
        await line.close()


@pytest.mark.parametrize("cut", [slice(2, None), slice(None, -2), slice(0, 2), slice(0, 0)])
async def test_a_photo_that_is_no_complete_jpeg_is_unreadable(tmp_path, cut):
    async with running(tmp_path) as mock:
        answer = await mock.upload(picture=photo()[cut])
        assert answer.status == 422
        assert answer.json["detail"] == "The photo is not a complete JPEG"
        assert await mock.stored() == []


async def test_a_digest_that_does_not_match_is_refused(tmp_path):
    async with running(tmp_path) as mock:
        wrong = await mock.upload(Repr_Digest=repr_digest(b"something else"))
        assert wrong.status == 400
        right = await mock.upload(Repr_Digest=f"sha-512=:AAAA:, {repr_digest(photo((STATION, 1)))}")
        assert right.status == 201


async def test_figures_that_do_not_add_up_are_stored_with_a_warning(tmp_path):
    async with running(tmp_path) as mock:
        answer = await mock.upload(page=2, reading=READING.replace('"suara_sah":230', '"suara_sah":231'))
        assert answer.status == 201
        assert answer.json["warnings"] == [
            "the votes add up to 230, but suara_sah = 231",
            "suara_sah + suara_tidak_sah = 235, but suara_total = 234",
        ]
        assert len(await mock.stored()) == 1
        assert "warnings" not in (await mock.upload(page=1, reading=READING)).json


@pytest.mark.parametrize(
    ("reading", "status"),
    [("{", 400), ("[1]", 400), ('"x"', 400), ("[" * 30_000, 400), ('{"a":' * 3_000, 400), ("x" * 70_000, 413)],
)
async def test_a_reading_that_is_no_json_object_is_refused(tmp_path, reading, status):
    async with running(tmp_path) as mock:
        assert (await mock.upload(reading=reading)).status == status
        assert await mock.stored() == []


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", path_of(page=4), {}, 404),
        ("POST", path_of(form_name="nix"), {}, 404),
        ("POST", path_of()[:-1] + "x", {}, 404),
        ("GET", path_of(), {}, 405),
        ("POST", "/nowhere", {}, 404),
        ("POST", path_of(), {"Content-Type": "text/plain"}, 415),
        ("POST", path_of(), {"Content-Type": "multipart/form-data"}, 400),
        ("PUT", path_of(), {"Content-Type": "image/png"}, 415),
        ("POST", path_of(), {"Authorization": "Bearer wrong"}, 401),
        ("POST", path_of(), {"Authorization": "Basic xyz"}, 401),
        ("POST", path_of(station(2)), {}, 403),
    ],
)
async def test_wrong_requests_get_a_problem(tmp_path, method, path, headers, status):
    async with running(tmp_path) as mock:
        sent = {**await mock.form_headers(), **headers}
        answer = await mock.ask(method, path, sent, form(photo()))
        assert answer.status == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["status"] == status
        assert (answer.json["type"], answer.json["title"]) == ("about:blank", reason_phrase(status))


async def test_a_body_without_a_length_is_refused(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        lines = [f"PUT {path_of()} HTTP/1.1", "Host: mock", f"Authorization: Bearer {await mock.token()}"]
        await line.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        assert (await line.answer()).status == 411
        await line.close()


async def test_a_body_above_the_limit_is_refused_before_it_is_read(tmp_path):
    async with running(tmp_path, max_body="5KB") as mock:
        answer = await mock.upload(picture=photo(size=6000))
        assert answer.status == 413
        assert (await mock.upload(picture=photo(size=3000))).status == 201


async def test_a_chunked_body_above_the_limit_is_refused_too(tmp_path):
    async with running(tmp_path, max_body="5KB") as mock:
        line = await mock.line()
        lines = [f"PUT {path_of()} HTTP/1.1", "Host: mock", f"Authorization: Bearer {await mock.token()}"]
        await line.send("\r\n".join([*lines, "Transfer-Encoding: chunked"]).encode() + b"\r\n\r\n")
        await line.send(b"1000\r\n" + b"x" * 4096 + b"\r\n1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n")
        assert (await line.answer()).status == 413
        await line.close()


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary at all",
        f"--{BOUNDARY}\r\n\r\n".encode(),
        form(photo())[:-8],
        form(photo()).replace(b'name="photo"', b'name="film"'),
        form(photo()).replace(b"form-data", b"attachment"),
        form(photo())[: -len(BOUNDARY) - 6] + form(photo()),
    ],
)
async def test_malformed_forms_are_refused(tmp_path, body):
    async with running(tmp_path) as mock:
        answer = await mock.ask("POST", path_of(), await mock.form_headers(), body)
        assert answer.status == 400
        assert await mock.stored() == []


async def test_a_client_that_waits_for_it_is_told_to_send_the_body(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        body = form(photo())
        await line.send(head("POST", path_of(), {**await mock.form_headers(), "Expect": "100-continue"}, len(body)))
        assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await line.send(body)
        assert (await line.answer()).status == 201
        await line.close()


async def test_photos_are_kept_only_if_the_profile_says_so(tmp_path):
    for keep in (False, True):
        folder = tmp_path / str(keep)
        folder.mkdir()
        async with running(folder, keep_photos=keep) as mock:
            await mock.upload()
            (row,) = await mock.server.store.run("SELECT photo FROM pages")
            assert row[0] == (photo((STATION, 1)) if keep else None)


async def test_what_is_committed_after_its_request_was_given_up_is_counted_as_stored(tmp_path):
    async with running(tmp_path, handler_timeout="200ms") as mock:
        await mock.token()
        gate = threading.Event()
        slow = asyncio.create_task(mock.server.store.do(lambda _connection: gate.wait(5)))
        assert (await mock.upload()).status == 503
        gate.set()
        await slow
        await until(lambda: mock.server.store.waiting == 0)
        assert await mock.metric("mock_server_pages_stored_total") == len(await mock.stored()) == 1
        assert await mock.metric("mock_server_stored_bytes_total") == len(photo((STATION, 1)))


@pytest.mark.virtual_time
async def test_service_times_are_the_same_for_a_page_and_attempt_whatever_the_order(tmp_path):
    drawn: list[dict[str, list[float]]] = []
    for order in (range(1, 9), range(8, 0, -1)):
        folder = tmp_path / str(len(drawn))
        folder.mkdir()
        times: dict[str, list[float]] = {}
        spread = {"distribution": "uniform", "low": "5ms", "high": "60ms"}
        async with running(folder, workers=8, service_time=spread, seed=7) as mock:
            answers = await asyncio.gather(*(mock.upload(station(number), X_Attempt="3") for number in order))
            for number, answer in zip(order, answers, strict=True):
                times[station(number)] = [float(answer.headers["server-timing"].split("service;dur=")[1].split(",")[0])]
        drawn.append(times)
    for code, (first,) in drawn[0].items():
        assert drawn[1][code][0] == pytest.approx(first, abs=25), "scheduling noise only"
    assert max(t for (t,) in drawn[0].values()) - min(t for (t,) in drawn[0].values()) > 10


async def test_problems_are_json_for_unparsable_requests_too(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        await line.send(b"NOT HTTP AT ALL\r\n\r\n")
        answer = await line.rest()
        assert answer.status == 400
        assert json.loads(answer.body)["status"] == 400
        await line.close()


async def test_stations_of_any_codes_and_forms_of_any_names_are_taken_and_no_others(tmp_path):
    codes = ["CLINIC-017", "مركز/5", "{x}"]
    credentials = StationCredentials(dict.fromkeys(codes, "1"))
    async with running(tmp_path, credentials, forms={"consent form": 2}, accepts="any") as mock:
        for code in codes:
            login = await mock.ask("POST", "/v1/login", body=json.dumps({"station": code, "pin": "1"}).encode())
            headers = {"Authorization": f"Bearer {login.json['token']}", "Content-Type": "application/pdf"}
            for form, page, status in [("consent form", 2, 201), ("consent form", 3, 404), ("ppwp", 1, 404)]:
                path = path_of(quote(code, safe=""), page, quote(form))
                assert (await mock.ask("PUT", path, headers, b"%PDF-1.7 not a JPEG")).status == status
        stored = await mock.stored()
        assert {(row["station"], row["form"], row["page"]) for row in stored} == {
            (code, "consent form", 2) for code in codes
        }
        assert (
            await mock.ask("GET", "/pemilu/hhcw/ppwp.json")
        ).status == 200  # their places are not known, and not counted
        unknown = await mock.ask("POST", "/v1/login", body=json.dumps({"station": "CLINIC-018", "pin": "1"}).encode())
        assert unknown.status == 401


@pytest.mark.parametrize("size", [3000, 300_000])
async def test_an_upload_leaves_nothing_to_the_garbage_collector(tmp_path, size):
    async with running(tmp_path) as mock:
        line = await mock.line()
        headers = [await mock.form_headers(station(number)) for number in range(1, 21)]

        async def upload_all(page: int) -> None:
            for number in range(1, 21):
                body = form(photo((number, page), size))
                path = path_of(station(number), page)
                assert (await line.ask("POST", path, headers[number - 1], body)).status == 201

        await upload_all(1)  # what is made once
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await upload_all(2)
            gc.collect()
            left = [type(thing).__name__ for thing in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        await line.close()
    assert len(left) < 20, "not one for each upload"
