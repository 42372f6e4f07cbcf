"""Digests that clients send along: Repr-Digest (RFC 9530), a dictionary of byte sequences (RFC 8941)."""

from __future__ import annotations

import base64
import binascii
import re

from mock_server.http.responses import Problem
from mock_server.upload.photo import ReceivedUpload

_KEY = r"[a-z*][a-z0-9_.*-]*"
_BYTES = r":[A-Za-z0-9+/=]*:"
_ITEM = (
    rf"(?:{_BYTES}"
    r'|"(?:[ !#-\[\]-~]|\\["\\])*"'
    r"|-?[0-9]{1,12}\.[0-9]{1,3}|-?[0-9]{1,15}"
    r"|\?[01]"
    r"|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*)"
)
_PARAMETERS = rf"(?:; *{_KEY}(?:={_ITEM})?)*"
_INNER_LIST = rf"\( *(?:{_ITEM}{_PARAMETERS}(?: +{_ITEM}{_PARAMETERS})*)? *\)"
_MEMBER = re.compile(rf"({_KEY})(?:=({_ITEM}|{_INNER_LIST}))?{_PARAMETERS}")
_COMMA = re.compile(r"[ \t]*,[ \t]*")


def check_digest(header: str | None, upload: ReceivedUpload) -> None:
    """Raises Problem 400 if the header is malformed or names a SHA-256 that is not the photo's.

    Other algorithms are not looked at.
    """
    claimed = dictionary_members(header or "").get("sha-256")
    if claimed is None:
        return
    if _decode_digest(claimed) != upload.sha256:
        raise Problem(400, "The photo does not match its Repr-Digest", sha256=upload.sha256)


def dictionary_members(header: str) -> dict[str, str]:
    """The members of a structured field's dictionary, unread; of several with one key the last. Raises Problem 400.

    >>> members("sha-512=:AAAA:, sha-256=:AA==:;p=1, sha-256=:AQ==:")
    {'sha-512': ':AAAA:', 'sha-256': ':AQ==:'}
    """
    text = header.strip(" ")
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        member = _MEMBER.match(text, at)
        comma = None if member is None else _COMMA.match(text, member.end())
        if member is None or (member.end() < len(text) and comma is None) or (comma and comma.end() == len(text)):
            raise Problem(400, "Malformed Repr-Digest")
        found[member[1]] = member[2] or ""
        at = len(text) if comma is None else comma.end()
    return found


def _decode_digest(member: str) -> str:
    """The digest that a byte sequence carries, in hexadecimal. Raises Problem 400."""
    if not re.fullmatch(_BYTES, member):
        raise Problem(400, "Malformed Repr-Digest: a digest is a byte sequence, as in sha-256=:…:")
    try:
        return base64.b64decode(member[1:-1], validate=True).hex()
    except binascii.Error as error:
        raise Problem(400, "Malformed Repr-Digest") from error
