"""What counts as a whole JPEG, however its bytes come."""

import io

import pytest
from PIL import Image

from mock_server.upload.photo import PhotoSink
from mock_server.upload.readings import Reading
from tests.support.mock_in_process import JPEG_HEAD, photo

END = b"\xff\xd9"


def is_whole(data: bytes, piece: int = 2**16) -> bool:
    sink = PhotoSink(keep=False)
    for at in range(0, len(data), piece):
        sink.feed(memoryview(data)[at : at + piece])
    return sink.upload(Reading()).is_whole_jpeg


def drawn(**options: object) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((80, 60), 50).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.heavy
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 100, 2**16])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + b"x" * 60_000}, {"comment": b"hi"}]
)
def test_real_photos_are_whole_in_pieces_of_any_size(options, piece):
    assert is_whole(drawn(**options), piece)


@pytest.mark.parametrize("piece", [1, 2, 3, 2**16])
def test_zeros_after_the_end_do_no_harm(piece):
    for zeros in (1, 2, 3, 1000):
        assert is_whole(drawn() + bytes(zeros), piece)


@pytest.mark.parametrize("piece", [1, 2, 3, 2**16])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff garbage \xff\xd9",
        b"\xff\xd8\xff\xe0" + b"x" * 3000 + END,
        b"\xff\xd8\xff\xe0\x00\x01" + JPEG_HEAD[2:] + END,
        JPEG_HEAD[:-10] + END,
        JPEG_HEAD[:2] + JPEG_HEAD[-10:] + END,
        photo()[:-1],
        photo()[1:],
        photo() + b"x",
        photo()[:-1] + b"\0\xd9",
        bytes(10),
    ],
)
def test_what_lacks_a_head_a_frame_a_scan_or_an_end_is_not(data, piece):
    assert not is_whole(data, piece)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"exif": b"Exif\0\0\xff\xd9" + b"x" * 50}]
)
def test_a_real_photo_that_is_cut_anywhere_is_not_whole(options):
    data = drawn(**options)
    for length in range(len(data)):
        assert not is_whole(data[:length]), length
        assert not is_whole(data[:length] + bytes(3)), "nor if it is padded"
    assert is_whole(data)


def test_fill_bytes_before_a_marker_are_allowed():
    assert is_whole(JPEG_HEAD[:2] + b"\xff\xff" + JPEG_HEAD[2:] + b"x" + END, 1)
