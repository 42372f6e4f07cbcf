"""Secrets that are written out in a scenario's texts, where the run folder would keep them. Pure.

Beside a placeholder, too: what stands around `${TARGET_TOKEN}` or `{page}` is written down as it is.
"""

from __future__ import annotations

import re

from harness.scenario import templating

ADVICE = (
    "take the secret from the environment, as in ${TARGET_TOKEN}, all of it but a scheme such as Bearer: "
    "what is written out stands in the run folder"
)
"""For whoever wrote one out."""
ADVICE_ON_BODY = "body holds a password: take it from the environment, as in ${TARGET_PASSWORD}, or the station's {pin}"
"""The same, in a login's body."""
_HEADER = re.compile(
    r"(?i)auth(?!or(?!iz))|cookie|token|secret|passw|credential|(?<!idempotency-)key$|signature|session"
)
_FIELD_NAME = r"(?:password|passwd|secret|token|pin|api_?key)"
_PART = re.compile(rf"(?i)[\w.-]*{_FIELD_NAME}")
_FIELD = re.compile(
    rf"""["']?\b[\w-]*{_FIELD_NAME}["']?\s*[:=]\s*["']?((?:{templating.PLACEHOLDER_PATTERN}|[^"'&,}}\s])+)""",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?i)^(?:basic|bearer|token|apikey|api-key|key|dpop|ssws|vapid) +")
_SCHEME_WITH_NAMES = re.compile(r"(?i)^(?:digest|oauth|token|vapid|signature|sharedaccesssignature) +")
_NAME = re.compile(rf"[\w.-]+=(?=\"?{templating.PLACEHOLDER_PATTERN})")
_NOT_A_SEPARATOR = re.compile(r"""[^\s"',;:/.|&_{}()\[\]-]""")


def header_has_secret(name: str, value: str) -> bool:
    """Whether a header that is called like a secret has one written out.

    Beside placeholders there may stand separators, the usual schemes, and the names of a cookie or of a scheme's parameters.

    >>> in_header("Authorization", "Bearer ${TARGET_TOKEN}"), in_header("Cookie", "id=${TARGET_ID}; at={station}")
    (False, False)
    >>> in_header("Authorization", "Basic s3cret{page}"), in_header("Accept", "image/jpeg")
    (True, False)
    """
    if not _HEADER.search(name):
        return False
    if templating.is_literal(value):
        return True
    rest = _SCHEME.sub("", value)
    if name.lower() == "cookie" or _SCHEME_WITH_NAMES.match(value):
        rest = _NAME.sub("", _SCHEME_WITH_NAMES.sub("", value))
    return _has_literal_text(rest)


def fields_have_secret(text: str) -> bool:
    """Whether a text, JSON or a form, has a field that is called like a secret with its value written out.

    >>> in_fields('{"who": "{station}", "pin": "{pin}"}'), in_fields("user=a&password=s3cret{pin}")
    (False, True)
    """
    return any(_has_literal_text(value) for value in _FIELD.findall(text))


def part_has_secret(name: str, value: str) -> bool:
    """Whether a part of a multipart body is called like a secret and has it written out.

    >>> in_part("api_key", "${TARGET_KEY}"), in_part("api_key", "s3cret{page}")
    (False, True)
    """
    return _PART.fullmatch(name) is not None and _has_literal_text(value)


def _has_literal_text(text: str) -> bool:
    """Whether anything but separators stands beside the placeholders."""
    return _NOT_A_SEPARATOR.search(templating.strip_placeholders(text)) is not None
