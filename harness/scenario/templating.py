"""Texts with placeholders: {station} for values the harness knows, ${TARGET_…} for environment variables; and secrets in them.

Nothing is evaluated: a placeholder is a word in braces that stands for a value, so a scenario from a stranger cannot run
anything. Braces around anything but a single word are plain text, so that JSON needs no escaping.

A secret belongs into the environment: texts of a scenario are written to the run folder as they are. The second half of this
module finds secrets that are written out, also beside a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from harness.base.errors import UsageError

ENVIRONMENT_PREFIX = "TARGET_"
"""Only these variables can be used: a scenario from a stranger cannot send AWS_SECRET_ACCESS_KEY anywhere."""
_WORD = r"\w+|(?:station|account)\.[^{}\x00-\x1f]{1,64}"
"""A word that stands for a value; {station.…} and {account.…} name columns of the user's own files."""
PLACEHOLDER_PATTERN = rf"(?:\$\{{[^{{}}]*\}}|\{{(?:{_WORD})\}})"
"""Regular expression of a placeholder, for use within others."""
_PLACEHOLDER = re.compile(rf"\$\{{([^{{}}]*)\}}|\{{({_WORD})\}}")
COLUMN_NAME = re.compile(r"[^\x00-\x1f\x7f{}]{1,64}")
"""A name of a column, which {station.…} and {account.…} can name."""
COLUMN_PREFIXES = ("station.", "account.")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_placeholders(text: str, allowed: Collection[str] | None) -> str:
    """The text itself, if each of its placeholders is in `allowed` (None: any word) or is a ${TARGET_…}.

    Raises ValueError that lists the allowed placeholders.
    """
    for variable, word in _PLACEHOLDER.findall(text):
        if not word and not (_VARIABLE.fullmatch(variable) and variable.startswith(ENVIRONMENT_PREFIX)):
            message = (
                f"${{{variable}}}: an environment variable must begin with {ENVIRONMENT_PREFIX} "
                "and consist of capitals, digits and _"
            )
            raise ValueError(message)
        # which columns there are is known only once the files are read: see find_station_problems
        is_column = allowed is None or "station" in allowed
        if (
            word
            and allowed is not None
            and word not in allowed
            and not (is_column and word.startswith(COLUMN_PREFIXES))
        ):
            listed = ", ".join(f"{{{name}}}" for name in sorted(allowed)) or "none"
            message = f"{{{word}}} is not available here; allowed: {listed}"
            raise ValueError(message)
    return text


def placeholders_in(text: str) -> set[str]:
    """The words in braces."""
    return {word for _, word in _PLACEHOLDER.findall(text) if word}


def words_of_steps(text: str) -> set[str]:
    """The words in braces but for columns of the user's own files, which are known from the beginning."""
    return {word for word in placeholders_in(text) if not word.startswith(COLUMN_PREFIXES)}


def variables_in(text: str) -> set[str]:
    """Names of the environment variables that a text uses."""
    return {variable for variable, word in _PLACEHOLDER.findall(text) if not word}


def is_literal(text: str) -> bool:
    """Whether a text has no placeholders."""
    return _PLACEHOLDER.search(text) is None


def strip_placeholders(text: str) -> str:
    """The text without its placeholders.

    >>> strip_placeholders("Bearer ${TARGET_A}-{page}")
    'Bearer -'
    """
    return _PLACEHOLDER.sub("", text)


