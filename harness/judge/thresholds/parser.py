"""The grammar of an assertion, parsed into words and their places.

    assertion   = subject operator value { window }
    subject     = aggregation "(" metric [ "{" [ matcher { "," matcher } [ "," ] ] "}" ] ")" | key
    aggregation = word | "p" "(" word ")"
    matcher     = word ( "=" | "!=" | "=~" | "!~" ) string
    operator    = "<" | "<=" | ">" | ">=" | "==" | "!="
    value       = the text up to the first window: a number, with or without a unit
    window      = "during" string | "after" string | "over" duration | "within" duration "of" "end" "of" string

It knows words and places, not what they mean: see condition.py. Labels are written as in PromQL.
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
    """What is wrong with an assertion and where; its text has a caret under the place."""

    def __init__(self, text: str, place: int, message: str) -> None:
        """`place` counts characters of `text` from 0."""
        self.place = place
        self.message = message
        line = "".join(character if character.isprintable() else " " for character in text)
        super().__init__(f"{message}\n    {line}\n    {' ' * place}^")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an assertion and the place where it starts."""

    text: str
    place: int


@dataclass(frozen=True, slots=True)
class ParsedMatcher:
    """What a label must be. `value` is without its quotes and escapes."""

    label: Token
    operator: str
    value: Token


@dataclass(frozen=True, slots=True)
class WindowClause:
    """A stretch of time: its keyword, the fault it names (not for `over`) and its length (`over` and `within`)."""

    keyword: Token
    fault: Token | None = None
    length: Token | None = None


@dataclass(frozen=True, slots=True)
class ParsedAssertion:
    """An assertion in its parts. `aggregation` is None where the subject is a dotted key."""

    text: str
    aggregation: Token | None
    metric: Token
    matchers: tuple[ParsedMatcher, ...]
    operator: str
    value: Token
    windows: tuple[WindowClause, ...] = ()

    def problem(self, word: Token, message: str) -> InvalidAssertionError:
        """What is wrong with one of the parts, to raise."""
        return InvalidAssertionError(self.text, word.place, message)


def parse_assertion(text: str) -> ParsedAssertion:
    """An assertion in its parts.

    Raises WrongAssertionError where it doesn't follow the grammar.

    >>> parse("p95(delivery_seconds) < 10s").metric
    Word(text='delivery_seconds', place=4)
    """
    return _AssertionParser(text).assertion()


def format_assertion(parsed: ParsedAssertion) -> str:
    """The assertion in its plain form, one blank between its parts: it parses to the same.

    >>> written(parse("p(95) ( delivery_seconds{ form='ppwp' } )<10s   over 5s"))
    'p95(delivery_seconds{form="ppwp"}) < 10s over 5s'
    """
    metric = parsed.metric.text
    if parsed.matchers:
        labels = (f"{one.label.text}{one.operator}{quote_string(one.value.text)}" for one in parsed.matchers)
        metric = f"{metric}{{{', '.join(labels)}}}"
    subject = metric if parsed.aggregation is None else f"{parsed.aggregation.text}({metric})"
    return " ".join([subject, parsed.operator, parsed.value.text, *map(_written_window, parsed.windows)])


