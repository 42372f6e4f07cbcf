"""Malformed everything: a 4xx or a closed connection, never a 5xx, never a leaked task, file or descriptor."""

import asyncio
import gc
import json
import random
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.mock_in_process import (
    BOUNDARY,
    READING,
    STATION,
    Answer,
    Mock,
    form,
    head,
    path_of,
    photo,
    running,
    station,
    until,
)
from tests.support.tus_requests import metadata

GOOD_BODY = form(photo(), READING)
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@asynccontextmanager
async def leakproof(folder: Path, **keys: Any) -> AsyncIterator[Mock]:
    """A server that must have, when its clients are gone, what it had before they came."""
    async with running(folder, **{"header_timeout": "400ms", "body_timeout": "400ms", **keys}) as mock:
        assert (await mock.ask("GET", "/pemilu/hhcw/ppwp.json")).status == 200
        assert await mock.stored() == []  # SQLite keeps the descriptor of its reader for the next one
        await settled(mock)
        gc.freeze()  # what a whole test run has gathered can't leak here, and takes a quarter of a second to look through
        try:
            tasks, files = asyncio.all_tasks(), descriptors()
            yield mock
            await settled(mock)
            gc.collect()
            leaked = asyncio.all_tasks() - tasks - {asyncio.current_task()}
            assert (leaked, descriptors()) == (set(), files)
        finally:
            gc.unfreeze()
        assert mock.server.metrics.active == mock.server.pipeline.in_progress == 0
        assert mock.server.pool.depth == mock.server.pool.busy == 0
        assert (await mock.upload(station(999))).status == 201, "it still works"


async def settled(mock: Mock) -> None:
    await until(lambda: len(mock.server.connections) == 0 and mock.server.metrics.active == 0)
    await asyncio.sleep(0.01)
    assert len(mock.server.connections) == 0


async def status_of(mock: Mock, data: bytes) -> int:
    """The status of what raw bytes are answered with; 0 if the connection ended without an answer."""
    line = await mock.line()
    try:
        await line.send(data)
        raw = await asyncio.wait_for(line.reader.readuntil(b"\r\n\r\n"), 60)
        return Answer(raw, "open", 0.0).status
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return 0
    except TimeoutError:
        pytest.fail(f"neither an answer nor an end to {data[:300]!r}")
    finally:
        await line.close()


def acceptable(status: int) -> bool:
    return status < 500


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, cut, doubled or moved."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            changed[at : at + 1] = rng.randbytes(rng.randint(1, 8))
        elif kind == 1:
            del changed[at : at + rng.randint(1, 40)]
        elif kind == 2:
            changed[at:at] = changed[max(0, at - 30) : at]
        elif kind == 3:
            changed[at:at] = rng.choice(
                [b"\r\n", b"\r\n\r\n", b"\0", b"--", f"--{BOUNDARY}".encode(), b"\xff" * 3, b": "]
            )
        else:
            del changed[at:]
    return bytes(changed)


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
async def test_mutated_requests_are_never_answered_5xx(tmp_path, seed):
    rng = random.Random(seed)
    async with leakproof(tmp_path) as mock:
        headers = await mock.form_headers()
        bearer = await mock.bearer()
        login = b'{"station":"3509191001001","pin":"001001"}'
        requests = [
            head("POST", path_of(), headers, len(GOOD_BODY)) + GOOD_BODY,
            head("PUT", path_of(), {**bearer, "Reading": READING}, 3000) + photo(),
            head("POST", "/v1/login", {}, len(login)) + login,
            head(
                "POST", "/v1/files", {**bearer, **TUS, "Upload-Length": "3000", "Upload-Metadata": "form cHB3cA=="}, 10
            )
            + b"0123456789",
            head("PATCH", "/v1/files/x", {**bearer, **TUS, "Upload-Offset": "0"}, 4) + b"data",
            head("GET", "/pemilu/hhcw/ppwp/35/3509.json", {}, 0),
        ]
        sent = [mutated(request, rng) for request in requests * 50]
        statuses = await asyncio.gather(*(status_of(mock, data) for data in sent))
        assert [data for data, status in zip(sent, statuses, strict=True) if not acceptable(status)] == []


_header_text = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)


