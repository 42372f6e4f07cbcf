"""Every fault as a client sees it: bytes, status, time, and how the connection ends; and that it is off again.

Tolerances: what a fault delays must not come earlier than configured (a timer's millisecond less). On the virtual clock it comes at
most a few turns of the event loop, and of the connection's own timers, later.
"""

import asyncio
import hashlib
import json
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from mock_server.faults.registry import KINDS
from tests.support.mock_in_process import READING, STATION, Answer, fault, form, head, path_of, photo, running, station

LATE_S = 0.03
EARLY_S = 0.002


async def struck(tmp_path, kind: str, **keys: object) -> tuple[Answer, list[dict[str, Any]]]:
    """What a client sees of a fault, and what is stored; once the faults are healed, the same request goes well."""
    async with running(tmp_path, faults=[fault(kind, **keys)]) as mock:
        answer = await mock.upload(page=2, reading=READING)
        stored = await mock.stored()
        assert await mock.metric(f'mock_server_faults_injected_total{{fault="{kind}"}}') == 1
        assert await mock.metric(f'mock_server_fault_active{{fault="{kind}"}}') == 1
        assert (await mock.admin("DELETE", "/faults")).status == 204
        assert await mock.metric(f'mock_server_fault_active{{fault="{kind}"}}') == 0
        healed = await mock.upload(page=3)
        assert (healed.status, healed.end) == (201, "fin")
        return answer, stored


@pytest.mark.virtual_time
async def test_latency_delays_the_answer(tmp_path):
    answer, stored = await struck(tmp_path, "latency", delay="300ms")
    assert answer.status == 201
    assert 0.3 - EARLY_S <= answer.took_s < 0.3 + LATE_S
    assert len(stored) == 1


async def test_abort_answers_its_status_without_reading_on(tmp_path):
    answer, stored = await struck(tmp_path, "abort", status=502, retry_after="2500ms")
    assert (answer.status, answer.headers["retry-after"]) == (502, "3")
    assert stored == []


async def test_abort_draws_from_its_list_in_proportion_to_the_weights(tmp_path):
    choices = [{"status": 500, "weight": 3}, {"status": 503, "weight": 1}]
    async with running(tmp_path, faults=[fault("abort", status=choices)]) as mock:
        statuses = [(await mock.upload(station(number), X_Attempt="1")).status for number in range(1, 101)]
    assert set(statuses) == {500, 503}
    assert 60 <= statuses.count(500) <= 90, "75 expected, standard deviation 4.3"


