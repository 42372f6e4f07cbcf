"""injections.jsonl says what faults did, no more and no less: an audit has to be able to rely on it."""

import asyncio
import json
from pathlib import Path

import pytest

from mock_server.storage.injection_log import InjectionLog
from tests.support.mock_in_process import READING, STATION, form, head, path_of, photo, read, running, station, until


def lines(folder: Path) -> list[tuple[str, int]]:
    """The faults of the log, with the attempt that they struck."""
    path = folder / "injections.jsonl"
    content = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(line["fault"], line["attempt"]) for line in content]


@pytest.mark.parametrize("kind", ["false_ack", "lose_after_ack", "corrupt_stored", "misfile", "duplicate_store"])
async def test_a_repetition_is_struck_by_no_fault_of_storing(tmp_path, kind):
    async with running(tmp_path, faults=[{"kind": kind, "skip_first": 1}]) as mock:
        assert [(await mock.upload()).status for _ in range(2)] == [201, 200]
        assert (await mock.upload(picture=photo("other"))).status == 409
        assert len(await mock.stored()) == 1
        assert await mock.metric(f'mock_server_faults_injected_total{{fault="{kind}"}}') == 0
    assert lines(tmp_path) == []


async def test_a_page_without_figures_is_not_misread(tmp_path):
    async with running(tmp_path, faults=[{"kind": "misread"}]) as mock:
        await mock.upload(page=1, X_Attempt="1")
        await mock.upload(page=2, reading=READING, X_Attempt="2")
    assert lines(tmp_path) == [("misread", 2)]


async def test_what_is_not_stored_was_not_changed_either(tmp_path):
    faults = [{"kind": kind} for kind in ("misfile", "lose_after_ack", "false_ack", "corrupt_stored")]
    async with running(tmp_path, faults=faults) as mock:
        assert (await mock.upload()).status == 201
        assert await mock.stored() == []
    assert lines(tmp_path) == [("false_ack", 1)]


@pytest.mark.parametrize("before", ["bandwidth", "slicer", "chunked_dribble", "slow_close", "truncate_body"])
async def test_an_ack_is_lost_behind_a_fault_that_would_send_it_too(tmp_path, before):
    keys = {
        "bandwidth": {"rate": "9MB/s"},
        "slicer": {},
        "chunked_dribble": {"total": "1ms"},
        "slow_close": {"delay": "1ms"},
        "truncate_body": {},
    }
    async with running(tmp_path, faults=[{"kind": before, **keys[before]}, {"kind": "ack_lost"}]) as mock:
        answer = await mock.upload()
        assert (answer.raw, answer.end) == (b"", "rst")
    assert [fault for fault, _ in lines(tmp_path) if fault != "bandwidth"] == ["ack_lost"]


async def test_a_limit_that_was_not_reached_is_not_logged(tmp_path):
    async with running(tmp_path, faults=[{"kind": "limit_data", "limit": "1MB"}]) as mock:
        assert (await mock.upload()).status == 201
    assert lines(tmp_path) == []


async def test_an_answer_without_a_body_is_neither_truncated_nor_dribbled(tmp_path):
    faults = [{"kind": "truncate_body"}, {"kind": "chunked_dribble", "total": "1ms"}]
    async with running(tmp_path, faults=faults) as mock:
        line = await mock.line()
        headers = {**await mock.bearer(), "Tus-Resumable": "1.0.0", "Upload-Length": "3000"}
        meta = "station MzUwOTE5MTAwMTAwMQ==,form cHB3cA==,page MQ=="
        created = await line.ask("POST", "/v1/files", {**headers, "Upload-Metadata": meta})
        path = created.headers["location"].removeprefix("http://mock")
        await line.send(head("HEAD", path, headers, 0))
        found = await line.answer("HEAD")
        assert "transfer-encoding" not in found.headers
        assert (await line.ask("DELETE", path, headers)).status == 204, "the connection is still good"
        await line.close()
    assert lines(tmp_path) == []


@pytest.mark.virtual_time
async def test_a_fault_behind_one_that_refuses_is_not_logged(tmp_path):
    async with running(tmp_path, faults=[{"kind": "abort"}, {"kind": "latency", "delay": "1s"}]) as mock:
        assert (await mock.upload()).took_s < 0.9
    assert lines(tmp_path) == [("abort", 1)]


async def test_a_hit_that_did_nothing_does_not_use_up_the_count(tmp_path):
    async with running(tmp_path, faults=[{"kind": "limit_data", "limit": "2000B", "count": 1}]) as mock:
        assert (await mock.upload(picture=photo(size=900))).status == 201
        assert (await mock.upload(page=2)).raw == b""
        assert (await mock.upload(page=2)).status == 201


