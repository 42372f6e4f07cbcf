"""Texts with placeholders: {station} for what the harness knows, ${TARGET_…} for what only the environment knows.

Nothing is evaluated: a placeholder is a word in braces and stands for a value, so that a scenario from a stranger can't run
anything. Braces around anything but one word are plain text: JSON needs no escaping.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from harness.base.errors import UsageError

ENVIRONMENT_PREFIX = "TARGET_"
"""Only such variables can be asked for: a scenario from a stranger can't send AWS_SECRET_ACCESS_KEY anywhere."""
PLACEHOLDER_PATTERN = r"(?:\$\{[^{}]*\}|\{\w+\})"
"""What a placeholder looks like, for patterns around one."""
_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}|\{(\w+)\}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_placeholders(text: str, allowed: Collection[str]) -> str:
    """The text itself, if all its placeholders can be filled in: words among `allowed`, and ${TARGET_…}.

    Raises ValueError with what is allowed.
    """
    for variable, word in _PLACEHOLDER.findall(text):
        if not word and not (_VARIABLE.fullmatch(variable) and variable.startswith(ENVIRONMENT_PREFIX)):
            message = f"${{{variable}}}: a variable of the environment begins with {ENVIRONMENT_PREFIX} and has capitals, digits and _ only"
            raise ValueError(message)
        if word and word not in allowed:
            listed = ", ".join(f"{{{name}}}" for name in sorted(allowed)) or "none"
            message = f"{{{word}}} can't stand here; there are {listed}"
            raise ValueError(message)
    return text


def placeholders_in(text: str) -> set[str]:
    """The words in braces."""
    return {word for _, word in _PLACEHOLDER.findall(text) if word}


def variables_in(text: str) -> set[str]:
    """Names of the environment's variables that a text asks for."""
    return {variable for variable, word in _PLACEHOLDER.findall(text) if not word}


def is_literal(text: str) -> bool:
    """Whether nothing is filled in."""
    return _PLACEHOLDER.search(text) is None


def strip_placeholders(text: str) -> str:
    """What stands in it as it is, beside its placeholders.

    >>> without("Bearer ${TARGET_A}-{page}")
    'Bearer -'
    """
    return _PLACEHOLDER.sub("", text)


class Template:
    """A text whose words in braces are filled in again and again.

    It holds the environment's values, which are secrets: keep it in the process that sends.
    """

    def __init__(self, text: str, environment: Mapping[str, str] | None = None) -> None:
        """`text` has been checked. What the environment says stays as it is, braces and all.

        Raises UsageError, which names the variable and never its value, where one isn't set or holds control characters.
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
        self.format = "".join(plain.replace("%", "%%") + ("%s" if word else "") for plain, word in pieces)
        """The text as a format of `%`."""
        self.order = tuple(word for _, word in pieces if word)
        """The word of each of the format's places."""

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with its words filled in.

        >>> Template('{"who": "{station}"}').fill({"station": "3509191001001"})
        '{"who": "3509191001001"}'
        """
        return self.format % tuple([values[word] for word in self.order])


def _environment_value(variable: str, environment: Mapping[str, str]) -> str:
    value = environment.get(variable)
    if not value:
        message = f"the environment variable {variable}, which [target] asks for, is not set"
        raise UsageError(message)
    if _CONTROL.search(value):
        message = f"the environment variable {variable} has control characters: it can't be sent in a header"
        raise UsageError(message)
    return value


def match_pattern(text: str) -> re.Pattern[str]:
    """What finds a template's words in a text that was made with it: one named group a word (its first place counts).

    >>> pattern("{station}-{form}-{page}.jpg").fullmatch("3509191001001-ppwp-2.jpg").groupdict()
    {'station': '3509191001001', 'form': 'ppwp', 'page': '2'}
    """
    shape, position, seen = "", 0, set()
    for match in _PLACEHOLDER.finditer(text):
        shape += re.escape(text[position : match.start()])
        word = match[2]
        shape += f"(?P={word})" if word in seen else f"(?P<{word}>{_VALUE_PATTERNS[word]})"
        seen.add(word)
        position = match.end()
    return re.compile(shape + re.escape(text[position:]))


_VALUE_PATTERNS = {"station": "[0-9]{13}", "form": "[a-z]{4,6}", "page": "[0-9]{1,2}", "sha256": "[0-9a-f]{64}"}