class Template:
    """A text whose words in braces are filled in, once per upload.

    Contains values of the environment, which are secrets: keep it in the process that sends.
    """

    def __init__(self, text: str, environment: Mapping[str, str] | None = None) -> None:
        """`text` has passed `check_placeholders`. Values of the environment are taken literally, braces included.

        Raises UsageError, naming the variable but never its value, if one is not set or contains control characters.
        """
        pieces: list[tuple[str, str]] = []  # (plain text, the word after it or "")
        position, plain = 0, ""
        for match in _PLACEHOLDER.finditer(text):
            plain += text[position : match.start()]
            position = match.end()
            if match[2] is None:
                plain += _environment_value(match[1], environment or {})
            else:
                pieces.append((plain, match[2]))
                plain = ""
        pieces.append((plain + text[position:], ""))
        self.words = frozenset(word for _, word in pieces if word)
        """The words to fill in."""
        # `%` on one prepared format is the fastest way to fill a text: this runs for every upload
        self.format = "".join(plain.replace("%", "%%") + ("%s" if word else "") for plain, word in pieces)
        """The text as a format string for `%`."""
        self.order = tuple(word for _, word in pieces if word)
        """The word for each `%s` of the format."""

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with its words filled in.

        >>> Template('{"who": "{station}"}').fill({"station": "3509191001001"})
        '{"who": "3509191001001"}'
        """
        return self.format % tuple([values[word] for word in self.order])


def _environment_value(variable: str, environment: Mapping[str, str]) -> str:
    value = environment.get(variable)
    if not value:
        message = f"[target] needs the environment variable {variable}, and it is not set"
        raise UsageError(message)
    if _CONTROL.search(value):
        message = f"the environment variable {variable} contains control characters: it cannot be sent in a header"
        raise UsageError(message)
    return value


def match_pattern(text: str, values: Mapping[str, str] | None = None) -> re.Pattern[str]:
    """A pattern that finds a template's words in a text made from it: one named group per word.

    A word that occurs again must have the same value. `values` are patterns of words that look otherwise than in the
    built-in regions.

    >>> match_pattern("{station}-{form}-{page}.jpg").fullmatch("3509191001001-ppwp-2.jpg").groupdict()
    {'station': '3509191001001', 'form': 'ppwp', 'page': '2'}
    """
    regex, position, named = "", 0, set()
    known = {**_VALUE_PATTERNS, **(values or {})}
    for match in _PLACEHOLDER.finditer(text):
        regex += re.escape(text[position : match.start()])
        word = match[2]
        regex += f"(?P={word})" if word in named else f"(?P<{word}>{known[word]})"
        named.add(word)
        position = match.end()
    return re.compile(regex + re.escape(text[position:]))


_VALUE_PATTERNS = {"station": "[0-9]{13}", "form": "[a-z0-9]{4,7}", "page": "[0-9]{1,3}", "sha256": "[0-9a-f]{64}"}


ADVICE = (
    "take the secret from the environment, as in ${TARGET_TOKEN}, except for a scheme such as Bearer: "
    "what is written here ends up in the run folder"
)
"""How to avoid a secret in a scenario; appended to the messages."""
ADVICE_ON_BODY = (
    "body contains a password: take it from the environment, as in ${TARGET_PASSWORD}, or the station's {pin}"
)
"""The same for the body of a login."""
_HEADER = re.compile(
    r"(?i)auth(?!or(?!iz))|cookie|token|secret|passw|credential|(?<!idempotency-)key$|signature|session"
)
_FIELD_NAME = r"(?:password|passwd|secret|token|pin|api_?key)"
_PART = re.compile(rf"(?i)[\w.-]*{_FIELD_NAME}")
_FIELD = re.compile(
    rf"""["']?\b[\w-]*{_FIELD_NAME}["']?\s*[:=]\s*["']?((?:{PLACEHOLDER_PATTERN}|[^"'&,}}\s])+)""",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?i)^(?:basic|bearer|token|apikey|api-key|key|dpop|ssws|vapid) +")
_SCHEME_WITH_NAMES = re.compile(r"(?i)^(?:digest|oauth|token|vapid|signature|sharedaccesssignature) +")
_NAME = re.compile(rf"[\w.-]+=(?=\"?{PLACEHOLDER_PATTERN})")
_NOT_A_SEPARATOR = re.compile(r"""[^\s"',;:/.|&_{}()\[\]-]""")


def header_has_secret(name: str, value: str) -> bool:
    """Whether a header whose name suggests a secret contains one literally.

    Allowed besides placeholders: separators, the usual schemes, and names of cookies or of a scheme's parameters.

    >>> header_has_secret("Authorization", "Bearer ${TARGET_TOKEN}"), header_has_secret("Cookie", "id=${TARGET_ID}; at={station}")
    (False, False)
    >>> header_has_secret("Authorization", "Basic s3cret{page}"), header_has_secret("Accept", "image/jpeg")
    (True, False)
    """
    if not _HEADER.search(name):
        return False
    if is_literal(value):
        return True
    rest = _SCHEME.sub("", value)
    if name.lower() == "cookie" or _SCHEME_WITH_NAMES.match(value):
        rest = _NAME.sub("", _SCHEME_WITH_NAMES.sub("", value))
    return _has_literal_text(rest)


def fields_have_secret(text: str) -> bool:
    """Whether a text (JSON or a form) has a field whose name suggests a secret, with a literal value.

    >>> fields_have_secret('{"who": "{station}", "pin": "{pin}"}'), fields_have_secret("user=a&password=s3cret{pin}")
    (False, True)
    """
    return any(_has_literal_text(value) for value in _FIELD.findall(text))


def part_has_secret(name: str, value: str) -> bool:
    """Whether the name of a part of a multipart body suggests a secret, and its value is literal.

    >>> part_has_secret("api_key", "${TARGET_KEY}"), part_has_secret("api_key", "s3cret{page}")
    (False, True)
    """
    return _PART.fullmatch(name) is not None and _has_literal_text(value)


def _has_literal_text(text: str) -> bool:
    """Whether a text has anything but separators besides its placeholders."""
    return _NOT_A_SEPARATOR.search(strip_placeholders(text)) is not None
