"""Clients that are slow, idle or too many: how long the server waits for a header and a body, and whom it closes."""

import asyncio
import time

import pytest

from tests.support.mock_in_process import Line, form, head, path_of, photo, running, until


async def test_a_body_that_takes_too_long_is_answered_408(tmp_path):
    async with running(tmp_path, body_timeout="300ms") as mock:
        line = await mock.line()
        body = form(photo())
        await line.send(head("POST", path_of(), await mock.form_headers(), len(body)) + body[:100])
        answer = await line.rest()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        await line.close()


@pytest.mark.virtual_time
async def test_a_client_below_the_least_rate_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr("mock_server.upload.body._RATE_WINDOW_S", 0.4)
    async with running(tmp_path, min_upload_rate="10KB/s") as mock:
        picture = photo(size=30_000)
        body = form(picture)

        async def drip(pause_s: float) -> int:
            line = await mock.line()
            await line.send(head("POST", path_of(), await mock.form_headers(), len(body)))
            sender = asyncio.create_task(_drip(line, body, pause_s))
            answer = await line.answer()
            sender.cancel()
            await line.close()
            return answer.status

        assert await drip(0.2) == 408, "5 KB/s"
        assert await drip(0.01) == 201, "100 KB/s"


async def _drip(line, body: bytes, pause_s: float) -> None:
    for begin in range(0, len(body), 1000):
        await line.send(body[begin : begin + 1000])
        await asyncio.sleep(pause_s)


@pytest.mark.virtual_time
async def test_a_connection_without_a_header_is_closed_in_time(tmp_path):
    async with running(tmp_path, header_timeout="300ms") as mock:
        silent, slow = await mock.line(), await mock.line()
        await slow.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        for line in (silent, slow):
            answer = await line.rest()
            assert (answer.status, answer.end) == (408, "fin")
            assert answer.took_s < 1.0
            await line.close()


@pytest.mark.virtual_time
async def test_a_header_behind_an_answered_request_is_timed_from_its_first_byte(tmp_path):
    async with running(tmp_path, header_timeout="300ms") as mock:
        line = await mock.line()
        assert (await line.ask("GET", "/healthz")).status == 200
        await asyncio.sleep(0.5)
        await line.send(b"GET /healthz HTTP/1.1\r\nHo")
        answer = await line.rest()
        assert (answer.status, answer.end) == (408, "fin")
        assert 0.25 < answer.took_s < 1.0
        await line.close()


@pytest.mark.virtual_time
async def test_a_header_behind_a_request_that_is_worked_on_is_timed_from_its_answer(tmp_path):
    async with running(tmp_path, header_timeout="300ms", service_time="600ms") as mock:
        line, body = await mock.line(), form(photo())
        begun = time.monotonic()
        await line.send(head("POST", path_of(), await mock.form_headers(), len(body)) + body + b"GET / HT")
        assert (await line.answer()).status == 201
        assert (await line.rest()).status == 408
        assert 0.6 + 0.3 - 0.01 < time.monotonic() - begun < 2.0
        await line.close()


@pytest.mark.virtual_time
async def test_pipelined_requests_and_slow_bodies_have_no_header_to_wait_for(tmp_path):
    async with running(tmp_path, header_timeout="200ms", service_time="150ms", workers=1) as mock:
        line, body = await mock.line(), form(photo())
        headers = await mock.form_headers()
        sent = [head("POST", path_of(page=page), headers, len(body)) + body for page in (1, 2, 3)]
        await line.send(sent[0] + sent[1] + sent[2][:-500])
        assert [(await line.answer()).status for _ in range(2)] == [201, 201]
        await asyncio.sleep(0.4)
        await line.send(sent[2][-500:])
        assert (await line.answer()).status == 201
        await line.close()


async def test_the_admin_port_keeps_an_idle_connection_too(tmp_path):
    async with running(tmp_path, header_timeout="200ms") as mock:
        line = Line(*await asyncio.open_connection("127.0.0.1", mock.admin_port))
        for _ in range(2):
            assert (await line.ask("GET", "/healthz")).status == 200
            await asyncio.sleep(0.5)
        await line.send(b"GET /he")
        assert (await line.rest()).status == 408
        await line.close()


async def test_an_idle_connection_between_requests_is_left_alone(tmp_path):
    async with running(tmp_path, header_timeout="200ms") as mock:
        line = await mock.line()
        assert (await line.ask("GET", "/healthz")).status == 200
        await asyncio.sleep(0.6)
        assert (await line.ask("GET", "/healthz")).status == 200
        await line.close()


async def test_a_header_above_the_limit_is_refused(tmp_path):
    async with running(tmp_path, max_header="2KB") as mock:
        assert (await mock.ask("GET", "/healthz", {"X-Long": "x" * 3000})).status == 400
        assert (await mock.ask("GET", "/healthz", {"X-Long": "x" * 1000})).status == 200


async def test_connections_above_the_limit_are_closed_at_once(tmp_path):
    async with running(tmp_path, max_connections=3) as mock:
        lines = [await mock.line() for _ in range(3)]
        for line in lines:
            assert (await line.ask("GET", "/healthz")).status == 200
        above = await mock.line()
        assert (await above.rest()).raw == b""
        await lines.pop().close()
        await until(lambda: len(mock.server.connections) == 2)
        another = await mock.line()
        assert (await another.ask("GET", "/healthz")).status == 200
        for line in (*lines, above, another):
            await line.close()
