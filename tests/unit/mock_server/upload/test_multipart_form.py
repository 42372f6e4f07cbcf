"""A multipart form in pieces of any size: the photo that is hashed is the photo that was sent."""

import hashlib
import random

import pytest

from mock_server.http.responses import Problem
from mock_server.upload.multipart_form import MultipartForm
from mock_server.upload.photo import PhotoSink, ReceivedUpload

BOUNDARY = "--b"
DELIMITER = b"\r\n----b"
READING = b'{"chart":{"100025":1}}'


def part(name: str, content: bytes, header: bytes = b"") -> bytes:
    return b'----b\r\nContent-Disposition: form-data; name="%s"\r\n%s\r\n%s\r\n' % (name.encode(), header, content)


def sent(photo: bytes, header: bytes = b"", *, reading_first: bool = False) -> bytes:
    parts = [part("photo", photo, header), part("reading", READING)]
    return b"".join(parts[::-1] if reading_first else parts) + b"----b--\r\n"


def received(body: bytes, sizes: list[int] | int) -> ReceivedUpload:
    form = MultipartForm(BOUNDARY, PhotoSink(keep=True), 10**6)
    buffer = bytearray(len(body) + 7)
    at = 0
    while at < len(body):
        piece = body[at : at + (sizes if isinstance(sizes, int) else sizes.pop())]
        buffer[7 : 7 + len(piece)] = piece  # one buffer for all pieces, as the connection has it
        form.feed(buffer, 7, 7 + len(piece))
        at += len(piece)
    return form.upload()


PHOTOS = [
    b"",
    b"x",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n\r\n\r\n" * 9,
    DELIMITER[:-1],
    DELIMITER[:-1] * 5,
    b"\r" + DELIMITER[:-1] + b"\r",
    b"photo\r\n\r\nphoto" + DELIMITER[1:],
    bytes(50) + b"\r\n--",
]


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize("header", [b"", b"Content-Type: image/jpeg\r\n", b"Content-Length: %d\r\n"])
@pytest.mark.parametrize("reading_first", [False, True])
def test_the_photo_is_the_bytes_between_the_delimiters_in_pieces_of_any_size(photo, header, reading_first):
    body = sent(photo, header % len(photo) if b"%d" in header else header, reading_first=reading_first)
    for size in range(1, len(body) + 1):
        upload = received(body, size)
        assert upload.photo == photo, size
        assert upload.sha256 == hashlib.sha256(photo).hexdigest()
        assert upload.reading.text == READING.decode()


def test_the_photo_is_the_same_whatever_the_pieces_are():
    draw = random.Random(3)
    for _ in range(300):
        photo = b"".join(draw.choices([b"\r", b"\n", b"-", b"b", b"x", DELIMITER[:5], b"\r\n\r\n"], k=40))
        photo = photo.replace(DELIMITER, b"")
        body = sent(photo)
        assert received(body, [draw.choice([1, 2, 3, 4, 5, 30, 90]) for _ in body]).photo == photo


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (sent(b"x")[:-20], 400),
        (sent(b"x" + DELIMITER + b"yz"), 400),
        (part("photo", b"x") + sent(b"y"), 400),
        (part("other", b"x") + sent(b"y"), 400),
        (part("reading", READING) + b"----b--", 400),
        (sent(b"four", b"Content-Length: 3\r\n"), 400),
        (sent(b"four", b"Content-Length: 5\r\n"), 400),
        (part("reading", b"9" * 70_000) + sent(b"y"), 413),
        (part("photo", b"x", b"X: %s\r\n" % (b"y" * 5000)), 413),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_a_form_that_is_malformed_or_too_large_is_refused(body, status, size):
    with pytest.raises(Problem) as caught:
        received(body, size)
    assert caught.value.status == status
