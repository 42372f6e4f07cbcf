"""Too many uploads, and clients that leave: what the server does about them."""

import asyncio
import time

import pytest

from tests.support.mock_in_process import STATION, form, head, path_of, photo, running, station, until


@pytest.mark.virtual_time
async def test_what_finds_neither_worker_nor_place_is_refused_with_a_pause(tmp_path):
    async with running(tmp_path, workers=2, queue_capacity=3, service_time="600ms") as mock:
        for number in range(1, 13):
            await mock.token(station(number))
        answers = await asyncio.gather(*(mock.upload(station(number)) for number in range(1, 13)))
        statuses = [answer.status for answer in answers]
        assert (statuses.count(201), statuses.count(503)) == (5, 7)
        refused = next(answer for answer in answers if answer.status == 503)
        assert (refused.json["title"], refused.json["detail"]) == ("Service Unavailable", "Overloaded")
        assert 1 <= int(refused.headers["retry-after"]) <= 2, "four jobs of 0.6 s for two workers"
        assert await mock.metric('mock_server_shed_total{reason="queue_full"}') == 7
        assert await mock.metric("mock_server_pages_stored_total") == 5


async def test_retry_after_is_left_out_if_the_profile_says_so(tmp_path):
    async with running(tmp_path, workers=1, queue_capacity=0, service_time="400ms", retry_after="none") as mock:
        busy = asyncio.create_task(mock.upload())
        await until(lambda: mock.server.pool.busy == 1)
        answer = await mock.upload(page=2)
        assert answer.status == 503
        assert "retry-after" not in answer.headers
        await busy


async def test_an_upload_is_refused_before_its_body_is_sent(tmp_path):
    async with running(tmp_path, workers=1, queue_capacity=0, service_time="700ms") as mock:
        busy = asyncio.create_task(mock.upload())
        await until(lambda: mock.server.pool.busy == 1)
        line = await mock.line()
        headers = await mock.form_headers()
        await line.send(head("POST", path_of(page=2), {**headers, "Expect": "100-continue"}, 5_000_000))
        answer = await line.rest()
        assert (answer.status, answer.end) == (503, "fin")
        assert b"100 Continue" not in answer.raw
        await line.close()
        await busy


async def test_a_refused_client_that_goes_on_sending_reads_its_answer_and_may_ask_again(tmp_path):
    async with running(tmp_path, workers=1, queue_capacity=0, service_time="700ms") as mock:
        busy = asyncio.create_task(mock.upload())
        await until(lambda: mock.server.pool.busy == 1)
        line = await mock.line()
        body = form(photo(size=3_000_000))
        headers = await mock.form_headers()
        await line.send(head("POST", path_of(page=2), headers, len(body)) + body[:100_000])
        assert (await line.answer()).status == 503, "it does not wait for the body"
        await line.send(body[100_000:])
        await busy
        small = form(photo())
        assert (await line.ask("POST", path_of(page=2), headers, small)).status == 201, "on the same connection"
        await line.close()


async def test_work_goes_on_after_the_client_has_left_and_is_counted(tmp_path):
    async with running(tmp_path, workers=1, service_time="300ms") as mock:
        line = await mock.line()
        body = form(photo())
        await line.send(head("POST", path_of(), await mock.form_headers(), len(body)) + body)
        await until(lambda: mock.server.pool.busy == 1)
        await line.close()
        await until(lambda: mock.server.metrics.active == mock.server.pool.busy == mock.server.store.waiting == 0)
        assert len(await mock.stored()) == 1
        assert await mock.metric("mock_server_wasted_work_total") == 1


@pytest.mark.virtual_time
async def test_cancel_on_disconnect_stops_the_work(tmp_path):
    async with running(tmp_path, workers=1, service_time="300ms", cancel_on_disconnect=True) as mock:
        lines = [await mock.line() for _ in range(3)]
        for page, line in enumerate(lines, 1):
            body = form(photo(page))
            await line.send(head("POST", path_of(page=page), await mock.form_headers(), len(body)) + body)
        await until(lambda: (mock.server.pool.busy, mock.server.pool.depth) == (1, 2))
        for line in lines:
            await line.close()
        await until(lambda: mock.server.pool.busy == mock.server.pool.depth == 0, 0.5)
        await asyncio.sleep(0.5)
        assert await mock.stored() == []
        assert await mock.metric("mock_server_wasted_work_total") == 0


async def test_drain_drops_what_nobody_waits_for_and_finishes_the_rest(tmp_path):
    async with running(tmp_path, workers=1, service_time="300ms", faults=[{"kind": "capacity", "factor": 0.5}]) as mock:
        served = asyncio.create_task(mock.upload(station(1)))
        await until(lambda: mock.server.pool.busy == 1)
        lines = [await mock.line() for _ in range(4)]
        for number, line in enumerate(lines, 2):
            body = form(photo(number))
            await line.send(
                head("POST", path_of(station(number)), await mock.form_headers(station(number)), len(body)) + body
            )
        await until(lambda: mock.server.pool.depth == 4)
        waiting = asyncio.create_task(mock.upload(station(9)))
        await until(lambda: mock.server.pool.depth == 5)
        for line in lines:
            await line.close()
        await until(lambda: len(mock.server.connections) == 2)
        drained = (await mock.admin("POST", "/drain")).json
        assert (drained["idle"], drained["dropped"], drained["queued"], drained["busy"]) == (True, 4, 0, 0)
        assert ((await served).status, (await waiting).status) == (201, 201)
        assert {row["station"] for row in await mock.stored()} == {station(1), station(9)}
        assert await mock.metric("mock_server_dropped_total") == 4


