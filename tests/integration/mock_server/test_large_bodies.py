"""Bodies that are larger than what is read before their handler has begun: taken from the connection, to their last byte."""

import asyncio
import hashlib
import random
import ssl

import pytest

from mock_server.net.tls import make_certificate, server_context
from tests.support.mock_in_process import Line, form, head, path_of, photo, repr_digest, running, until

PICTURE = photo(size=700_000)


async def pipelined(mock, *pictures: bytes) -> bytes:
    """Uploads one after the other, as the bytes of one connection."""
    headers, sent = await mock.form_headers(), b""
    for page, picture in enumerate(pictures, 1):
        body = form(picture)
        sent += head("POST", path_of(page=page), headers, len(body)) + body
    return sent


@pytest.mark.parametrize("keys", [{}, {"ingress": "200MB/s"}, {"min_upload_rate": "1B/s"}])
@pytest.mark.parametrize("secret", [False, True])
async def test_uploads_that_follow_each_other_at_once_are_stored_as_sent(tmp_path, keys, secret):
    certificate, key = make_certificate(tmp_path, "127.0.0.1")
    tls = server_context(certificate, key) if secret else None
    trusts = ssl.create_default_context(cafile=str(certificate)) if secret else None
    pictures = [photo(seed, size) for seed, size in enumerate((700_000, 3000, 300_000))]
    async with running(tmp_path, tls=tls, **keys) as mock:
        line = Line(*await asyncio.open_connection("127.0.0.1", mock.port, ssl=trusts))
        sending = asyncio.create_task(line.send(await pipelined(mock, *pictures)))
        answers = [await line.answer() for _ in pictures]
        await sending
        await line.close()
        assert [(answer.status, answer.json["sha256"]) for answer in answers] == [
            (201, hashlib.sha256(picture).hexdigest()) for picture in pictures
        ]


async def test_a_body_in_pieces_of_any_size_is_stored_as_sent(tmp_path):
    draw = random.Random(1)
    async with running(tmp_path) as mock:
        line = await mock.line()
        sent = await pipelined(mock, PICTURE, PICTURE)
        while sent:
            size = draw.choice([1, 100, 8191, 8192, 8193, 100_000])
            await line.send(sent[:size])
            sent = sent[size:]
            await asyncio.sleep(0.001)
        assert [(await line.answer()).json["size"] for _ in range(2)] == [len(PICTURE)] * 2
        await line.close()


async def test_a_put_is_taken_too(tmp_path):
    async with running(tmp_path) as mock:
        headers = {**await mock.bearer(), "Repr-Digest": repr_digest(PICTURE)}
        assert (await mock.ask("PUT", path_of(), headers, PICTURE)).status == 201


async def test_a_form_that_is_refused_half_way_is_read_to_its_end_and_the_connection_kept(tmp_path):
    async with running(tmp_path) as mock:
        wrong = form(PICTURE).replace(b'"photo"', b'"other"')
        line = await mock.line()
        answer = await line.ask("POST", path_of(), await mock.form_headers(), wrong)
        assert (answer.status, answer.json["detail"]) == (400, "The form has the parts photo and reading, once each")
        assert (await line.ask("POST", path_of(), await mock.form_headers(), form(PICTURE))).status == 201
        await line.close()


async def test_a_refusal_in_the_last_piece_keeps_the_connection_too(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        cut = form(PICTURE)[:-6]
        assert (await line.ask("POST", path_of(), await mock.form_headers(), cut)).status == 400
        assert (await line.ask("GET", "/healthz")).status == 200
        await line.close()


async def test_a_client_that_leaves_half_way_leaves_nothing(tmp_path):
    async with running(tmp_path) as mock:
        line = await mock.line()
        await line.send((await pipelined(mock, PICTURE))[:400_000])
        await until(lambda: mock.server.traffic.received_bytes >= 400_000)
        assert mock.server.metrics.active == 1
        await line.close()
        await until(lambda: mock.server.metrics.active == 0)
        assert await mock.stored() == []


async def test_a_body_that_ends_too_late_is_answered_408_whatever_has_come_of_it(tmp_path):
    async with running(tmp_path, body_timeout="300ms") as mock:
        line = await mock.line()
        await line.send((await pipelined(mock, PICTURE))[:400_000])
        answer = await line.rest()
        assert (answer.status, answer.json["detail"]) == (408, "The body took too long")
        await line.close()


async def test_an_upload_that_is_refused_early_is_answered_before_its_body(tmp_path):
    async with running(tmp_path, max_body="10KB") as mock:
        line = await mock.line()
        await line.send((await pipelined(mock, PICTURE))[:100_000])
        assert (await line.answer()).status == 413
        await line.close()
