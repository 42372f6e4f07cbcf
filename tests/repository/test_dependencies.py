"""What pyproject.toml declares is what requirements/*.txt lock, by hash, for every platform and without any address."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.documents import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
GROUPS = {name: declared for name, declared in PYPROJECT["dependency-groups"].items() if name != "dev"}
LOCKS = {path.stem: path.read_text("utf-8") for path in (ROOT / "requirements").glob("*.txt")}
INSTALLED_BEFORE = {"test": ("docs",), "browser": ("docs", "test"), "lint": ("docs", "test", "browser")}
"""Locks that the Makefile installs before this one, beside the product's (requirements/compile.sh)."""
LOCKED = re.compile(r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+)(?P<marker> ; .+?)? \\\n(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)  # fmt: skip


def versions_in(lock):
    return {canonicalize_name(found["name"]): found["version"] for found in LOCKED.finditer(LOCKS[lock])}


@pytest.mark.parametrize("lock", sorted(LOCKS))
def test_a_lock_holds_nothing_but_versions_and_hashes(lock):
    without = LOCKED.sub("", LOCKS[lock])
    assert [line for line in without.splitlines() if not line.startswith("#")] == []


def test_there_is_a_lock_for_the_product_and_for_each_group():
    assert LOCKS.keys() == {"run", *GROUPS} - {"build"}  # what builds the product is in the product's own lock


@pytest.mark.parametrize("lock", sorted(LOCKS))
def test_every_declared_dependency_is_locked_at_a_version_it_allows(lock):
    declared = PYPROJECT["project"]["dependencies"] + GROUPS["build"] if lock == "run" else GROUPS[lock]
    versions = dict(
        item for each in ("run", *INSTALLED_BEFORE.get(lock, ()), lock) for item in versions_in(each).items()
    )
    for requirement in map(Requirement, declared):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_a_package_has_one_version_in_all_locks():
    locked = {(name, found) for lock in LOCKS for name, found in versions_in(lock).items()}
    names = [name for name, _ in locked]
    assert sorted(names) == sorted(set(names))


def test_what_a_user_installs_holds_no_tool_of_the_developers():
    assert versions_in("run").keys().isdisjoint({"mypy", "ruff", "playwright", "moto", "schemathesis", "mkdocs", "k6"})
