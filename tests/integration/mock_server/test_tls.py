"""TLS: a connection counts from its first moment, whether it ever comes to speak HTTP or not."""

import asyncio
import ssl
import time

import pytest

from mock_server.net.tls import make_certificate, server_context
from tests.support.mock_in_process import Line, photo, running, until


@pytest.fixture
def contexts(tmp_path):
    certificate, key = make_certificate(tmp_path, "127.0.0.1")
    return server_context(certificate, key), ssl.create_default_context(cafile=str(certificate))


async def secure_line(port: int, context: ssl.SSLContext) -> Line:
    return Line(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1"))


async def test_a_handshake_that_is_not_begun_or_not_finished_is_cut_off_in_time(tmp_path, contexts):
    async with running(tmp_path, tls=contexts[0], header_timeout="300ms") as mock:
        silent, half = await mock.line(), await mock.line()
        await half.send(client_hello()[:40])
        for line in (silent, half):
            assert (await asyncio.wait_for(line.rest(), 30)).raw == b""
            await line.close()
        assert len(mock.server.connections) == 0


async def test_connections_without_a_handshake_count_against_the_limit(tmp_path, contexts):
    async with running(tmp_path, tls=contexts[0], max_connections=3) as mock:
        lines = [await mock.line() for _ in range(3)]
        await until(lambda: len(mock.server.connections) == 3)
        with pytest.raises((OSError, ssl.SSLError)):
            await secure_line(mock.port, contexts[1])
        await lines.pop().close()
        await until(lambda: len(mock.server.connections) == 2)
        line = await secure_line(mock.port, contexts[1])
        assert (await line.ask("GET", "/healthz")).status == 200
        assert len(mock.server.connections) == 3
        for open_line in (line, *lines):
            await open_line.close()
        await until(lambda: len(mock.server.connections) == 0)


async def test_what_is_no_tls_is_not_counted_any_more(tmp_path, contexts):
    async with running(tmp_path, tls=contexts[0]) as mock:
        line = await mock.line()
        await line.send(b"GET / HTTP/1.1\r\n\r\n")
        await line.rest()
        await line.close()
        await until(lambda: len(mock.server.connections) == 0)


@pytest.mark.virtual_time
async def test_the_handshake_is_part_of_the_headers_time(tmp_path, contexts):
    async with running(tmp_path, tls=contexts[0], header_timeout="800ms") as mock:
        plain = await mock.line()
        begun = time.monotonic()
        await asyncio.sleep(0.4)
        await plain.writer.start_tls(contexts[1], server_hostname="127.0.0.1")
        answer = await plain.rest()
        assert answer.status == 408
        assert time.monotonic() - begun < 1.2, "not 0.4 s and another 0.8 s"
        await plain.close()


async def test_a_closed_port_resets_handshakes_too(tmp_path, contexts):
    async with running(tmp_path, tls=contexts[0]) as mock:
        line = await mock.line()
        await until(lambda: len(mock.server.connections) == 1)
        await mock.admin("POST", "/faults", {"kind": "down"})
        assert (await asyncio.wait_for(line.rest(), 30)).end == "rst"
        await mock.admin("DELETE", "/faults")
        again = await secure_line(mock.port, contexts[1])
        assert (await again.ask("GET", "/healthz")).status == 200
        await again.close()
        await line.close()


async def test_a_stop_waits_for_no_handshake(tmp_path, contexts):
    async with running(tmp_path, tls=contexts[0]) as mock:
        line = await mock.line()
        await until(lambda: len(mock.server.connections) == 1)
        begun = time.monotonic()
    assert time.monotonic() - begun < 2
    assert (await line.rest()).raw == b""
    await line.close()


def client_hello() -> bytes:
    """The first words of a client."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="mock")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def test_an_upload_over_tls_is_stored(tmp_path, contexts):
    async with running(tmp_path, tls=contexts[0]) as mock:
        line = await secure_line(mock.port, contexts[1])
        headers = {**await mock.bearer(), "Content-Type": "image/jpeg"}
        path = "/v1/stations/3509191001001/forms/ppwp/pages/1"
        assert (await line.ask("PUT", path, headers, photo(size=400_000))).status == 201
        await line.close()
        assert len(await mock.stored()) == 1
