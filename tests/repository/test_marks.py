"""Tests that make has a target of their own for lie where that target looks for them."""

import re

import pytest

from tests.support.documents import ROOT

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


@pytest.mark.parametrize("mark", ["models", "browser", "peers"])
def test_every_test_with_a_mark_is_collected_by_its_target(mark):
    variables = dict(re.findall(r"^(\w+) := (.*)$", MAKEFILE, re.MULTILINE))
    (found,) = re.findall(rf"pytest .*-m {mark} (.*)$", MAKEFILE, re.MULTILINE)
    places = re.sub(r"\$\((\w+)\)", lambda name: variables[name[1]], found).split()
    marked = [
        path
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(rf"pytest\.mark\.{mark}\b(?!\()", path.read_text("utf-8"))
    ]
    assert marked
    for path in marked:
        assert any(path.is_relative_to(ROOT / place) for place in places), path
    assert all((ROOT / place).exists() for place in places)


def test_at_most_ten_tests_may_be_repeated_each_for_a_reason_beside_its_mark():
    """A repeated test passes by chance more often: time is injected, or the tolerance argued, wherever that can be."""
    lines = [
        (path.relative_to(ROOT), line)
        for path in (ROOT / "tests").rglob("test_*.py")
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"^\s*(?:@|pytestmark\b.*|.*marks=.*)pytest\.mark\.timed\b", line)
    ]
    assert 0 < len(lines) <= 10
    for path, line in lines:
        assert re.fullmatch(r"@pytest\.mark\.timed  # .{20,}", line), f"{path}: {line}"
