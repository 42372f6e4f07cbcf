"""Requests of resumable uploads to the mock."""

import base64
from pathlib import Path

from tests.support.mock_in_process import STATION, Answer, Mock

VERSION = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}


def metadata(page: int = 1, code: str = STATION, **more: str) -> str:
    pairs = {"station": code, "form": "ppwp", "page": str(page), **more}
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())


async def create(mock: Mock, picture: bytes, page: int = 1, code: str = STATION, **more: str) -> str:
    """A new upload's path."""
    headers = {**await mock.bearer(code), **VERSION, "Upload-Length": str(len(picture))}
    answer = await mock.ask("POST", "/v1/files", {**headers, "Upload-Metadata": metadata(page, code, **more)})
    assert answer.status == 201, answer.raw
    return path_in(answer)


def path_in(answer: Answer) -> str:
    """The path of the upload's address."""
    address = answer.headers["location"]
    assert address.startswith("http://mock/v1/files/"), "absolute, with the host that the client used"
    return address.removeprefix("http://mock")


async def patch(mock: Mock, path: str, offset: int, data: bytes, code: str = STATION, **more: str):
    headers = {**await mock.bearer(code), **VERSION, **BYTES, "Upload-Offset": str(offset)}
    return await mock.ask("PATCH", path, {**headers, **{k.replace("_", "-"): v for k, v in more.items()}}, data)


def arrived(folder: Path) -> int:
    """Bytes of unfinished uploads on the server's disk."""
    return sum(path.stat().st_size for path in (folder / "uploads").glob("*.part"))


async def offset_of(mock: Mock, path: str):
    return await mock.ask("HEAD", path, {**await mock.bearer(), **VERSION})
