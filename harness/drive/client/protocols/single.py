"""Uploads to an API that takes a page in one request, without a login: a [target] of a path and a body `raw`.

What a flow of steps asks at every request (is there a login, a cookie, a value to take, a part to send?) is answered once
here, when the scenario is read: at thousands of uploads a second the questions cost more than the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from harness.base.model import Outcome
from harness.drive.client.pool import AttemptConnection
from harness.drive.client.protocols.base import HighWaterMark, UploadContext, UploadResult, send_photo
from harness.drive.client.protocols.step_format import StepFormat, escape_percent
from harness.protocol import Photo

_MALFORMED = Outcome.MALFORMED
_IN_PATH = {"station": "url_station", "form": "url_form", "page": "page", "sha256": "sha256", "size": "size_bytes"}
"""The photo's attribute for each placeholder in a path: letters and digits, or percent-encoded."""
_IN_HEADER = {**_IN_PATH, "station": "station", "form": "form", "reading": "reading"}
"""The same in headers."""


class SingleRequest:
    """The request that sends a page: a `%` format, and the photo's attributes that fill it. Made once for a run."""

    __slots__ = ("_attributes", "_before_host", "_behind_host", "_formats", "outcomes", "step")

    def __init__(self, form: StepFormat, outcomes: Mapping[int, Outcome], step: int) -> None:
        """`outcomes` says what statuses mean; `step` is what the journal calls the request.

        Raises KeyError if the request has values that a photo doesn't know (attempt, pin, columns of the user's own).
        """
        names = [_IN_PATH[word] for word in form.path.order]
        names += [_IN_HEADER[word] for _, template in form.headers for word in template.order]
        lines = [*form.header_formats]
        if not form.sets_type:
            lines.append("Content-Type: %s")
            names.append("content_type")
        self._before_host = f"{escape_percent(form.method)} {form.path.format} HTTP/1.1\r\nHost: "
        self._behind_host = "\r\n".join(["", *lines, "Content-Length: %s", "", ""])
        self._attributes: Callable[[Photo], Any] = attrgetter(*names, "size_bytes")
        self._formats: dict[str, str] = {}
        self.outcomes = outcomes
        self.step = step

    def head(self, photo: Photo, host: str) -> bytes:
        """Everything that is sent before the photo's bytes."""
        text: str = (self._formats.get(host) or self._format(host)) % self._attributes(photo)
        return text.encode()

    def _format(self, host: str) -> str:
        self._formats[host] = f"{self._before_host}{escape_percent(host)}{self._behind_host}"
        return self._formats[host]


class SingleUpload:
    """The upload of a page in one request; every attempt sends it from the beginning."""

    __slots__ = ("_photo", "_request", "high_water")

    def __init__(self, photo: Photo, request: SingleRequest) -> None:
        self._photo = photo
        self._request = request
        self.high_water = HighWaterMark()

    def attempt(self, connection: AttemptConnection, context: UploadContext) -> UploadResult:
        """Send the photo, and interpret the status as the scenario says."""
        photo, request = self._photo, self._request
        connection.progress.step = request.step
        response = send_photo(connection, request.head(photo, context.host), photo.whole, b"", 0, self.high_water)
        return UploadResult(request.outcomes.get(response.status, _MALFORMED), response)


def make_single(form: StepFormat, outcomes: Mapping[int, Outcome], step: int) -> SingleRequest | None:
    """The request, if it is the photo and nothing in it depends on more than the photo; else None."""
    if form.body != "raw":
        return None
    try:
        return SingleRequest(form, outcomes, step)
    except KeyError:
        return None
