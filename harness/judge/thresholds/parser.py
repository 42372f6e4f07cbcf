"""The grammar of an assertion, parsed into tokens and their positions.

    assertion   = subject operator value { window }
    subject     = aggregation "(" metric [ "{" [ matcher { "," matcher } [ "," ] ] "}" ] ")" | key
    aggregation = word | "p" "(" word ")"
    matcher     = ( word | string ) ( "=" | "!=" | "=~" | "!~" ) string
    operator    = "<" | "<=" | ">" | ">=" | "==" | "!="
    value       = the text up to the first window: a number, with or without a unit
    window      = "during" string | "after" string | "over" duration | "within" duration "of" "end" "of" string

The parser knows tokens and positions, not what they mean: see condition.py. Labels are written as in PromQL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

OPERATORS = ("<=", ">=", "==", "!=", "<", ">")
MATCHERS = ("=~", "!~", "!=", "=")
WINDOWS = ("during", "after", "over", "within")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_KEYWORD = rf"(?:{'|'.join(WINDOWS)})\b"
_VALUE = re.compile(rf"(?!{_KEYWORD})(?:(?!\s{_KEYWORD}).)+", re.DOTALL)
_DURATION = re.compile(rf"[0-9][0-9.]*(?:\s*(?!{_KEYWORD}|of\b)[A-Za-z]+)?", re.ASCII)
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t", "r": "\r"}
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


class InvalidAssertionError(ValueError):
    """What is wrong with an assertion and where; its text shows the assertion with a caret under the position."""

    def __init__(self, text: str, position: int, message: str) -> None:
        """`position` counts characters of `text` from 0."""
        self.position = position
        self.message = message
        # A line break or a tab would move the caret away from its place.
        line = "".join(character if character.isprintable() else " " for character in text)
        super().__init__(f"{message}\n    {line}\n    {' ' * position}^")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an assertion and the position at which it starts."""

    text: str
    position: int


@dataclass(frozen=True, slots=True)
class ParsedMatcher:
    """A label matcher as written; `value` is without its quotes and escapes."""

    label: Token
    operator: str
    value: Token


@dataclass(frozen=True, slots=True)
class WindowClause:
    """A window as written: its keyword, the fault it names (not for `over`) and its length (`over` and `within`)."""

    keyword: Token
    fault: Token | None = None
    length: Token | None = None


@dataclass(frozen=True, slots=True)
class ParsedAssertion:
    """The parts of an assertion; `aggregation` is None if the subject is a dotted key."""

    text: str
    aggregation: Token | None
    metric: Token
    matchers: tuple[ParsedMatcher, ...]
    operator: str
    value: Token
    windows: tuple[WindowClause, ...] = ()

    def error_at(self, token: Token, message: str) -> InvalidAssertionError:
        """The error to raise for one of the parts."""
        return InvalidAssertionError(self.text, token.position, message)


def parse_assertion(text: str) -> ParsedAssertion:
    """The parts of an assertion.

    Raises InvalidAssertionError if it does not follow the grammar.

    >>> parse_assertion("p95(delivery_seconds) < 10s").metric
    Token(text='delivery_seconds', position=4)
    """
    return _AssertionParser(text).assertion()


def format_assertion(parsed: ParsedAssertion) -> str:
    """The assertion in canonical form, with one blank between its parts; it parses to the same parts.

    >>> format_assertion(parse_assertion("p(95) ( delivery_seconds{ form='ppwp' } )<10s   over 5s"))
    'p95(delivery_seconds{form="ppwp"}) < 10s over 5s'
    """
    metric = parsed.metric.text
    if parsed.matchers:
        labels = (
            f"{_written_label(one.label.text)}{one.operator}{quote_string(one.value.text)}" for one in parsed.matchers
        )
        metric = f"{metric}{{{', '.join(labels)}}}"
    subject = metric if parsed.aggregation is None else f"{parsed.aggregation.text}({metric})"
    return " ".join([subject, parsed.operator, parsed.value.text, *map(_written_window, parsed.windows)])


def quote_string(text: str) -> str:
    """A text as a quoted string of the grammar."""
    return '"' + "".join(_ESCAPED.get(character, character) for character in text) + '"'


def _written_label(name: str) -> str:
    return name if _WORD.fullmatch(name) else quote_string(name)


def _written_window(window: WindowClause) -> str:
    parts = [window.keyword.text]
    if window.length is not None:
        parts.append(window.length.text)
    if window.fault is not None:
        parts += ["of end of"] if window.length is not None else []
        parts.append(quote_string(window.fault.text))
    return " ".join(parts)


