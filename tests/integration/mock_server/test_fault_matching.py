"""Whom a fault strikes: by its seed, its match and its window, on any connection, and nobody else; each strike is logged."""

import asyncio
import json
import time
from typing import get_args

import pytest

from mock_server.faults.registry import KINDS
from mock_server.profile.keyed_random import keyed_uniform
from tests.support.mock_in_process import READING, STATION, fault, form, head, path_of, photo, running, station


async def test_faults_reach_connections_that_are_already_open(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        body = form(photo())
        headers = await mock.form_headers()
        assert (await line.ask("POST", path_of(page=1), headers, body)).status == 201
        await mock.admin("POST", "/faults", fault("abort", status=500))
        assert (await line.ask("POST", path_of(page=2), headers, body)).status == 500
        await mock.admin("DELETE", "/faults/abort")
        assert (await line.ask("POST", path_of(page=3), headers, body)).status == 201
        await mock.admin("POST", "/faults", fault("ack_lost"))
        await line.send(head("POST", path_of(station(1)), headers, len(body)) + body)
        assert (await line.rest()).end == "rst"
        await line.close()


async def test_the_same_seed_hits_the_same_pages_whatever_the_concurrency(tmp_path):
    async def hit(name: str, width: int, seed: int = 5) -> set[str]:
        folder = tmp_path / name
        folder.mkdir()
        gate = asyncio.Semaphore(width)
        faults = [fault("abort", probability="40%")]

        async with running(folder, seed=seed, workers=32, faults=faults) as mock:

            async def one(code: str) -> tuple[str, int]:
                async with gate:
                    return code, (await mock.upload(code, X_Attempt="1")).status

            answers = await asyncio.gather(*(one(station(number)) for number in range(1, 61)))
        return {code for code, status in answers if status == 503}

    alone, together = await hit("alone", 1), await hit("together", 20)
    assert alone == together
    assert 12 <= len(alone) <= 36, "24 expected, standard deviation 3.8"
    assert await hit("other", 20, seed=6) != alone


async def test_the_next_attempt_at_a_page_has_its_own_chance(tmp_path):
    async with running(tmp_path, faults=[fault("abort", probability=0.5)]) as mock:
        statuses = [(await mock.upload(X_Attempt=str(attempt))).status for attempt in range(1, 31)]
        assert {200, 503} <= set(statuses)
        again = [(await mock.upload(X_Attempt=str(attempt))).status for attempt in range(1, 31)]
        assert [status == 503 for status in statuses] == [status == 503 for status in again]


async def test_every_injection_is_logged_with_its_page(tmp_path):
    async with running(tmp_path, faults=[fault("abort", name="broken gateway", match={"form": "ppwp"})]) as mock:
        await mock.upload(page=3, X_Attempt="7")
    (line,) = [json.loads(line) for line in (tmp_path / "injections.jsonl").read_text().splitlines()]
    assert 0 <= line.pop("time_s") < 5
    assert line == {
        "fault": "broken gateway", "station": STATION, "form": "ppwp", "page": 3, "attempt": 7, "method": "POST",
        "phase": "upload",
    }  # fmt: skip


async def test_a_match_spares_everybody_else(tmp_path):
    match = {"station": "3509191001", "form": "ppwp", "method": "POST", "phase": "upload"}
    async with running(tmp_path, faults=[fault("abort", match=match)]) as mock:
        assert (await mock.upload()).status == 503
        assert (await mock.upload("3509191002001")).status == 201
        headers = {**await mock.bearer(), "Content-Type": "image/jpeg"}
        assert (await mock.ask("PUT", path_of(), headers, photo())).status == 201
        login = json.dumps({"station": STATION, "pin": STATION[-6:]}).encode()
        assert (await mock.ask("POST", "/v1/login", {}, login)).status == 200


async def test_faults_of_storing_strike_nothing_but_what_is_stored(tmp_path):
    async with running(tmp_path, faults=[fault("ack_lost"), fault("misfile")]) as mock:
        login = json.dumps({"station": STATION, "pin": STATION[-6:]}).encode()
        assert (await mock.ask("POST", "/v1/login", {}, login)).status == 200
        assert (await mock.upload(picture=b"no photo")).status == 422
        assert (await mock.ask("GET", path_of() + "/status", await mock.bearer())).status == 404
        assert await mock.metric('mock_server_faults_injected_total{fault="ack_lost"}') == 0
        assert await mock.metric('mock_server_faults_injected_total{fault="misfile"}') == 0


QUICK: dict[str, dict[str, object]] = {
    "latency": {"delay": "1ms"}, "timeout": {"after": "1ms"}, "slow_close": {"delay": "1ms"}, "bandwidth": {"rate": "9MB/s"},
    "limit_data": {"limit": "10B"}, "chunked_dribble": {"total": "2ms"}, "slicer": {"size": "400B"},
    "rate_limit": {"limit": 0, "window": "1h"}, "capacity": {"factor": 0.5},
}  # fmt: skip
EVERY_UPLOAD = [
    kind
    for kind in (get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS if kind.scope != "resumable")
    if kind not in {"down", "crash", "crash_at_commit", "power_cut"}
]


@pytest.mark.parametrize("kind", EVERY_UPLOAD)
async def test_each_kind_hits_by_its_dice_in_its_window_and_nobody_else(tmp_path, kind):
    numbers = range(1, 25)
    rule = fault(kind, probability=0.5, start="1h", duration="1h", seed=3, **QUICK.get(kind, {}))
    async with running(tmp_path, seed=11, workers=32, faults=[rule]) as mock:
        await mock.upload(station(999))
        assert await mock.metric(f'mock_server_faults_injected_total{{fault="{kind}"}}') == 0, "before its window"
        mock.server._t0 = time.monotonic() - 3600  # an hour later
        await asyncio.gather(*(mock.upload(station(number), reading=READING, X_Attempt="1") for number in numbers))
        expected = {
            code for code in map(station, numbers) if keyed_uniform(11, 3, kind, "hit", code, "ppwp", 1, 1) < 0.5
        }
        assert 6 <= len(expected) <= 18
        assert await mock.metric(f'mock_server_faults_injected_total{{fault="{kind}"}}') == len(expected)
        mock.server._t0 = time.monotonic() - 7200
        assert (await mock.upload(station(998))).status == 201, "after it is over"
    log = [json.loads(line) for line in (tmp_path / "injections.jsonl").read_text().splitlines()]
    assert {line["station"] for line in log} == expected
    assert all(line["fault"] == kind and 3600 <= line["time_s"] < 7200 for line in log)
