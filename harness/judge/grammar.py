"""The grammar of an assertion, parsed: `AGG(sample) OP value` or `dotted.key OP value`.

    assertion = subject operator value
    subject   = aggregation "(" word ")" | word
    operator  = "<" | "<=" | ">" | ">=" | "==" | "!="
    value     = the rest: a number, with or without a unit

It knows words and places, not what they mean; see thresholds.py. Labels and windows will follow the word, in `_subject`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

OPERATORS = ("<=", ">=", "==", "!=", "<", ">")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class WrongAssertionError(ValueError):
    """What is wrong with an assertion and where; its text has a caret under the place."""

    def __init__(self, text: str, place: int, message: str) -> None:
        """`place` counts characters of `text` from 0."""
        self.place = place
        self.message = message
        super().__init__(f"{message}\n    {text}\n    {' ' * place}^")


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of an assertion and the place where it starts."""

    text: str
    place: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """An assertion in its parts. `aggregation` is None where the subject is a dotted key."""

    text: str
    aggregation: Word | None
    metric: Word
    operator: str
    value: Word

    def problem(self, word: Word, message: str) -> WrongAssertionError:
        """What is wrong with one of the parts, to raise."""
        return WrongAssertionError(self.text, word.place, message)


def parse(text: str) -> Parsed:
    """An assertion in its parts.

    Raises WrongAssertionError where it doesn't follow the grammar.

    >>> parse("p95(delivery_seconds) < 10s").metric
    Word(text='delivery_seconds', place=4)
    """
    return _Parser(text).assertion()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def assertion(self) -> Parsed:
        aggregation, metric = self._subject()
        operator = self._operator()
        value = self.text[self.place :].strip()
        if not value:
            self._fail("a value is missing here")
        self._skip_blanks()
        return Parsed(self.text, aggregation, metric, operator, Word(value, self.place))

    def _subject(self) -> tuple[Word | None, Word]:
        first = self._word('a sample or a key is missing here, as in "p95(delivery_seconds) < 10s"')
        if not self._taken("("):
            return None, first
        inner = self._word("the name of a sample is missing here")
        self._expect(")")
        if first.text != "p":
            return first, inner
        self._expect("(")
        metric = self._word("the name of a sample is missing here")
        self._expect(")")
        return Word(f"p{inner.text}", first.place), metric

    def _operator(self) -> str:
        self._skip_blanks()
        for operator in OPERATORS:
            if self._taken(operator):
                return operator
        return self._fail(f"an operator should stand here: one of {' '.join(sorted(OPERATORS))}")

    def _word(self, missing: str) -> Word:
        self._skip_blanks()
        match = _WORD.match(self.text, self.place)
        if match is None:
            self._fail(missing)
        word = Word(match[0], self.place)
        self.place = match.end()
        return word

    def _taken(self, expected: str) -> bool:
        self._skip_blanks()
        taken = self.text.startswith(expected, self.place)
        self.place += len(expected) if taken else 0
        return taken

    def _expect(self, expected: str) -> None:
        if not self._taken(expected):
            self._fail(f'"{expected}" should stand here')

    def _skip_blanks(self) -> None:
        while self.place < len(self.text) and self.text[self.place].isspace():
            self.place += 1

    def _fail(self, message: str) -> NoReturn:
        raise WrongAssertionError(self.text, self.place, message)