async def test_the_log_has_the_line_before_the_client_has_the_acknowledgement(tmp_path, monkeypatch):
    async def never(_log: InjectionLog) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(InjectionLog, "write", never)
    async with running(tmp_path, faults=[{"kind": "false_ack"}]) as mock:
        assert (await mock.upload()).status == 201
        assert lines(tmp_path) == [("false_ack", 1)]


async def test_another_faults_coming_and_going_releases_nobody(tmp_path):
    async with running(tmp_path, faults=[{"kind": "latency", "delay": "600ms"}]) as mock:
        waiting = asyncio.create_task(mock.upload())
        await asyncio.sleep(0.1)
        await mock.admin("POST", "/faults", {"kind": "abort", "match": {"station": "999"}})
        await mock.admin("DELETE", "/faults/abort")
        assert (await waiting).took_s > 0.55


@pytest.mark.virtual_time
async def test_a_fault_lets_go_what_it_holds_at_its_end(tmp_path):
    async with running(tmp_path, faults=[{"kind": "timeout", "duration": "1500ms"}]) as mock:
        answer = await asyncio.wait_for(mock.upload(), 10)
        assert answer.raw == b""
        assert answer.took_s < 2.5


async def test_a_closed_port_opens_when_the_last_fault_that_closed_it_is_over(tmp_path):
    async with running(tmp_path) as mock:
        for name in ("a", "b"):
            await mock.admin("PUT", f"/faults/{name}", {"kind": "down"})
        await mock.admin("DELETE", "/faults/b")
        with pytest.raises(ConnectionRefusedError):
            await mock.line()
        await mock.admin("PUT", "/faults/a", {"kind": "latency", "delay": "1ms"})
        assert (await mock.ask("GET", "/healthz")).status == 200


async def test_requests_for_public_results_are_struck_in_their_share(tmp_path):
    abort = {"kind": "abort", "probability": 0.5, "match": {"phase": "public"}}
    async with running(tmp_path, faults=[abort]) as mock:
        statuses = [(await mock.ask("GET", "/pemilu/hhcw/ppwp.json")).status for _ in range(40)]
        assert 8 <= statuses.count(503) <= 32, "20 expected, standard deviation 3.2"


async def test_asking_after_an_upload_is_no_attempt_at_it(tmp_path):
    async with running(tmp_path, faults=[{"kind": "latency", "delay": "1ms", "match": {"method": "POST"}}]) as mock:
        for _ in range(3):
            await mock.ask("GET", path_of() + "/status", await mock.bearer())
        await mock.upload(X_HTTP_Method_Override="GET")
    assert lines(tmp_path) == [("latency", 1)]


async def test_a_rollback_strikes_an_attempt_once(tmp_path):
    async with running(tmp_path, faults=[{"kind": "offset_rollback"}]) as mock:
        headers = {**await mock.bearer(), "Tus-Resumable": "1.0.0", "X-Attempt": "1"}
        meta = "station MzUwOTE5MTAwMTAwMQ==,form cHB3cA==,page MQ=="
        created = await mock.ask("POST", "/v1/files", {**headers, "Upload-Length": "3000", "Upload-Metadata": meta})
        path = created.headers["location"].removeprefix("http://mock")
        body = {**headers, "Content-Type": "application/offset+octet-stream"}
        await mock.ask("PATCH", path, {**body, "Upload-Offset": "0"}, photo()[:2000])
        offsets = [(await mock.ask("HEAD", path, headers)).headers["upload-offset"] for _ in range(2)]
        assert offsets == ["1000", "1000"]
        assert (await mock.ask("PATCH", path, {**body, "Upload-Offset": "1000"}, photo()[1000:])).status == 204
        assert (await mock.stored())[0]["station"] == STATION
        assert (await mock.upload(station(2))).status == 201


async def test_a_loss_that_a_kill_prevented_is_not_logged(tmp_path):
    async with running(tmp_path, faults=[{"kind": "lose_after_ack", "after": "1h"}]) as mock:
        assert (await mock.upload()).status == 201
        await asyncio.sleep(0.4)
        assert lines(tmp_path) == [], "promised, and counted, but not done"
        assert await mock.metric('mock_server_faults_injected_total{fault="lose_after_ack"}') == 1
        await mock.admin("POST", "/drain")
        assert lines(tmp_path) == [("lose_after_ack", 1)]
        assert await mock.stored() == []


