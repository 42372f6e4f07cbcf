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