async def test_drain_waits_for_an_upload_that_a_fault_held_until_it_was_healed(tmp_path):
    held = {"kind": "latency", "delay": "20s", "match": {"phase": "upload"}}
    async with running(tmp_path, service_time="50ms", faults=[held]) as mock:
        upload = asyncio.create_task(mock.upload())
        await until(lambda: mock.server.in_flight.uploads == 1)
        assert (await mock.admin("POST", "/drain")).json["idle"] is True
        assert len(await mock.stored()) == 1
        assert (await upload).status == 201


@pytest.mark.virtual_time
async def test_drain_waits_for_a_body_only_while_its_client_is_there(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        await line.send(head("POST", path_of(), await mock.form_headers(), 9999) + b"begun")
        await until(lambda: mock.server.in_flight.uploads == 1)
        assert (await mock.server.drain.run(0.2))["idle"] is False
        await line.close()
        drained = await mock.server.drain.run(5)
        assert drained["idle"] is True


async def test_drain_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("mock_server.upload.drain.MAX_DRAIN_S", 0.3)
    async with running(tmp_path, service_time="1h") as mock:
        upload = asyncio.create_task(mock.upload())
        await until(lambda: mock.server.pool.busy == 1)
        drained = await mock.server.drain.run()
        assert (drained["idle"], drained["busy"]) == (False, 1)
        mock.server.pool.refuse_all()
        assert (await upload).status == 503


@pytest.mark.virtual_time
async def test_an_upload_that_waits_too_long_for_a_worker_is_refused(tmp_path):
    async with running(tmp_path, workers=1, service_time="900ms", queue_timeout="200ms") as mock:
        first = asyncio.create_task(mock.upload())
        await until(lambda: mock.server.pool.busy == 1)
        second = await mock.upload(page=2)
        assert second.status == 503
        assert 0.2 - 0.002 <= second.took_s < 0.7
        assert (await first).status == 201
        assert await mock.metric('mock_server_shed_total{reason="queue_timeout"}') == 1


@pytest.mark.virtual_time
async def test_a_request_that_takes_too_long_is_given_up(tmp_path):
    async with running(tmp_path, service_time="1h", handler_timeout="300ms") as mock:
        answer = await mock.upload()
        assert answer.status == 503
        assert 0.3 - 0.002 <= answer.took_s < 0.8
        assert mock.server.pool.busy == 0


@pytest.mark.virtual_time
async def test_deadline_shedding_reads_upload_timeout(tmp_path):
    async with running(tmp_path, workers=1, service_time="500ms", shed="deadline") as mock:
        first = asyncio.create_task(mock.upload())
        await until(lambda: mock.server.pool.busy == 1)
        assert (await mock.upload(page=2, Upload_Timeout="0.6")).status == 503
        assert (await mock.upload(page=3, Upload_Timeout="30")).status == 201
        assert (await first).status == 201
        assert await mock.metric('mock_server_shed_total{reason="deadline"}') == 1


@pytest.mark.virtual_time
async def test_the_size_of_a_photo_lengthens_its_service(tmp_path):
    async with running(tmp_path, bytes_per_s="1MB/s", max_body="1MB") as mock:
        small, large = await mock.upload(page=1), await mock.upload(page=2, picture=photo(size=400_000))
        service = [
            float(answer.headers["server-timing"].split("service;dur=")[1].split(",")[0]) for answer in (small, large)
        ]
        assert service[0] == pytest.approx(3, abs=40)
        assert service[1] == pytest.approx(400, abs=100)


@pytest.mark.parametrize("discipline", ["fifo", "lifo"])
async def test_the_discipline_decides_who_is_served_first(tmp_path, discipline):
    done: list[int] = []
    async with running(tmp_path, workers=1, service_time="250ms", discipline=discipline) as mock:

        async def one(page: int) -> None:
            await mock.upload(STATION, page)
            done.append(page)

        await mock.token()
        tasks = []
        for page in (1, 2, 3):
            tasks.append(asyncio.create_task(one(page)))
            await until(lambda page=page: mock.server.pool.busy + mock.server.pool.depth == page)
        await asyncio.gather(*tasks)
    assert done == ([1, 2, 3] if discipline == "fifo" else [1, 3, 2])


@pytest.mark.virtual_time
async def test_the_metrics_show_queue_and_workers(tmp_path):
    async with running(tmp_path, workers=2, service_time="600ms") as mock:
        uploads = [asyncio.create_task(mock.upload(station(number))) for number in range(1, 6)]
        await until(lambda: mock.server.pool.depth == 3)
        assert await mock.metric("mock_server_queue_depth") == 3
        assert await mock.metric("mock_server_workers_busy") == 2
        assert await mock.metric("http_server_active_requests") == 5
        await asyncio.gather(*uploads)
        assert await mock.metric("mock_server_service_seconds_count") == 5
        assert await mock.metric("mock_server_service_seconds_sum") == pytest.approx(3.0)
        route = (
            'http_server_request_duration_seconds_count{http_request_method="POST",http_response_status_code="201",'
            'http_route="/v1/stations/{code}/forms/{form}/pages/{page}"}'
        )
        assert await mock.metric(route) == 5


@pytest.mark.virtual_time
async def test_the_admin_port_answers_while_the_data_port_is_overloaded(tmp_path):
    async with running(tmp_path, workers=1, service_time="500ms", faults=[{"kind": "latency", "delay": "5s"}]) as mock:
        uploads = [asyncio.create_task(mock.upload(station(number))) for number in range(1, 20)]
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        assert (await mock.admin("GET", "/metrics")).status == 200
        assert time.monotonic() - begun < 0.5
        await mock.admin("DELETE", "/faults")
        mock.server.pool.refuse_all()
        for upload in uploads:
            upload.cancel()
        await asyncio.gather(*uploads, return_exceptions=True)
