"""A shared way in and out, over real sockets: its rate, turns, back-pressure, and what it is composed with.

Rates are held to 5 %. What is in doubt is less: a line passes at most one piece (5 ms) and 20 ms of lateness more than its rate
in a second or two (line_schedule.py), and the connecting and answering around it take a few ms.
"""

import asyncio
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mock_server.net.tls import make_certificate, server_context
from tests.support.mock_in_process import Line, fault, head, path_of, photo, running, station, until
from tests.support.mock_process import process

TOLERANCE = 0.05


async def put(mock, number: int, picture: bytes, **options) -> float:
    """Uploads a photo over a connection of its own; when its answer was whole."""
    headers = await mock.bearer(station(number))
    line = Line(*await asyncio.open_connection("127.0.0.1", mock.port, **options))
    try:
        answer = await line.ask("PUT", path_of(station(number)), headers, picture, close=True)
    finally:
        await line.close()
    assert answer.status == 201, answer.raw
    return time.monotonic()


async def prepare(mock, uploads: int) -> None:
    for number in range(1, uploads + 1):
        await mock.token(station(number))


@pytest.mark.virtual_time
@pytest.mark.parametrize(("uploads", "size"), [(1, 2_000_000), (8, 250_000), (40, 50_000)])
async def test_all_who_send_at_once_share_the_ingress(tmp_path, uploads, size):
    async with running(tmp_path, ingress="2MB/s") as mock:
        await prepare(mock, uploads)
        begun_s = time.monotonic()
        ended = await asyncio.gather(*(put(mock, number, photo(number, size)) for number in range(1, uploads + 1)))
        took_s = max(ended) - begun_s
        sent = mock.server.traffic.received_bytes
        assert uploads * size <= sent <= uploads * (size + 1000)
        # Up to a tenth of a second more: connecting, committing, and this process plays both sides.
        assert (1 - TOLERANCE) * sent / 2e6 <= took_s <= (1 + TOLERANCE) * sent / 2e6 + 0.1


@pytest.mark.timed  # the rate of real connections over uvloop; on a virtual clock the tests before it hold it exactly
def test_the_process_holds_the_rate_of_many_connections_too(tmp_path):
    """With uvloop, as the server really runs, and with clients in threads of their own."""
    size, uploads = 500_000, 12
    with process(tmp_path, ingress="4MB/s") as server:
        requests = []
        for number in range(1, uploads + 1):
            headers = {"Authorization": f"Bearer {server.token(station(number))}"}
            requests.append(head("PUT", path_of(station(number)), headers, size, close=True) + photo(number, size))

        def send(request: bytes) -> tuple[bytes, float]:
            with socket.create_connection(("127.0.0.1", server.ready["port"])) as line:
                line.sendall(request)
                return line.recv(2**16)[:12], time.monotonic()

        with ThreadPoolExecutor(uploads) as all_at_once:
            begun_s = time.monotonic()
            answers, ended_s = zip(*all_at_once.map(send, requests), strict=True)
    assert set(answers) == {b"HTTP/1.1 201"}
    assert max(ended_s) - begun_s == pytest.approx(uploads * size / 4e6, rel=TOLERANCE)
    assert min(ended_s) - begun_s > 0.9 * (max(ended_s) - begun_s), "equal uploads have equal parts, and end together"


@pytest.mark.virtual_time
async def test_connections_take_turns(tmp_path):
    """Equal uploads end together; a small one among large ones has its turns and needn't wait for them."""
    async with running(tmp_path, ingress="2MB/s") as mock:
        await prepare(mock, 5)
        begun_s = time.monotonic()
        large = [asyncio.create_task(put(mock, number, photo(number, 400_000))) for number in range(1, 5)]
        await asyncio.sleep(0.1)
        small_s = await put(mock, 5, photo(5, 40_000)) - begun_s
        ended = [await task - begun_s for task in large]
        # Five share 2 MB/s: 40 KB need 0.1 s; the pieces that were before it in the queue a little more.
        assert small_s == pytest.approx(0.2, abs=0.06)
        assert max(ended) - min(ended) < 0.1 * max(ended)


@pytest.mark.virtual_time
async def test_what_a_slow_client_leaves_goes_to_the_others(tmp_path):
    slow = fault("bandwidth", rate="50KB/s", match={"station": station(1)})
    async with running(tmp_path, ingress="1MB/s", faults=[slow]) as mock:
        await prepare(mock, 2)
        begun_s = time.monotonic()
        slowed = asyncio.create_task(put(mock, 1, photo(1, 40_000)))
        fast_s = await put(mock, 2, photo(2, 500_000)) - begun_s
        slow_s = await slowed - begun_s
        assert fast_s == pytest.approx(0.54, rel=0.1)
        assert slow_s == pytest.approx(0.8, rel=0.1)


