"""A mock server in this process, on real sockets, and a client that sees every byte."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mock_server.http.auth import StationCredentials
from mock_server.profile_file import Profile
from mock_server.server import ListenAddresses, MockServer
from tests.support.virtual_time import VirtualTimeLoop

STATION = "3509191001001"
BOUNDARY = "----------------------------5f1c0ffee"
JPEG_HEAD = bytes.fromhex("ffd8 ffc0000b 080001000101011100 ffda0008 010100003f00")
"""Start of image, a frame of one grey pixel, the header of its scan."""
ADMIN_TOKEN = "let me in"
READING = (
    '{"administrasi":{"pemilih_dpt_j":280,"suara_sah":230,"suara_tidak_sah":4,"suara_total":234},'
    '"chart":{"100025":105,"100026":91,"100027":34}}'
)


def photo(seed: object = 0, size: int = 3000) -> bytes:
    """A file with a JPEG's head and end and noise between them, different for each seed."""
    noise = hashlib.shake_128(str(seed).encode()).digest(size - len(JPEG_HEAD) - 2)
    return JPEG_HEAD + noise + b"\xff\xd9"


def form(picture: bytes, reading: str | None = None) -> bytes:
    """A multipart body."""
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="p.jpg"\r\n'.encode()]
    parts += [b"Content-Type: image/jpeg\r\n\r\n", picture]
    if reading is not None:
        parts.append(f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="reading"\r\n\r\n{reading}'.encode())
    return b"".join([*parts, f"\r\n--{BOUNDARY}--\r\n".encode()])


def repr_digest(picture: bytes) -> str:
    """The Repr-Digest header of a photo."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(picture).digest()).decode()}:"


@dataclass
class Answer:
    """A response, and how the connection ended: "fin", "rst", or "open" if it was kept."""

    raw: bytes
    end: str
    took_s: float
    first_byte_s: float = 0.0

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1]) if self.raw.startswith(b"HTTP/1.") else 0

    @property
    def headers(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Line:
    """One connection, for any number of requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"", *, close: bool = False
    ) -> Answer:
        """Sends a request and reads its answer, to the end of the connection if `close`."""
        await self.send(head(method, path, headers, len(body), close=close) + body)
        return await (self.rest() if close else self.answer(method))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with suppress(ConnectionError):
            await self.writer.drain()

    async def answer(self, method: str = "GET") -> Answer:
        """One answer with a Content-Length; the connection stays."""
        begun = time.monotonic()
        raw = await self.reader.readuntil(b"\r\n\r\n")
        found = Answer(raw, "open", 0.0)
        length = int(found.headers.get("content-length", 0)) if method != "HEAD" else 0
        return Answer(raw + await self.reader.readexactly(length), "open", time.monotonic() - begun)

    async def rest(self) -> Answer:
        """Everything that is still received."""
        begun, raw, end, first = time.monotonic(), b"", "fin", 0.0
        try:
            while piece := await self.reader.read(2**16):
                first = first or time.monotonic() - begun
                raw += piece
        except ConnectionResetError:
            end = "rst"
        return Answer(raw, end, time.monotonic() - begun, first)

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


def head(method: str, path: str, headers: dict[str, str] | None, length: int, *, close: bool = False) -> bytes:
    """A request's header."""
    lines = [f"{method} {path} HTTP/1.1", "Host: mock", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    if length or method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {length}")
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


class Mock:
    """A running server and shorthands for what tests do with it."""

    def __init__(self, server: MockServer, ports: tuple[int, int]) -> None:
        self.server = server
        self.port, self.admin_port = ports
        self._tokens: dict[str, str] = {}
        self._login = asyncio.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def line(self) -> Line:
        return Line(*await asyncio.open_connection("127.0.0.1", self.port))

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """A request on a connection of its own, which is read to its end."""
        line = await self.line()
        try:
            return await line.ask(method, path, headers, body, close=True)
        finally:
            await line.close()

    async def token(self, station: str = STATION) -> str:
        """A token, without going through the port: faults must not hit a test's preparations."""
        async with self._login:
            if station not in self._tokens:
                self._tokens[station] = (await self.server.authenticator.login(station, station[-6:]))[0]
        return self._tokens[station]

    async def bearer(self, station: str = STATION) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self.token(station)}"}

    async def form_headers(self, station: str = STATION, **more: str) -> dict[str, str]:
        extra = {name.replace("_", "-"): value for name, value in more.items()}
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return {**await self.bearer(station), **kind, **extra}

    async def upload(
        self,
        station: str = STATION,
        page: int = 1,
        picture: bytes | None = None,
        reading: str | None = None,
        **more: str,
    ) -> Answer:
        """Uploads a page as a form."""
        body = form(photo((station, page)) if picture is None else picture, reading)
        return await self.ask("POST", path_of(station, page), await self.form_headers(station, **more), body)

    async def admin(self, method: str, path: str, content: object = None) -> Answer:
        """A request to the admin port."""
        line = Line(*await asyncio.open_connection("127.0.0.1", self.admin_port))
        body = b"" if content is None else json.dumps(content).encode()
        try:
            return await line.ask(method, path, {"Authorization": f"Bearer {ADMIN_TOKEN}"}, body, close=True)
        finally:
            await line.close()

    async def stored(self) -> list[dict[str, Any]]:
        """The stored pages, read from the admin port."""
        answer = await self.admin("GET", "/stored")
        return [json.loads(line) for line in dechunked(answer.body).splitlines()]

    async def metric(self, name: str) -> float:
        """A sample of the admin port's metrics: its whole name with labels; 0 if there is none."""
        for line in (await self.admin("GET", "/metrics")).body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0


def path_of(station: str = STATION, page: int = 1, form_name: str = "ppwp") -> str:
    return f"/v1/stations/{station}/forms/{form_name}/pages/{page}"


def fault(kind: str, **keys: object) -> dict[str, object]:
    """A rule of a profile."""
    return {"kind": kind, **keys}


def station(number: int) -> str:
    """The code of a station of Mangli."""
    return f"3509191001{number:03d}"


def dechunked(body: bytes) -> bytes:
    """A chunked body without its framing."""
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        whole, body = whole + body[:length], body[length + 2 :]
    return whole


@asynccontextmanager
async def running(
    folder: Path, stations: StationCredentials | None = None, *, tls: ssl.SSLContext | None = None, **keys: Any
) -> AsyncIterator[Mock]:
    """A running server whose profile has these keys; by default fast and without faults."""
    content = {"service_time": "0s", "grace": "1s", **keys}
    server = MockServer(Profile.model_validate(content), stations or StationCredentials(), folder, ADMIN_TOKEN, tls)
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTimeLoop):
        loop.outside_work.append(lambda: server.store.waiting)
    ports = await server.start(ListenAddresses())
    server.begin_schedule(time.monotonic())
    try:
        yield Mock(server, ports)
    finally:
        await server.stop()


async def until(condition: Any, longest_s: float = 30.0) -> None:
    """Wait until a condition holds; fails after a while."""
    end = time.monotonic() + longest_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)


async def read(mock: Mock) -> None:
    """Wait until every accepted page has been processed, and stored if it could be."""
    server = mock.server
    await until(
        lambda: server.pipeline.in_progress == server.pool.busy == server.pool.depth == server.store.waiting == 0
    )
