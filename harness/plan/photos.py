"""Photos: a bank of a few real JPEGs, and a short tail that makes each page's photo unique.

A photo is a shared body (a drawn C.Hasil page with camera noise, without its end marker) followed by a JPEG comment segment
with station, form and page, and the end marker: a complete JPEG that any decoder opens. So a million pages need no memory,
and a digest takes a microsecond: the body is hashed once, its hash state copied, the tail added.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harness.base.model import PageKey

if TYPE_CHECKING:
    from mock_server.profile.units import AnyDistribution

TAIL_BYTES = 64
"""Length of every tail: the comment is padded with spaces, so that all photos of a body have the same size."""
MIN_PHOTO_BYTES = 1_000
_COMMENT, _END = b"\xff\xfe", b"\xff\xd9"
_COMMENT_BYTES = TAIL_BYTES - 6
_TAIL = _COMMENT + (_COMMENT_BYTES + 2).to_bytes(2, "big") + b"%b" + _END
PNG_END_BYTES = 12
"""Of the chunk IEND, which a PNG ends with."""
JPEG_END = _END
Marking = Literal["jpeg", "png", "pdf", "none"]
"""What a photo's tail is: a comment of its format, or nothing, so that all pages of a file have the same bytes."""
_LENGTHS = struct.Struct("<II")
"""Lengths of what it is (JSON) and of its data: they precede each body in a file of `save_photo_bank`."""
PageFields = tuple[str, str, int]
"""A `PageKey`, or a plain tuple of the same: station code, form, page number."""
_NOISE = 12.0
_QUALITY = 90
_TRIAL_SIDE = 400
_GROWTH = 1.86
"""Bytes grow with this power of the side: a little less than the area, because the drawing gets sparser (measured)."""


class PhotoType(NamedTuple):
    """What kind of file a photo is."""

    content_type: str
    extension: str


JPEG = PhotoType("image/jpeg", "jpg")


@dataclass(frozen=True)
class PhotoBody:
    """The shared part of many photos."""

    data: bytes
    kind: PhotoType = JPEG
    marking: Marking = "jpeg"

    def tail(self, key: PageFields) -> bytes:
        """What makes this page's photo unique; of the same length for all pages, and empty if the format has no room for it."""
        return _TAILS[self.marking](key)

    @property
    def size_bytes(self) -> int:
        """Size of a whole photo with this body."""
        return len(self.data) + _TAIL_LENGTHS[self.marking]

    @cached_property
    def view(self) -> memoryview:
        """The data as a view: slices of it are sent without copying."""
        return memoryview(self.data)

    @cached_property
    def _hash(self) -> hashlib._Hash:
        return hashlib.sha256(self.data)

    @cached_property
    def _md5(self) -> hashlib._Hash:
        return hashlib.md5(self.data, usedforsecurity=False)

    def md5(self, tail: bytes) -> str:
        """MD5 (hex) of body and tail: what S3 calls the ETag of an object that was put in one piece."""
        state = self._md5.copy()
        state.update(tail)
        return state.hexdigest()

    def sha256(self, tail: bytes) -> str:
        """SHA-256 (hex) of body and tail, without hashing the body again."""
        state = self._hash.copy()
        state.update(tail)
        return state.hexdigest()


@dataclass(frozen=True)
class NominalPhotoBody(PhotoBody):
    """Stands for a body that nobody looks at: it has a size and gives every page its own digest, but no photo."""

    nominal_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """Size of the photo that it stands for."""
        return self.nominal_bytes


def make_nominal_bank(size: AnyDistribution, bodies: int, seed: int) -> tuple[PhotoBody, ...]:
    """Bodies of the sizes that `make_photo_bank` would draw, without drawing them: for simulations."""
    return tuple(
        NominalPhotoBody(f"nominal photo {seed}/{number}/".encode(), nominal_bytes=wanted)
        for number, wanted in enumerate(_bank_sizes(size, bodies))
    )


def _bank_sizes(size: AnyDistribution, bodies: int) -> list[int]:
    sizes = [round(size.quantile((number + 0.5) / bodies)) for number in range(bodies)]
    return [max(wanted, MIN_PHOTO_BYTES) for wanted in sizes]


def _label(key: PageFields) -> bytes:
    """The key of a page in `_COMMENT_BYTES` bytes of ASCII; its digest if it is too long, or not ASCII."""
    text = ("%s/%s/%d" % key).encode()  # noqa: UP031 - half the cost of naming the fields
    if len(text) > _COMMENT_BYTES or not text.isascii():
        text = hashlib.sha256(text).hexdigest()[:_COMMENT_BYTES].encode()
    return text.ljust(_COMMENT_BYTES)


def make_tail(key: PageFields) -> bytes:
    """The end of this page's photo: a comment segment with its key, and the end marker.

    >>> len(make_tail(PageKey("3509191001001", "ppwp", 2)))
    64
    """
    return _TAIL % _label(key)


def _make_png_tail(key: PageFields) -> bytes:
    """A text chunk (PNG, 11.3.4.3) with the key, and the chunk that ends the image."""
    text = b"tEXtComment\0" + _label(key)
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    return chunk + b"\0\0\0\0IEND" + zlib.crc32(b"IEND").to_bytes(4, "big")


def _make_pdf_tail(key: PageFields) -> bytes:
    """A comment after the end of the file, with the key."""
    # a parenthesis or percent sign in a comment means nothing (ISO 32000-1, 7.2.3)
    return b"\n%" + _label(key) + b"\n"


_TAILS: dict[Marking, Callable[[PageFields], bytes]] = {
    "jpeg": make_tail,
    "png": _make_png_tail,
    "pdf": _make_pdf_tail,
    "none": lambda _: b"",
}
_TAIL_LENGTHS = {marking: len(make(PageKey("", "", 0))) for marking, make in _TAILS.items()}


