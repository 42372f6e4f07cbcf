"""The put protocol: one PUT a page, the photo as it is, the reading (on the votes' page) in the header `Reading`."""

from __future__ import annotations

from harness.drive.client.outcomes import outcome_of_status
from harness.drive.client.protocols.base import Ending, HighWaterMark, Photo, Sender, head_of, repr_digest, send
from harness.drive.client.session import Wire


class Delivery:
    """A page as a raw photo: every attempt sends it from the beginning."""

    __slots__ = ("_photo", "mark")

    def __init__(self, photo: Photo) -> None:
        self._photo = photo
        self.mark = HighWaterMark()

    def attempt(self, wire: Wire, sender: Sender) -> Ending:
        """Put the photo."""
        photo = self._photo
        answer = send(wire, head(photo, sender), photo.whole, b"", 0, self.mark)
        return Ending(outcome_of_status(answer.status), answer)


def head(photo: Photo, sender: Sender) -> bytes:
    """Everything that goes before the photo."""
    headers = [
        *sender.headers(photo),
        "Content-Type: image/jpeg",
        f"Content-Length: {photo.size_bytes}",
        repr_digest(photo.sha256),
    ]
    if photo.reading:
        headers.append(f"Reading: {photo.reading}")
    return head_of(f"PUT {photo.path}", headers)
