"""One concept, one word: the glossary of CONTRIBUTING.md holds for every identifier, and no two classes share a name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import ROOT

_ROW = re.compile(r"^\| \*\*(.+?)\*\*[^|]*\|[^|]+\|([^|\n]*)\|$", re.MULTILINE)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
PRODUCT = ("harness", "mock_server", "reports")
NAMED = (*PRODUCT, "benchmarks", "docs/_generate")


def glossary() -> dict[str, list[str]]:
    """Our word -> the words that are not used for it."""
    section = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("\n## Glossary\n")[2].partition("\n## ")[0]
    return {word: re.findall(r"`(\w+)`", unused) for word, unused in _ROW.findall(section)}


def sources(*roots: str) -> list[Path]:
    return sorted(path for root in roots for path in (ROOT / root).rglob("*.py"))


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that the module itself gives to something, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno


def test_the_glossary_names_its_words_and_their_rivals() -> None:
    words = glossary()
    assert {"station", "attempt", "delivery", "phase", "goodput", "lateness"} <= set(words)
    rivals = [rival for unused in words.values() for rival in unused]
    assert len(rivals) == len(set(rivals)) > 30
    assert not set(rivals) & set(words)


def test_no_two_classes_of_the_product_share_a_name() -> None:
    places = defaultdict(list)
    for path in sources(*PRODUCT):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("root", NAMED)
def test_no_identifier_has_a_word_that_the_glossary_does_not_use(root: str) -> None:
    unused = {rival: word for word, rivals in glossary().items() for rival in rivals}
    found = []
    for path in sources(root):
        for name, line in identifiers(ast.parse(path.read_text("utf-8"))):
            found += [
                f"{path.relative_to(ROOT)}:{line}: {name}: say {unused[word]}"
                for word in map(str.lower, _WORD.findall(name))
                if word in unused
            ]
    assert found == []


def test_nothing_lies_directly_in_the_harness_but_its_face_and_its_entry() -> None:
    assert sorted(path.name for path in (ROOT / "harness").glob("*.py")) == ["__init__.py", "__main__.py"]
