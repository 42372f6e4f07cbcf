"""Fixtures of the tests that start real processes: a tiny scenario, runs in the background, packages from npm."""

import shutil
import subprocess

import pytest

from tests.support.documents import ROOT
from tests.support.real_runs import TINY, runs_in_background


@pytest.fixture
def tiny(tmp_path):
    """The file of a scenario that is over in seconds."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, "utf-8")
    return path


@pytest.fixture
def start(tmp_path):
    """Starts `harness run SCENARIO` with more arguments, in the background."""
    with runs_in_background(tmp_path) as begin:
        yield begin


@pytest.fixture(scope="session")
def npm(tmp_path_factory):
    """Installs a package.json of tests/peers at its locked versions, once per session; returns a copy of its folder."""
    installed = {}

    def install(name):
        if name not in installed:
            folder = tmp_path_factory.mktemp("npm") / name
            shutil.copytree(ROOT / "tests" / "peers" / name, folder)
            command = ["npm", "ci", "--prefer-offline", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
            if done.returncode:
                pytest.fail(f"npm ci in tests/peers/{name} failed:\n{done.stderr}")
            installed[name] = folder
        return installed[name]

    return install
