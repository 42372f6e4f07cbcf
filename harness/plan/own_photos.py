"""Photos of the user's own: every page is a file of a folder, made unique by a tail where its format has room for one.

JPEG, PNG and PDF may end with a comment that no decoder shows. Any other file is sent as it is, so that pages share their
bytes: what a store then cannot tell apart, the audit says.
"""

from __future__ import annotations

import mimetypes
import zlib
from pathlib import Path

from harness.base.errors import ConfigurationError
from harness.base.safe_files import read_bounded, resolve_inside
from harness.plan.photos import JPEG_END, PNG_END_BYTES, Marking, NominalPhotoBody, PhotoBody, PhotoType

MAX_FILES = 256
"""A page's file is numbered in a byte."""
MAX_FOLDER_BYTES = 1_000_000_000
MAX_REMOTE_BYTES = 64_000_000
"""Of photos that travel to remote workers in their assignment."""
_KEY = "photos.folder"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND" + zlib.crc32(b"IEND").to_bytes(4, "big")
_MORE_TYPES = {".heic": "image/heic", ".heif": "image/heif", ".webp": "image/webp", ".avif": "image/avif"}
"""Types that Python's own list lacks in some versions."""
_TYPES: dict[Marking, PhotoType] = {
    "jpeg": PhotoType("image/jpeg", "jpg"),
    "png": PhotoType("image/png", "png"),
    "pdf": PhotoType("application/pdf", "pdf"),
}


def load_photo_folder(name: str) -> tuple[PhotoBody, ...]:
    """A body for each file of a folder, in the order of their names; hidden files and folders in it are left out.

    Raises ConfigurationError if there are none, or too many or too much.
    """
    return tuple(make_body(_read(path), path.suffix) for path in _files(name))


def load_nominal_folder(name: str) -> tuple[PhotoBody, ...]:
    """Bodies of the files' sizes, without reading them: for simulations. Raises as `load_photo_folder` does."""
    return tuple(
        NominalPhotoBody(f"nominal photo {number}/".encode(), nominal_bytes=max(1, path.stat().st_size))
        for number, path in enumerate(_files(name))
    )


def _files(name: str) -> list[Path]:
    folder, found, total = Path(name), [], 0
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ConfigurationError(_KEY, [f"{name} can't be read: {error.strerror}"]) from None
    for path in paths:
        try:
            resolve_inside(folder, path.name)
        except ValueError as error:
            raise ConfigurationError(_KEY, [f"{path} {error}"]) from None
        if path.is_file():
            found.append(path)
            total += path.stat().st_size
    if not found:
        raise ConfigurationError(_KEY, [f"{name} has no files"])
    if len(found) > MAX_FILES or total > MAX_FOLDER_BYTES:
        problem = f"{name} has {len(found):,} files of {total / 1e6:,.0f} MB: at most {MAX_FILES} of {MAX_FOLDER_BYTES / 1e6:,.0f} MB"
        raise ConfigurationError(_KEY, [problem])
    return found


def _read(path: Path) -> bytes:
    try:
        content = read_bounded(path)
    except OSError as error:
        raise ConfigurationError(_KEY, [f"{path} can't be read: {error.strerror}"]) from None
    if not content:
        raise ConfigurationError(_KEY, [f"{path} is empty"])
    return content


def make_body(content: bytes, suffix: str) -> PhotoBody:
    """The body of a file: what its format is decides how a tail can be added, whatever its name says."""
    marking = find_marking(content)
    if marking == "jpeg":
        content = content[: -len(JPEG_END)]
    elif marking == "png":
        content = content[:-PNG_END_BYTES]
    kind = _TYPES.get(marking)
    if kind is None:
        known = _MORE_TYPES.get(suffix.lower()) or mimetypes.guess_type(f"x{suffix}")[0]
        kind = PhotoType(known or "application/octet-stream", suffix.lower().removeprefix(".") or "bin")
    return PhotoBody(content, kind, marking)


def find_marking(content: bytes) -> Marking:
    """How pages of a file can be made unique; "none" for a format without comments, and for a file that is cut short."""
    if content.startswith(b"\xff\xd8\xff") and content.endswith(JPEG_END):
        return "jpeg"
    if content.startswith(_PNG) and content.endswith(_PNG_END):
        return "png"
    # readers look for %%EOF in the last 1,024 bytes (ISO 32000-1, annex H)
    return "pdf" if content.startswith(b"%PDF-") and b"%%EOF" in content[-512:] else "none"