def quote_string(text: str) -> str:
    """A text as a string of the grammar."""
    return '"' + "".join(_ESCAPED.get(character, character) for character in text) + '"'


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
        self.place = 0

    def assertion(self) -> ParsedAssertion:
        aggregation, metric, matchers = self._subject()
        operator = self._operator()
        value = self._match(_VALUE, "a value is missing here")
        value = Token(value.text.strip(), value.place)
        windows: list[WindowClause] = []
        while self._more():
            windows.append(self._window())
        return ParsedAssertion(self.text, aggregation, metric, tuple(matchers), operator, value, tuple(windows))

    def _subject(self) -> tuple[Token | None, Token, list[ParsedMatcher]]:
        first = self._word('a metric or a key is missing here, as in "p95(delivery_seconds) < 10s"')
        if not self._taken("("):
            if self._taken("{"):
                self.place -= 1
                self._fail(f"labels need an aggregation, as in max({first.text}{{…}})")
            return None, first, []
        if first.text == "p":
            inner = self._word('a percentage is missing here, as in "p(95)(delivery_seconds)"')
            self._expect(")")
            self._expect("(")
            first = Token(f"p{inner.text}", first.place)
        metric = self._word("the name of a metric is missing here")
        matchers = self._matchers()
        self._expect(")")
        return first, metric, matchers

    def _matchers(self) -> list[ParsedMatcher]:
        found: list[ParsedMatcher] = []
        if not self._taken("{"):
            return found
        while not self._taken("}"):
            label = self._word('the name of a label should stand here, or "}"')
            operator = next((one for one in MATCHERS if self._taken(one)), None)
            if operator is None:
                self._fail(f"one of {' '.join(sorted(MATCHERS))} should stand here")
            found.append(ParsedMatcher(label, operator, self._string()))
            if not self._taken(","):
                self._expect("}", 'a "," or "}" should stand here')
                break
        return found

    def _operator(self) -> str:
        for operator in OPERATORS:
            if self._taken(operator):
                return operator
        return self._fail(f"an operator should stand here: one of {' '.join(sorted(OPERATORS))}")

    def _window(self) -> WindowClause:
        keyword = self._word("")
        if keyword.text in {"during", "after"}:
            return WindowClause(keyword, fault=self._string())
        length = self._match(_DURATION, 'a duration is missing here, as in "10s"')
        if keyword.text == "over":
            return WindowClause(keyword, length=length)
        for word in ("of", "end", "of"):
            self._expect(word, f'"{word}" should stand here: within {length.text} of end of "fault"')
        return WindowClause(keyword, fault=self._string(), length=length)

    def _more(self) -> bool:
        """Whether a window follows; raises where something else does."""
        self._skip_blanks()
        if self.place == len(self.text):
            return False
        if re.compile(_KEYWORD).match(self.text, self.place) is None:
            self._fail(f"nothing but a window may follow: {', '.join(WINDOWS)}")
        return True

    def _string(self) -> Token:
        self._skip_blanks()
        start, quote = self.place, self.text[self.place : self.place + 1]
        if quote not in {'"', "'"}:
            self._fail('a text in quotes should stand here, as in "brownout"')
        found: list[str] = []
        self.place += 1
        while (character := self.text[self.place : self.place + 1]) != quote:
            if not character:
                raise InvalidAssertionError(self.text, start, "this text has no closing quote")
            if character == "\\":
                self.place += 1
                character = _ESCAPES.get(self.text[self.place : self.place + 1], "")
                if not character:
                    self.place -= 1
                    self._fail('this is no escape: write "\\\\" for a backslash')
            found.append(character)
            self.place += 1
        self.place += 1
        return Token("".join(found), start)

    def _word(self, missing: str) -> Token:
        return self._match(_WORD, missing)

    def _match(self, pattern: re.Pattern[str], missing: str) -> Token:
        self._skip_blanks()
        match = pattern.match(self.text, self.place)
        if match is None:
            self._fail(missing)
        word = Token(match[0], self.place)
        self.place = match.end()
        return word

    def _taken(self, expected: str) -> bool:
        self._skip_blanks()
        taken = self.text.startswith(expected, self.place)
        self.place += len(expected) if taken else 0
        return taken

    def _expect(self, expected: str, missing: str = "") -> None:
        if not self._taken(expected):
            self._fail(missing or f'"{expected}" should stand here')

    def _skip_blanks(self) -> None:
        while self.place < len(self.text) and self.text[self.place].isspace():
            self.place += 1

    def _fail(self, message: str) -> NoReturn:
        raise InvalidAssertionError(self.text, self.place, message)