async def test_an_acknowledgement_that_reading_is_asynchronous_for_is_lost_too(tmp_path):
    faults = [{"kind": "ack_lost", "count": 1}]
    async with running(tmp_path, reading="asynchronous", reading_time="10ms", faults=faults) as mock:
        answer = await mock.upload()
        assert (answer.raw, answer.end) == (b"", "rst")
        assert (await mock.upload(page=2)).status == 202
        await read(mock)
        assert sorted(row["page"] for row in await mock.stored()) == [1, 2]
    assert lines(tmp_path) == [("ack_lost", 1)]


def duration(method: str, status: object, route: str = "/v1/stations/{code}/forms/{form}/pages/{page}") -> str:
    labels = f'http_request_method="{method}",http_response_status_code="{status}",http_route="{route}"'
    return f"http_server_request_duration_seconds_%s{{{labels}}}"


@pytest.mark.parametrize(
    ("kind", "keys", "status"),
    [
        ("ack_lost", {}, "none"),
        ("empty_response", {}, "none"),
        ("random_data_then_close", {}, "none"),
        ("reset_peer", {}, "none"),
        ("timeout", {"after": "1ms"}, "none"),
        ("truncate_body", {}, 201),
        ("malformed_response_chunk", {}, 201),
        ("slicer", {"size": "1B"}, 201),
        ("abort", {"status": 502}, 502),
    ],
)
async def test_a_request_is_counted_with_the_status_that_its_client_saw(tmp_path, kind, keys, status):
    async with running(tmp_path, faults=[{"kind": kind, **keys}]) as mock:
        await mock.upload()
        assert await mock.metric(duration("POST", status) % "count") == 1
        everything = (await mock.admin("GET", "/metrics")).body.decode()
        assert everything.count("http_server_request_duration_seconds_count{") == 1, "and with no other one"


async def test_a_client_that_left_before_its_answer_saw_no_status(tmp_path):
    async with running(tmp_path, service_time="300ms") as mock:
        line, body = await mock.line(), form(photo())
        await line.send(head("POST", path_of(), await mock.form_headers(), len(body)) + body)
        await until(lambda: mock.server.pool.busy == 1)
        await line.close()
        await until(lambda: mock.server.metrics.active == 0)
        assert await mock.metric(duration("POST", "none") % "count") == 1


@pytest.mark.virtual_time
async def test_the_duration_ends_with_the_answer_not_with_what_comes_after_it(tmp_path):
    faults = [{"kind": "slow_close", "delay": "600ms", "match": {"method": "POST"}}]
    async with running(tmp_path, faults=faults, max_body="1KB") as mock:
        await mock.upload(picture=photo(size=300))
        assert await mock.metric(duration("POST", 201) % "count") == 1
        assert await mock.metric(duration("POST", 201) % "sum") < 0.01
        line = await mock.line()
        headers = {**await mock.bearer(), "Content-Type": "image/jpeg"}
        await line.send(head("PUT", path_of(), headers, 5000) + b"x" * 100)  # it goes on reading for a second
        assert (await line.rest()).status == 413
        assert await mock.metric(duration("PUT", 413) % "count") == 1
        assert await mock.metric(duration("PUT", 413) % "sum") < 0.01
        await line.close()


async def test_a_request_that_cannot_be_parsed_is_counted(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        await line.send(b"GET / HTTP/1.1\r\nno header\r\n\r\n")
        assert (await line.rest()).status == 400
        await line.close()
        labels = 'http_request_method="_OTHER",http_response_status_code="400",http_route="unmatched"'
        assert await mock.metric(f"http_server_request_duration_seconds_count{{{labels}}}") == 1


async def test_a_handler_that_breaks_is_counted(tmp_path, monkeypatch):
    async with running(tmp_path) as mock:

        async def breaks(*_arguments: object) -> None:
            raise KeyError

        monkeypatch.setattr(mock.server.pipeline, "receive", breaks)
        assert (await mock.upload()).status == 500
        route = "/v1/stations/{code}/forms/{form}/pages/{page}"
        labels = f'http_request_method="POST",http_response_status_code="500",http_route="{route}"'
        assert await mock.metric(f"http_server_request_duration_seconds_count{{{labels}}}") == 1


async def test_a_login_is_asked_for_its_body_once(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        await line.send(head("POST", "/v1/login", {"Expect": "100-continue"}, 2, close=True))
        await asyncio.sleep(0.2)
        await line.send(b"{}")
        answer = await line.rest()
        assert answer.raw.count(b"100 Continue") == 1
        assert b"HTTP/1.1 400 Bad Request" in answer.raw
        await line.close()