@lru_cache(maxsize=1)
def make_photo_bank(size: AnyDistribution, bodies: int, seed: int) -> tuple[PhotoBody, ...]:
    """Bodies whose photos have the sizes at the midpoints of `bodies` equally likely parts of the distribution.

    Deterministic: the same arguments give the same bytes, with the same version of Pillow (run.json records it). Takes seconds
    of CPU for photos of megabytes, so the last bank is kept: the variants of an experiment, run one after another with the same
    seed, share it.
    """
    return tuple(
        PhotoBody(_make_jpeg_body(wanted - TAIL_BYTES, np.random.default_rng([seed, 0xF070, number])))
        for number, wanted in enumerate(_bank_sizes(size, bodies))
    )


def save_photo_bank(bank: tuple[PhotoBody, ...], path: Path) -> None:
    """Write a bank to a file, for local workers: reading it takes milliseconds, drawing it again seconds of CPU per worker."""
    with path.open("wb") as file:
        for body in bank:
            what = json.dumps([*body.kind, body.marking]).encode()
            file.write(_LENGTHS.pack(len(what), len(body.data)))
            file.write(what)
            file.write(body.data)


def load_photo_bank(path: Path) -> tuple[PhotoBody, ...]:
    """The bank that `save_photo_bank` wrote. Raises OSError; ValueError if the file is truncated."""
    content = path.read_bytes()
    found, position = [], 0
    while position < len(content):
        start = position + _LENGTHS.size
        described, length = _LENGTHS.unpack(content[position:start].ljust(_LENGTHS.size, b"\xff"))
        position = start + described + length
        if position > len(content):
            message = f"{path} is truncated"
            raise ValueError(message)
        content_type, extension, marking = json.loads(content[start : start + described])
        kind = PhotoType(content_type, extension)
        found.append(PhotoBody(content[start + described : position], kind, marking))
    return tuple(found)


def _make_jpeg_body(size_bytes: int, rng: np.random.Generator) -> bytes:
    """A JPEG without its end marker, of exactly this size: drawn a little too small, and filled up with comments."""
    # the noise decides how well the page compresses, so the bytes per area are known only after encoding once
    trial = len(_encode_jpeg(_trial_page(), rng))
    side = _TRIAL_SIDE * (0.98 * size_bytes / trial) ** (1 / _GROWTH)
    body = b""
    while True:
        width, height = max(8, int(side)), max(8, int(side * 4 / 3))
        body = _encode_jpeg(_draw_page(width, height), rng)[: -len(_END)]
        if len(body) + 4 <= size_bytes or (width == 8 and height <= 10):
            break
        side *= 0.97
    return body + _make_filler(size_bytes - len(body), rng)


def _make_filler(missing: int, rng: np.random.Generator) -> bytes:
    """Comment segments of random bytes, `missing` bytes together; none below 4, the size of a segment's header."""
    segments = b""
    while missing >= 4:
        length = min(missing, 65_000)
        length -= 4 if 0 < missing - length < 4 else 0  # leave room for another whole segment
        segments += _COMMENT + (length - 2).to_bytes(2, "big") + rng.bytes(length - 4)
        missing -= length
    return segments


def _encode_jpeg(drawing: Image.Image, rng: np.random.Generator) -> bytes:
    """The drawing as a phone's camera takes it: lit from one side, with noise and a tint."""
    page = np.asarray(drawing, dtype=np.float32)
    height, width, _ = page.shape
    light = np.linspace(1.0, 0.82, height, dtype=np.float32)[:, None, None]
    noise = rng.standard_normal((height, width, 1), dtype=np.float32) * _NOISE
    tint = rng.standard_normal((1, 1, 3), dtype=np.float32) * 3.0
    pixels = np.clip(page * light + noise + tint, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=_QUALITY if width >= 240 else 50)
    return out.getvalue()


@cache  # every body begins with a trial, on the same drawing
def _trial_page() -> Image.Image:
    return _draw_page(_TRIAL_SIDE, _TRIAL_SIDE * 4 // 3)


def _font(size: float) -> ImageFont.FreeTypeFont:
    """Pillow's own font, which it would decode again for each text."""
    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise TypeError(type(found))
    return found


def _draw_page(width: int, height: int) -> Image.Image:
    """A C.Hasil page as photographed by a phone: title, grid of boxes for votes, figures."""
    image = Image.new("RGB", (width, height), (236, 233, 222))
    if width < 240:  # too small to hold the grid
        return image
    draw = ImageDraw.Draw(image)
    ink, red = (40, 44, 60), (150, 40, 40)
    margin, row = width // 16, height / 40
    draw.rectangle((margin, row, width - margin, height - row), outline=ink, width=max(1, width // 300))
    draw.text(
        (margin * 2, row * 1.5),
        "MODEL C.HASIL-KPU  PRESIDEN DAN WAKIL PRESIDEN",
        fill=red,
        font=_font(max(8, row * 0.85)),
    )
    line_font, figure_font = _font(max(6, row * 0.6)), _font(max(6, row * 0.8))
    for line in range(4, 38):
        y = row * line
        draw.line((margin, y, width - margin, y), fill=ink, width=1)
        draw.text((margin * 1.3, y + row * 0.1), f"{line - 3:2d}.  JUMLAH SUARA SAH", fill=ink, font=line_font)
        for box in range(3):
            left = width - margin * (2 + 1.4 * box)
            draw.rectangle((left, y + 2, left + margin, y + row - 2), outline=ink)
            draw.text((left + margin / 3, y), str((line * 7 + box * 3) % 10), fill=(20, 40, 140), font=figure_font)
    return image