async def test_down_refuses_connections_and_resets_open_ones_then_listens_again(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        assert (await line.ask("GET", "/healthz")).status == 200
        await mock.admin("POST", "/faults", fault("down"))
        assert (await line.rest()).end == "rst"
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                await mock.line()
        await mock.admin("DELETE", "/faults/down")
        assert (await mock.upload()).status == 201, "on the same port"
        await line.close()


@pytest.mark.virtual_time
async def test_down_comes_and_goes_by_its_schedule(tmp_path):
    async with running(tmp_path, faults=[fault("down", start="300ms", duration="400ms")]) as mock:
        begun = time.monotonic()
        seen = []
        while time.monotonic() - begun < 1.4:
            try:
                await (await mock.line()).close()
                seen.append((time.monotonic() - begun, True))
            except (ConnectionRefusedError, ConnectionResetError):  # reset: it closed while we connected
                seen.append((time.monotonic() - begun, False))
            await asyncio.sleep(0.02)
        refused = [at for at, up in seen if not up]
        assert 0.2 < min(refused) < 0.3 + LATE_S
        assert 0.6 < max(refused) < 0.7 + LATE_S
        assert seen[-1][1]


async def test_down_with_a_ramp_closes_the_port_at_its_start(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        await mock.admin("POST", "/faults", fault("down", ramp="1h"))
        assert (await asyncio.wait_for(line.rest(), 30)).end == "rst"
        with pytest.raises(ConnectionRefusedError):
            await mock.line()
        assert await mock.metric('mock_server_fault_active{fault="down"}') == 1
        await line.close()


@pytest.mark.virtual_time
async def test_reset_peer_ends_in_rst_without_a_byte(tmp_path):
    answer, stored = await struck(tmp_path, "reset_peer", after="100ms")
    assert (answer.raw, answer.end) == (b"", "rst")
    assert 0.1 - EARLY_S <= answer.took_s < 0.1 + LATE_S
    assert stored == []


@pytest.mark.virtual_time
async def test_timeout_holds_without_a_byte_and_closes_in_the_end(tmp_path):
    answer, stored = await struck(tmp_path, "timeout", after="300ms")
    assert answer.raw == b""
    assert 0.3 - EARLY_S <= answer.took_s < 0.3 + LATE_S
    assert stored == []


async def test_timeout_without_an_end_holds_until_it_is_healed(tmp_path):
    async with running(tmp_path, faults=[fault("timeout")]) as mock:
        upload = asyncio.create_task(mock.upload())
        await asyncio.sleep(0.4)
        assert not upload.done()
        await mock.admin("DELETE", "/faults")
        assert (await asyncio.wait_for(upload, 30)).raw == b""


@pytest.mark.virtual_time
async def test_slow_close_answers_at_once_and_closes_later(tmp_path):
    answer, stored = await struck(tmp_path, "slow_close", delay="400ms")
    assert (answer.status, answer.end) == (201, "fin")
    assert answer.first_byte_s < 0.35
    assert 0.4 - EARLY_S <= answer.took_s < 0.4 + LATE_S
    assert len(stored) == 1


@pytest.mark.virtual_time
async def test_bandwidth_takes_an_upload_no_faster_than_its_rate(tmp_path):
    async with running(tmp_path, faults=[fault("bandwidth", rate="1MB/s")]) as mock:
        picture = photo(size=800_000)
        answer = await mock.upload(picture=picture)
        assert answer.status == 201
        assert 0.75 < answer.took_s < 0.8 + 2 * LATE_S
        await mock.admin("DELETE", "/faults")
        assert (await mock.upload(page=2, picture=picture)).took_s < 0.7


async def test_bandwidth_sends_an_answer_no_faster_than_its_rate(tmp_path):
    async with running(tmp_path, faults=[fault("bandwidth", rate="20KB/s", match={"phase": "public"})]) as mock:
        answer = await mock.ask("GET", "/wilayah/pemilu/ppwp/0.json")
        size = len(answer.raw)
        assert size / 20_000 - EARLY_S <= answer.took_s + 0.05


async def test_slicer_sends_the_answer_in_slices(tmp_path):
    async with running(tmp_path, faults=[fault("slicer", size="50B", delay="20ms")]) as mock:
        line = await mock.line()
        body = form(photo())
        await line.send(head("POST", path_of(), await mock.form_headers(), len(body)) + body)
        slices = [await line.reader.read(2**16)]
        while b"}" not in slices[-1]:
            slices.append(await line.reader.read(2**16))
        whole = Answer(b"".join(slices), "open", 0)
        assert whole.status == 201
        assert whole.json["size"] == 3000
        assert len(slices) >= len(whole.raw) / 50 / 2, "a busy reader may find two slices together, not all"
        await line.close()


async def test_limit_data_breaks_an_upload_off(tmp_path):
    async with running(tmp_path, faults=[fault("limit_data", limit="1500B", ending="rst")]) as mock:
        answer = await mock.upload()
        assert (answer.raw, answer.end) == (b"", "rst")
        assert (await mock.upload(picture=photo(size=900))).status == 201, "below the limit"
        await mock.admin("PUT", "/faults/limit_data", fault("limit_data", limit="1500B"))
        assert (await mock.upload(page=2)).raw == b""
        assert len(await mock.stored()) == 1


async def test_empty_response_stores_and_closes_without_a_byte(tmp_path):
    answer, stored = await struck(tmp_path, "empty_response")
    assert (answer.raw, answer.end) == (b"", "fin")
    assert len(stored) == 1


async def test_malformed_response_chunk_promises_success_and_sends_garbage(tmp_path):
    answer, stored = await struck(tmp_path, "malformed_response_chunk")
    assert (answer.status, answer.end) == (201, "fin")
    assert answer.headers["transfer-encoding"] == "chunked"
    with pytest.raises(ValueError, match="invalid literal"):
        int(answer.body.split(b"\r\n")[0], 16)
    assert len(stored) == 1


async def test_random_data_then_close_is_no_answer_at_all(tmp_path):
    answer, stored = await struck(tmp_path, "random_data_then_close", size="100B")
    assert (len(answer.raw), answer.status, answer.end) == (100, 0, "fin")
    assert len(stored) == 1


@pytest.mark.virtual_time
async def test_chunked_dribble_spreads_a_whole_answer(tmp_path):
    async with running(tmp_path, faults=[fault("chunked_dribble", chunks=5, total="400ms")]) as mock:
        answer = await mock.upload()
        assert (answer.status, answer.end) == (201, "fin")
        assert answer.first_byte_s < 0.35
        assert 0.4 - 4 * EARLY_S <= answer.took_s < 0.4 + LATE_S
        sizes = []
        body, whole = answer.body, b""
        while body:
            size, _, body = body.partition(b"\r\n")
            sizes.append(int(size, 16))
            whole, body = whole + body[: sizes[-1]], body[sizes[-1] + 2 :]
        assert len(sizes) == 6
        assert sizes[-1] == 0
        assert json.loads(whole)["size"] == 3000


async def test_truncate_body_ends_before_the_promised_length(tmp_path):
    answer, stored = await struck(tmp_path, "truncate_body", keep=0.25)
    assert (answer.status, answer.end) == (201, "fin")
    assert len(answer.body) == int(answer.headers["content-length"]) // 4
    assert len(stored) == 1


@pytest.mark.virtual_time
async def test_capacity_slows_the_workers_down(tmp_path):
    faults = [fault("capacity", factor=0.1)]
    async with running(tmp_path, service_time="30ms", faults=faults) as mock:
        slow = await mock.upload()
        assert 0.3 - EARLY_S <= slow.took_s < 0.3 + LATE_S
        assert await mock.metric('mock_server_faults_injected_total{fault="capacity"}') == 1
        await mock.admin("DELETE", "/faults")
        assert (await mock.upload(page=2)).took_s < 0.25


async def test_rate_limit_counts_each_station_by_itself(tmp_path):
    async with running(tmp_path, faults=[fault("rate_limit", limit=2, window="1h")]) as mock:
        answers = [await mock.upload(page=page) for page in (1, 2, 3)]
        assert [answer.status for answer in answers] == [201, 201, 429]
        assert 3590 <= int(answers[2].headers["retry-after"]) <= 3600
        mock.server._t0 = time.monotonic() - 3600 - 3000  # fifty minutes into the second window
        answers = [await mock.upload(page=page) for page in (1, 2, 3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert 590 <= int(answers[2].headers["retry-after"]) <= 600
        assert (await mock.upload(station(2))).status == 201


async def test_rate_limit_asks_for_no_longer_pause_than_its_own_end(tmp_path):
    async with running(tmp_path, faults=[fault("rate_limit", limit=0, window="1h", duration="90s")]) as mock:
        assert 60 <= int((await mock.upload()).headers["retry-after"]) <= 90


async def test_rate_limit_begins_anew_with_each_window(tmp_path):
    async with running(tmp_path, faults=[fault("rate_limit", limit=1, window="1h")]) as mock:
        for hours, pages, expected in ((1.5, (1, 2), [201, 429]), (2.1, (3, 1), [201, 429]), (3.0, (2,), [201])):
            mock.server._t0 = time.monotonic() - hours * 3600
            assert [(await mock.upload(page=page)).status for page in pages] == expected


async def test_unreadable_takes_the_photo_and_answers_422(tmp_path):
    answer, stored = await struck(tmp_path, "unreadable")
    assert answer.status == 422
    assert stored == []


async def test_misread_stores_other_figures_than_were_sent(tmp_path):
    answer, stored = await struck(tmp_path, "misread")
    assert answer.status == 201
    held, sent = json.loads(stored[0]["reading"]), json.loads(READING)
    changed = [(table, key) for table in sent for key in sent[table] if held[table][key] != sent[table][key]]
    assert len(changed) == 1
    assert stored[0]["sha256"] == answer.json["sha256"]


async def test_ack_lost_stores_and_resets(tmp_path):
    async with running(tmp_path, faults=[fault("ack_lost", count=1)]) as mock:
        lost = await mock.upload()
        assert (lost.raw, lost.end) == (b"", "rst")
        assert len(await mock.stored()) == 1
        assert (await mock.upload()).status == 200, "the retry is a repetition"


async def test_false_ack_sends_a_receipt_for_nothing(tmp_path):
    answer, stored = await struck(tmp_path, "false_ack")
    assert (answer.status, bool(answer.json["receipt"])) == (201, True)
    assert stored == []


@pytest.mark.virtual_time
async def test_lose_after_ack_loses_after_a_while(tmp_path):
    async with running(tmp_path, faults=[fault("lose_after_ack", after="300ms")]) as mock:
        assert (await mock.upload()).status == 201
        assert len(await mock.stored()) == 1
        await asyncio.sleep(0.4)
        assert await mock.stored() == []


async def test_lose_after_ack_loses_at_the_latest_when_the_server_is_drained(tmp_path):
    async with running(tmp_path, faults=[fault("lose_after_ack", after="1h")]) as mock:
        assert (await mock.upload()).status == 201
        assert (await mock.admin("POST", "/drain")).json["idle"] is True
        assert await mock.stored() == []


@pytest.mark.parametrize("keep", [False, True])
async def test_corrupt_stored_holds_another_digest_than_the_receipt_says(tmp_path, keep):
    async with running(tmp_path, keep_photos=keep, faults=[fault("corrupt_stored")]) as mock:
        answer = await mock.upload()
        (row,) = await mock.stored()
        assert answer.json["sha256"] == hashlib.sha256(photo((STATION, 1))).hexdigest()
        assert row["sha256"] != answer.json["sha256"]
        if keep:
            ((held,),) = await mock.server.store.run("SELECT photo FROM pages")
            assert hashlib.sha256(held).hexdigest() == row["sha256"]
        assert (await mock.upload()).status == 200, "to the client all is well"


async def test_misfile_stores_under_a_station_that_there_is_not(tmp_path):
    answer, stored = await struck(tmp_path, "misfile")
    assert answer.status == 201
    assert [(row["station"], row["sha256"]) for row in stored] == [(station(0), answer.json["sha256"])]


async def test_misfile_harms_no_station_that_it_does_not_match(tmp_path):
    async with running(tmp_path, faults=[fault("misfile", match={"station": STATION})]) as mock:
        assert (await mock.upload(STATION)).status == 201
        assert (await mock.upload(station(2))).status == 201


async def test_duplicate_store_stores_two_copies(tmp_path):
    answer, stored = await struck(tmp_path, "duplicate_store")
    assert answer.status == 201
    assert [row["sha256"] for row in stored] == [answer.json["sha256"]] * 2


def test_every_kind_of_fault_is_tested_here_or_beside():
    here = Path(__file__).read_text(encoding="utf-8")
    elsewhere = {
        "crash",
        "crash_at_commit",
        "power_cut",
        "offset_rollback",
        "false_complete",
        "stale_lock",
        "expire_upload",
    }
    untested = {get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS} - elsewhere
    assert {kind for kind in untested if f'"{kind}"' not in here} == set()
