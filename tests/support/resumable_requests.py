"""Requests of resumable uploads over HTTP to the mock."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.mock_in_process import Answer, Mock, head, path_of

VERSION = {"Upload-Draft-Interop-Version": "8"}
PARTIAL = {"Content-Type": "application/partial-upload"}


@dataclass
class Exchange:
    """A final response and the interim ones before it."""

    final: Answer
    interim: list[Answer] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The path of the upload that the first interim response names."""
        return path_in(self.interim[0])


def path_in(answer: Answer) -> str:
    address = answer.headers["location"]
    assert address.startswith("http://mock/v1/uploads/"), "absolute, with the host that the client used"
    return address.removeprefix("http://mock")


async def exchange(mock: Mock, method: str, path: str, headers: dict[str, str], data: bytes = b"") -> Exchange:
    """Sends a request and reads all that comes back."""
    line = await mock.line()
    try:
        await line.send(head(method, path, {**await mock.bearer(), **VERSION, **headers}, len(data)) + data)
        interim = []
        while 100 <= (answer := await line.answer(method)).status < 200:
            interim.append(answer)
        return Exchange(answer, interim)
    finally:
        await line.close()


async def create(
    mock: Mock, data: bytes, length: int | None = None, *, completes: bool = False, **more: str
) -> Exchange:
    """Creates an upload of page 1 with its first bytes."""
    headers = {"Content-Type": "image/jpeg", "Upload-Complete": f"?{int(completes)}"}
    if length is not None:
        headers["Upload-Length"] = str(length)
    return await exchange(
        mock, "PUT", path_of(), {**headers, **{k.replace("_", "-"): v for k, v in more.items()}}, data
    )


async def append(mock: Mock, path: str, offset: int, data: bytes, *, completes: bool = False, **more: str) -> Exchange:
    headers = {**PARTIAL, "Upload-Offset": str(offset), "Upload-Complete": f"?{int(completes)}"}
    return await exchange(mock, "PATCH", path, {**headers, **{k.replace("_", "-"): v for k, v in more.items()}}, data)


async def state(mock: Mock, path: str) -> tuple[int, int, str]:
    """Status, offset (-1 without one) and completeness of an upload."""
    found = (await exchange(mock, "HEAD", path, {})).final
    return found.status, int(found.headers.get("upload-offset", -1)), found.headers.get("upload-complete", "")