class _AssertionParser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def assertion(self) -> ParsedAssertion:
        aggregation, metric, matchers = self._subject()
        operator = self._operator()
        value = self._match(_VALUE, "expected a value")
        value = Token(value.text.strip(), value.position)
        windows: list[WindowClause] = []
        while self._more():
            windows.append(self._window())
        return ParsedAssertion(self.text, aggregation, metric, tuple(matchers), operator, value, tuple(windows))

    def _subject(self) -> tuple[Token | None, Token, list[ParsedMatcher]]:
        first = self._token('expected a metric or a key, as in "p95(delivery_seconds) < 10s"')
        if not self._accept("("):
            if self._accept("{"):
                self.position -= 1
                self._fail(f"labels need an aggregation, as in max({first.text}{{…}})")
            return None, first, []
        if first.text == "p":
            inner = self._token('expected a percentage, as in "p(95)(delivery_seconds)"')
            self._expect(")")
            self._expect("(")
            first = Token(f"p{inner.text}", first.position)
        metric = self._token("expected the name of a metric")
        matchers = self._matchers()
        self._expect(")")
        return first, metric, matchers

    def _matchers(self) -> list[ParsedMatcher]:
        found: list[ParsedMatcher] = []
        if not self._accept("{"):
            return found
        while not self._accept("}"):
            label = self._label()
            operator = next((one for one in MATCHERS if self._accept(one)), None)
            if operator is None:
                self._fail(f"expected one of {' '.join(sorted(MATCHERS))}")
            found.append(ParsedMatcher(label, operator, self._string()))
            if not self._accept(","):
                self._expect("}", 'expected "," or "}"')
                break
        return found

    def _label(self) -> Token:
        """The name of a label; in quotes if it is not a word, as in Prometheus 3."""
        self._skip_blanks()
        if self.text[self.position : self.position + 1] in {'"', "'"}:
            return self._string()
        return self._token('expected the name of a label, or "}"')

    def _operator(self) -> str:
        for operator in OPERATORS:
            if self._accept(operator):
                return operator
        return self._fail(f"expected an operator: one of {' '.join(sorted(OPERATORS))}")

    def _window(self) -> WindowClause:
        keyword = self._token("")
        if keyword.text in {"during", "after"}:
            return WindowClause(keyword, fault=self._string())
        length = self._match(_DURATION, 'expected a duration, as in "10s"')
        if keyword.text == "over":
            return WindowClause(keyword, length=length)
        for word in ("of", "end", "of"):
            self._expect(word, f'expected "{word}", as in: within {length.text} of end of "fault"')
        return WindowClause(keyword, fault=self._string(), length=length)

    def _more(self) -> bool:
        """Whether a window follows; raises InvalidAssertionError if anything else does."""
        self._skip_blanks()
        if self.position == len(self.text):
            return False
        if re.compile(_KEYWORD).match(self.text, self.position) is None:
            self._fail(f"expected a window ({', '.join(WINDOWS)}) or the end of the assertion")
        return True

    def _string(self) -> Token:
        self._skip_blanks()
        start, quote_mark = self.position, self.text[self.position : self.position + 1]
        if quote_mark not in {'"', "'"}:
            self._fail('expected a text in quotes, as in "brownout"')
        found: list[str] = []
        self.position += 1
        while (character := self.text[self.position : self.position + 1]) != quote_mark:
            if not character:
                raise InvalidAssertionError(self.text, start, "the closing quote is missing")
            if character == "\\":
                self.position += 1
                character = _ESCAPES.get(self.text[self.position : self.position + 1], "")
                if not character:
                    self.position -= 1
                    self._fail('unknown escape: write "\\\\" for a backslash')
            found.append(character)
            self.position += 1
        self.position += 1
        return Token("".join(found), start)

    def _token(self, expected: str) -> Token:
        return self._match(_WORD, expected)

    def _match(self, pattern: re.Pattern[str], expected: str) -> Token:
        self._skip_blanks()
        match = pattern.match(self.text, self.position)
        if match is None:
            self._fail(expected)
        token = Token(match[0], self.position)
        self.position = match.end()
        return token

    def _accept(self, expected: str) -> bool:
        self._skip_blanks()
        accepted = self.text.startswith(expected, self.position)
        self.position += len(expected) if accepted else 0
        return accepted

    def _expect(self, expected: str, message: str = "") -> None:
        if not self._accept(expected):
            self._fail(message or f'expected "{expected}"')

    def _skip_blanks(self) -> None:
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1

    def _fail(self, message: str) -> NoReturn:
        raise InvalidAssertionError(self.text, self.position, message)