def test_a_client_waits_in_its_socket_and_nothing_is_buffered(tmp_path):
    """What the kernels of both sides can hold is all that a client gets rid of before its turn."""
    buffer_bytes = 2**17
    with process(tmp_path, ingress="200KB/s") as server:
        headers = {"Authorization": f"Bearer {server.token(station(1))}"}
        before = received_bytes(server)
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            line.connect(("127.0.0.1", server.ready["port"]))
            line.setblocking(False)
            begun_s = time.monotonic()
            request = head("PUT", path_of(station(1)), headers, 10_000_000)
            assert line.send(request) == len(request)
            taken = 0
            while time.monotonic() < begun_s + 0.5:
                try:
                    taken += line.send(bytes(buffer_bytes))
                except BlockingIOError:
                    time.sleep(0.01)
            received = received_bytes(server) - before
            passed = 200e3 * (time.monotonic() - begun_s)
    assert received < passed + 2 * 4096 + 4000, "no more than has passed, a piece and what 20 ms are worth"
    assert taken < 5_000_000, "the rest is still the client's"


def received_bytes(server) -> float:
    text = server.ask("GET", "/metrics", admin=True)[1].decode()
    return float(text.split("\nmock_server_ingress_bytes_total ")[1].split()[0])


async def test_without_a_rate_nothing_is_shared(tmp_path):
    async with running(tmp_path) as mock:
        await prepare(mock, 1)
        await put(mock, 1, photo(1, 500_000))
        text = (await mock.admin("GET", "/metrics")).body.decode()
        assert await mock.metric("mock_server_ingress_bytes_total") == mock.server.traffic.received_bytes > 500_000
        assert "utilisation" not in text
        assert "waiting_connections" not in text


@pytest.mark.virtual_time
async def test_the_metrics_tell_how_full_the_line_is(tmp_path):
    async with running(tmp_path, ingress="200KB/s") as mock:
        await prepare(mock, 2)
        uploads = [asyncio.create_task(put(mock, number, photo(number, 180_000))) for number in (1, 2)]
        await asyncio.sleep(1.3)
        assert await mock.metric("mock_server_ingress_utilisation_ratio") > 0.95
        assert await mock.metric("mock_server_ingress_waiting_connections") == 2
        await asyncio.gather(*uploads)
        assert await mock.metric("mock_server_ingress_waiting_connections") == 0


async def test_a_client_that_half_closes_behind_its_request_is_answered(tmp_path):
    async with running(tmp_path, ingress="100KB/s") as mock:
        await prepare(mock, 1)
        line = await mock.line()
        await line.send(head("PUT", path_of(station(1)), await mock.bearer(station(1)), 20_000) + photo(1, 20_000))
        answer = await line.answer()
        assert answer.status == 201
        line.writer.write_eof()
        await line.rest()
        await line.close()


async def test_clients_that_leave_take_nothing_of_the_line_with_them(tmp_path):
    async with running(tmp_path, ingress="50KB/s") as mock:
        await prepare(mock, 1)
        for _ in range(20):
            line = await mock.line()
            await line.send(head("PUT", path_of(station(1)), await mock.bearer(station(1)), 30_000) + bytes(2000))
            line.writer.transport.abort()
            await line.close()
        await put(mock, 1, photo(1, 10_000))
        assert mock.server.traffic.ingress is not None
        assert mock.server.traffic.ingress.waiting == 0


@pytest.mark.virtual_time
async def test_tls_shares_the_ingress_too(tmp_path):
    certificate, key = make_certificate(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(cafile=str(certificate))
    async with running(tmp_path, tls=server_context(certificate, key), ingress="1MB/s") as mock:
        await prepare(mock, 4)
        begun_s = time.monotonic()
        uploads = (
            put(mock, number, photo(number, 250_000), ssl=context, server_hostname="127.0.0.1")
            for number in range(1, 5)
        )
        took_s = max(await asyncio.gather(*uploads)) - begun_s
        # Bytes count decrypted; handshakes, and what TLS has decrypted ahead, are a little beside a second.
        assert took_s == pytest.approx(1.0, rel=0.1)


@pytest.mark.virtual_time
async def test_all_who_are_answered_share_the_egress(tmp_path):
    async with running(tmp_path, egress="1MB/s", keep_photos=True, public_cache="0s") as mock:
        await prepare(mock, 1)
        await put(mock, 1, photo(1, 250_000))
        line = await mock.line()
        address = f"/pemilu/hhcw/ppwp/35/3509/350919/3509191001/{station(1)}.json"
        image = (await line.ask("GET", address)).json["images"][0]
        await line.close()
        begun_s = time.monotonic()
        answers = await asyncio.gather(*(mock.ask("GET", image) for _ in range(4)))
        took_s = time.monotonic() - begun_s
        assert [answer.body for answer in answers] == [photo(1, 250_000)] * 4
        assert took_s == pytest.approx(sum(len(answer.raw) for answer in answers) / 1e6, rel=TOLERANCE)
        assert await mock.metric("mock_server_egress_bytes_total") >= 1e6


async def test_an_early_refusal_passes_a_full_ingress(tmp_path):
    """The egress has a line of its own, and the header of a refused upload is all that has to come in."""
    async with running(
        tmp_path, ingress="200KB/s", egress="1MB/s", workers=1, queue_capacity=0, service_time="1s"
    ) as mock:
        await prepare(mock, 2)
        busy = asyncio.create_task(put(mock, 1, photo(1, 2000)))
        await until(lambda: mock.server.pool.busy == 1)
        line = await mock.line()
        await line.send(head("PUT", path_of(station(2)), await mock.bearer(station(2)), 1_000_000))
        assert (await line.answer()).status == 503
        await line.close()
        await busy
