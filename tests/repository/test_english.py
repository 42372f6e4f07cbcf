"""Plain English: phrases that made readers stumble stay out of code, docs, templates and the command line's output."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.documents import ROOT

BANNED = {
    r"(?<!there )(?<!it )\b(?:is|are|was) no (?!longer\b|more\b|less\b|fewer\b|better\b|worse\b|greater\b|one\b|different\b|surprise\b|substitute\b|proof\b)[a-z]": 'say "is not a valid …", or "… is not …"',
    r"\b(?:a|one|two|three|\d+) (?:row|module|strategy|fault|line|connection|process|kind|command|worker|file|port|place|folder|run|record) an? (?:page|row|worker|station|line|module|kind|side|attempt|second|run|process|cell|family|command|strategy|fault|file)\b": 'say "one … per …"',
    r"\bone a (?:worker|page|station|module|process|line)\b": 'say "one per …"',
    r"\bof ours\b": 'say "our", "internal" or name it',
    r"\bof the user's(?! [a-z])": "say what it is of: the user's server, the user's file",
    r"\bwhoever\b": 'say "anyone who", or name them',
    r"(?<![\"'] )(?<!not )(?<!word )(?<!unused )\bin words\b": "say what form: a sentence, text",
    r"\b(?:can't|cannot|can not) be had\b": 'say "is not available"',
    r"\bto be had\b": 'say "available"',
    r"\bnobody (?:listens|knows|here)\b": 'say "connection refused by …", "unknown"',
    r"\bfor want of\b": 'say "because … is missing"',
    r"\bruns? of yesterday\b|\byesterday's runs\b": 'say "earlier runs"',
    r"\b(?:stands?|stood) twice\b": 'say "duplicate …"',
    r"\bas even as\b": "say what it returns",
    r"\b(?:is|are|was|were|be|being) told\b": 'say "is reported", "is sent", "receives"',
    r"\bsmall hexadecimal\b": 'say "lowercase hexadecimal"',
    r"\bspoilt\b": "the audit's own words: corrupted, unexpected",
    r"\bthe same again and again\b": 'say "repeatedly"',
    r"\blast words\b": 'say "see logs/…"',
    r"\b(?:comes?|brought|brings?|way) home\b": 'say "send back", "complete"',
    r"\bmiddling luck\b": 'say "a median …"',
    r"\bclosed doors\b": "say what is refused",
    r"\bis to come\b|\bare to come\b": 'say "remains"',
    r"\bat the utmost\b|\bby and by\b|\bere long\b|\bhereby\b|\bthereof\b": "plain words",
}
"""Pattern (any case) -> what to write instead."""
_PATTERNS = {re.compile(pattern, re.IGNORECASE): better for pattern, better in BANNED.items()}
_READ = {".py", ".md", ".j2", ".toml", ".txt", ".yml", ".yaml", ".js", ".mjs", ".sh", ".json"}
_NOT_OURS = {"tests/repository/test_english.py", "LICENSE"}
"""This file quotes the phrases."""
_DATA = ("docs/data/", "tests/integration/grafana/", "tests/unit/benchmarks/recorded/")


def tracked() -> list[str]:
    """Every text file of the repository that a reader may open."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    names = [name for name in listed if name not in _NOT_OURS and not name.startswith(_DATA)]
    return [name for name in names if Path(name).suffix in _READ or Path(name).name in {"Makefile", "run"}]


def phrases(text: str) -> list[str]:
    """Every banned phrase of the text, with its line and what to write instead."""
    folded = re.sub(r"\n[ \t]*(?:#|\"\"\")?[ \t]*", " ", text)  # a phrase may run over the end of a line
    found = []
    for pattern, better in _PATTERNS.items():
        for match in pattern.finditer(folded):
            line = next((n for n, row in enumerate(text.splitlines(), 1) if match[0].split()[0] in row), 0)
            around = folded[max(0, match.start() - 40) : match.end() + 20]
            found.append(f"about line {line}: …{around}… ({better})")
    return found


@pytest.mark.parametrize("name", tracked())
def test_no_phrase_stops_a_reader(name: str) -> None:
    assert phrases((ROOT / name).read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("404 is no digest", 1),
        ("there is no digest, it is no longer there", 0),
        ("a row a page", 1),
        ("one row per page", 0),
        ("this was found by\n    # whoever ran it", 1),
        ("port can't be had", 1),
        ("the option of the user's own file", 0),
    ],
)
def test_the_lint_finds_a_phrase_and_leaves_its_plain_form(text: str, count: int) -> None:
    assert len(phrases(text)) == count