def over_one_server(
    folder: Path, examples: int, check: Callable[..., object], **strategies: st.SearchStrategy[object]
) -> None:
    """Runs an asynchronous check for many examples against one server, on one event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        context = leakproof(folder)
        mock = runner.run(context.__aenter__())

        @settings(max_examples=examples, deadline=None, database=None, derandomize=True,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(**strategies)
        def examine(**drawn: object) -> None:
            runner.run(check(mock, **drawn))  # type: ignore[arg-type]

        examine()
        runner.run(context.__aexit__(None, None, None))


def test_any_header_value_is_answered_below_500(tmp_path):
    names = [
        "Authorization", "Content-Type", "Repr-Digest", "Idempotency-Key", "Upload-Timeout", "X-Attempt", "Reading", "Expect",
        "Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Checksum", "X-HTTP-Method-Override", "Host",
        "Content-Encoding",
    ]  # fmt: skip

    async def check(mock: Mock, name: str, value: str, way: int) -> None:
        bearer = await mock.bearer()
        method, path, extra = [
            ("PUT", path_of(page=1), {}),
            ("POST", path_of(page=2), {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}),
            ("POST", "/v1/files", {**TUS, "Upload-Length": "9"}),
            ("PATCH", "/v1/files/x", {**TUS, "Upload-Offset": "0"}),
        ][way]
        header = head(method, path, {**bearer, **extra, name: value.strip()}, 9, close=True)
        assert acceptable(await status_of(mock, header + b"123456789"))

    over_one_server(
        tmp_path, 150, check, name=st.sampled_from(names), value=_header_text, way=st.integers(0, 3)
    )  # fmt: skip


def test_any_bytes_in_a_header_of_a_good_upload_are_answered_below_500(tmp_path):
    names = [b"Idempotency-Key", b"Reading", b"X-Attempt", b"Repr-Digest", b"Upload-Timeout", b"User-Agent", b"Content-Type"]  # fmt: skip
    picture = photo()

    async def check(mock: Mock, name: bytes, value: bytes, page: int) -> None:
        code = station(page)
        line = b"\r\n" + name + b": " + value.strip() + b"\r\n\r\n"
        header = head("PUT", path_of(code), await mock.bearer(code), len(picture), close=True)[:-4] + line
        status = await status_of(mock, header + picture)
        assert 200 <= status < 500
        if name == b"Idempotency-Key" and any(byte > 126 for byte in value.strip()):
            assert status == 400

    values = st.binary(max_size=300).map(lambda drawn: bytes(byte for byte in drawn if byte > 31 and byte != 127))
    over_one_server(tmp_path, 150, check, name=st.sampled_from(names), value=values, page=st.integers(1, 900))


async def test_a_key_that_is_no_text_is_refused_and_the_store_lives_on(tmp_path):
    async with leakproof(tmp_path, dedupe="key") as mock:
        for key in ("\udcff", "é", "x" * 256, "a\tb", ""):
            assert (await mock.upload(Idempotency_Key=key)).status == 400
        assert (await mock.upload(Idempotency_Key="x" * 255)).status == 201


def test_any_json_is_a_login_or_refused(tmp_path):
    values = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=20), lambda inner: st.lists(inner, max_size=4)
                          | st.dictionaries(st.sampled_from(["station", "pin", "x"]), inner, max_size=3), max_leaves=10)  # fmt: skip

    async def check(mock: Mock, content: object) -> None:
        body = json.dumps(content).encode()
        status = await status_of(mock, head("POST", "/v1/login", {}, len(body), close=True) + body)
        assert status in {400, 401, 413, 429}

    over_one_server(tmp_path, 80, check, content=values)


def test_any_offset_and_length_of_an_upload_is_answered_below_500(tmp_path):
    numbers = st.one_of(
        st.integers(-5, 5000).map(str), st.sampled_from(["", "1e3", "0x1", "٣", "9" * 40, "-0", "+1", " 1"])
    )

    async def check(mock: Mock, length: str, offset: str, size: int) -> None:
        bearer = await mock.bearer()
        headers = {**bearer, "Tus-Resumable": "1.0.0", "Upload-Length": length, "Upload-Metadata": metadata()}
        created = await mock.ask("POST", "/v1/files", headers)
        assert created.status in {201, 400, 413}
        if created.status == 201:
            path = "/v1/files/" + created.headers["location"].rsplit("/", 1)[1]
            data = photo(size=max(27, size))[:size]
            header = head("PATCH", path, {**bearer, **TUS, "Upload-Offset": offset}, size, close=True)
            status = await status_of(mock, header + data)
            assert acceptable(status)

    over_one_server(tmp_path, 80, check, length=numbers, offset=numbers, size=st.integers(0, 5000))


@pytest.mark.parametrize("length", ["-1", "abc", "99999999999999999999999", "5, 6", "", " "])
async def test_wrong_content_lengths_are_refused(tmp_path, length):
    async with leakproof(tmp_path) as mock:
        lines = [f"PUT {path_of()} HTTP/1.1", "Host: x", f"Authorization: Bearer {await mock.token()}"]
        status = await status_of(mock, "\r\n".join([*lines, f"Content-Length: {length}"]).encode() + b"\r\n\r\n123456")
        assert 400 <= status < 500


async def test_a_length_beside_chunks_is_refused(tmp_path):
    async with leakproof(tmp_path) as mock:
        lines = [f"PUT {path_of()} HTTP/1.1", "Host: x", f"Authorization: Bearer {await mock.token()}"]
        both = [*lines, "Content-Length: 3", "Transfer-Encoding: chunked"]
        status = await status_of(mock, "\r\n".join(both).encode() + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert status == 400


@pytest.mark.parametrize(
    "chunk", [b"zz\r\n", b"-3\r\nabc\r\n", b"ffffffffffffffffff\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"\r\n"]
)
async def test_malformed_chunks_are_refused(tmp_path, chunk):
    async with leakproof(tmp_path) as mock:
        lines = [f"PUT {path_of()} HTTP/1.1", "Host: x", f"Authorization: Bearer {await mock.token()}"]
        data = "\r\n".join([*lines, "Transfer-Encoding: chunked"]).encode() + b"\r\n\r\n" + chunk
        assert (await status_of(mock, data)) in {0, 400, 408}
        assert await mock.stored() == []


async def test_compressed_bombs_are_refused(tmp_path):
    async with leakproof(tmp_path, max_body="1MB") as mock:
        bomb = zlib.compress(b"\0" * 50_000_000, 9)
        headers = {**await mock.bearer(), "Content-Encoding": "deflate"}
        assert (await mock.ask("PUT", path_of(), headers, bomb)).status in {400, 413, 415}
        assert await mock.stored() == []


async def test_clients_that_leave_at_any_point_leave_nothing_behind(tmp_path):
    async with leakproof(tmp_path, service_time="20ms", workers=4, queue_capacity=1000) as mock:
        whole = head("POST", path_of(page=2), await mock.form_headers(), len(GOOD_BODY)) + GOOD_BODY
        rng = random.Random(1)

        async def leave(at: int, *, abruptly: bool) -> None:
            line = await mock.line()
            await line.send(whole[:at])
            await asyncio.sleep(rng.random() * 0.03)
            if abruptly:
                line.writer.transport.abort()
            await line.close()

        cuts = [
            0,
            1,
            50,
            len(whole) - len(GOOD_BODY),
            len(whole) - 1,
            len(whole),
            *(rng.randrange(len(whole)) for _ in range(60)),
        ]
        await asyncio.gather(*(leave(at, abruptly=at % 2 == 0) for at in cuts))
        await until(lambda: mock.server.pool.busy == mock.server.metrics.active == 0)


async def test_pipelined_requests_are_answered_in_order(tmp_path):
    async with leakproof(tmp_path) as mock:
        headers = await mock.form_headers()
        line = await mock.line()
        await line.send(
            b"".join(head("POST", path_of(page=page), headers, len(GOOD_BODY)) + GOOD_BODY for page in (1, 2, 9, 3))
        )
        assert [(await line.answer()).status for _ in range(4)] == [201, 201, 404, 201]
        await line.close()


async def test_a_form_of_endless_parts_is_refused(tmp_path):
    async with leakproof(tmp_path) as mock:
        part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="reading"\r\n\r\n{{}}\r\n'.encode()
        body = part * 5000 + f"--{BOUNDARY}--\r\n".encode()
        assert (await mock.ask("POST", path_of(), await mock.form_headers(), body)).status == 400
        endless = f"--{BOUNDARY}\r\n".encode() + b"X-Header: y\r\n" * 10_000
        assert (await mock.ask("POST", path_of(), await mock.form_headers(), endless)).status in {400, 413}


async def test_the_station_in_a_path_may_be_anything(tmp_path):
    async with leakproof(tmp_path) as mock:
        for code in ("%00", "%ff%fe", "..%2f..", "x" * 2000, "%F0%9F%92%A9", "3509191001001%0d%0a"):
            path = path_of(STATION).replace(STATION, code)
            assert (await mock.ask("PUT", path, await mock.bearer(), photo())).status in {400, 403, 404}
